import CLibPQ
import Foundation
import NIOCore
import SyncStorage
import Synchronization

/// One SQL statement with its parameters.
struct PostgresStatement: Sendable {
    /// Names the prepared statement, once for each connection; `nil` is parsed anew each time.
    var name: String?
    var sql: String
    /// In binary format, or text that ends in a zero byte; `nil` is null.
    var parameters: [ByteBuffer?] = []
    var parametersAreText = false
    /// Rows in text format, for statements whose types do not matter.
    var resultsAreText = false
}

/// One connection, used by one caller at a time: whoever has it from the pool.
///
/// `@unchecked Sendable`: everything but `thread` and `usable` is used on the event thread alone. A statement that fails
/// leaves the connection usable; a lost connection, a broken protocol and a missed deadline do not.
final class PostgresConnection: @unchecked Sendable, EventThread.Handler {
    // Fixed after init.
    let thread: EventThread

    // Guarded by itself.
    private let usable = Atomic(false)

    // Event thread only.
    private var handle: OpaquePointer?
    private var watched: Int32?
    private var connecting: Connecting?
    private var request: PostgresRequest?
    private var prepared: Set<String> = []

    private struct Connecting {
        let timer: EventThread.TimerID
        let log: @Sendable (String) -> Void
        let done: (Result<Void, StorageError>) -> Void
    }

    private init(thread: EventThread) { self.thread = thread }

    /// - Throws: `.unavailable` when there is no connection within the limit; why, goes to `log`, without the URL.
    ///   `.database` when the URL cannot be understood.
    static func connect(
        to url: String, on thread: EventThread, within limit: Duration, log: @escaping @Sendable (String) -> Void
    ) async throws(StorageError) -> PostgresConnection {
        guard PostgresURL.isUsable(url) else { throw .database(detail: "the connection URL is malformed") }
        let connection = PostgresConnection(thread: thread)
        let result: Result<Void, StorageError> = await withCheckedContinuation { continuation in
            let isRunning = thread.submit {
                connection.start(url, within: limit, log: log) { continuation.resume(returning: $0) }
            }
            if !isRunning { continuation.resume(returning: .failure(.unavailable)) }
        }
        try result.get()
        return connection
    }

    /// False once it is of no more use. May become so at any time.
    var isUsable: Bool { self.usable.load(ordering: .acquiring) }

    /// Closes the connection; a request in progress fails with `.unavailable`.
    func close() {
        self.usable.store(false, ordering: .releasing)
        self.thread.submit { self.fail(because: "closed") }
    }

    /// Runs statements in one round trip and one implicit transaction, unless they say otherwise. After a failure the
    /// later ones are skipped.
    ///
    /// - Throws: The first failure; `.unavailable` when the connection is lost, or no whole answer comes in time.
    func execute(
        _ statements: [PostgresStatement], within limit: Duration
    ) async throws(PostgresFailure) -> [PostgresRows] {
        let result: Result<[PostgresRows], PostgresFailure> = await withCheckedContinuation { continuation in
            let isRunning = self.thread.submit {
                self.begin(
                    PostgresRequest(statements, stream: nil) { continuation.resume(returning: $0) }, within: limit)
            }
            if !isRunning { continuation.resume(returning: .failure(.unavailable)) }
        }
        return try result.get()
    }

    /// Runs one statement whose rows go to `stream` as they come, with back-pressure.
    ///
    /// - Parameter limit: Longest time without a row while the consumer waits for one.
    func stream(_ statement: PostgresStatement, to stream: RowStream, within limit: Duration) {
        let isRunning = self.thread.submit {
            self.begin(PostgresRequest([statement], stream: stream) { stream.finish($0.map { _ in }) }, within: limit)
        }
        if !isRunning { stream.finish(.failure(.unavailable)) }
    }

    /// Continues to read after `RowStream` was full.
    func resumeReading() { self.thread.submit { self.advance() } }

    // MARK: Connecting

    private func start(
        _ url: String, within limit: Duration, log: @escaping @Sendable (String) -> Void,
        _ done: @escaping (Result<Void, StorageError>) -> Void
    ) {
        let timer = self.thread.startTimer(at: .now + limit) { [self] in self.fail(because: "no connection in time") }
        self.connecting = Connecting(timer: timer, log: log, done: done)
        // libpq looks the host's name up and may wait long for that: on a thread of its own, as this one waits for nobody.
        Thread.detachNewThread {
            nonisolated(unsafe) let handle = PQconnectStart(url)
            let isRunning = self.thread.submit { self.started(handle) }
            if !isRunning { PQfinish(handle) }
        }
    }

    private func started(_ handle: OpaquePointer?) {
        guard self.connecting != nil else { return PQfinish(handle) }
        guard let handle else { return self.fail(because: "out of memory") }
        self.handle = handle
        guard PQstatus(handle) != CONNECTION_BAD else { return self.fail(because: nil) }
        self.watch(readable: false, writable: true)
    }

    private func pollConnecting() {
        guard let handle = self.handle else { return }
        // libpq may close this socket and go on to another address, whose socket may have the same number.
        if let watched = self.watched.take() { self.thread.forget(watched) }
        switch PQconnectPoll(handle) {
        case PGRES_POLLING_READING: self.watch(readable: true, writable: false)
        case PGRES_POLLING_WRITING: self.watch(readable: false, writable: true)
        case PGRES_POLLING_OK:
            guard PQsetnonblocking(handle, 1) == 0, PQenterPipelineMode(handle) == 1 else {
                return self.fail(because: nil)
            }
            self.watch(readable: true, writable: false)
            guard let connecting = self.connecting.take() else { return }
            self.thread.cancelTimer(connecting.timer)
            self.usable.store(true, ordering: .releasing)
            connecting.done(.success(()))
        default: self.fail(because: nil)
        }
    }

    // MARK: Requests

    private func begin(_ request: PostgresRequest, within limit: Duration) {
        guard let handle = self.handle, self.request == nil else { return request.fail(.unavailable) }
        self.request = request
        request.limit = limit
        self.startTimer(of: request)
        guard request.send(on: handle, prepared: self.prepared) else { return self.fail() }
        self.advance()
    }

    private func startTimer(of request: PostgresRequest) {
        self.cancelTimer(of: request)
        request.timer = self.thread.startTimer(at: .now + request.limit) { [self] in self.fail() }
    }

    private func cancelTimer(of request: PostgresRequest) {
        if let timer = request.timer.take() { self.thread.cancelTimer(timer) }
    }

    func socketIsReady(readable: Bool, writable: Bool, broken: Bool) {
        if self.connecting != nil { return self.pollConnecting() }
        guard let handle = self.handle else { return }
        if readable || broken {
            // Also tells a connection that the server has closed while nothing was asked of it.
            guard PQconsumeInput(handle) == 1 else { return self.fail() }
            if self.request == nil, broken { return self.fail() }
        }
        self.advance()
    }

    /// Sends what is left to send, takes what has come.
    private func advance() {
        guard let handle = self.handle else { return }
        let flushed = PQflush(handle)
        guard flushed >= 0 else { return self.fail() }
        guard let request = self.request else { return self.watch(readable: true, writable: flushed == 1) }
        switch request.take(from: handle) {
        case .waiting:
            if request.isStreaming { self.startTimer(of: request) }
            self.watch(readable: true, writable: flushed == 1)
        case .full:
            // How long its consumer may take is not for the database to say.
            self.cancelTimer(of: request)
            self.watch(readable: false, writable: flushed == 1)
        case .broken: self.fail()
        case .done:
            self.request = nil
            self.prepared.formUnion(request.newlyPrepared)
            self.cancelTimer(of: request)
            self.watch(readable: true, writable: false)
            request.finish()
        }
    }

    private func watch(readable: Bool, writable: Bool) {
        guard let handle = self.handle else { return }
        let socket = PQsocket(handle)
        if let watched = self.watched, watched != socket { self.thread.forget(watched) }
        guard socket >= 0 else { return }
        self.watched = socket
        self.thread.watch(socket, readable: readable, writable: writable, self)
    }

    /// Nothing is asked of the connection any more; whoever waits for it is told.
    ///
    /// - Parameter reason: Why it could not be made; `nil` when libpq knows.
    private func fail(because reason: String? = nil) {
        self.usable.store(false, ordering: .releasing)
        if let watched = self.watched.take() { self.thread.forget(watched) }
        let handle = self.handle.take()
        if let connecting = self.connecting.take() {
            self.thread.cancelTimer(connecting.timer)
            connecting.log(reason ?? PostgresURL.reason(of: handle))
            connecting.done(.failure(.unavailable))
        }
        if let request = self.request.take() {
            self.cancelTimer(of: request)
            request.fail(.unavailable)
        }
        if let handle { PQfinish(handle) }
    }
}
