import CLibPQ
import DequeModule
import NIOCore
import SyncStorage

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
/// `@unchecked Sendable`: everything but `thread` and `isUsable` is used on the event thread alone. A statement that fails
/// leaves the connection usable; a lost connection, a broken protocol and a missed deadline do not.
final class PostgresConnection: @unchecked Sendable, EventThread.Handler {
    // Fixed after init.
    let thread: EventThread

    // Event thread only.
    private(set) var handle: OpaquePointer?
    private var watched: Int32?
    private var connecting: Connecting?
    private var request: PostgresRequest?
    private var prepared: Set<String> = []

    private struct Connecting {
        let timer: EventThread.TimerID
        let done: (Result<Void, StorageError>) -> Void
    }

    private init(thread: EventThread) { self.thread = thread }

    /// - Throws: `.unavailable` when there is no connection within the limit. Why, goes to `log`, without the URL.
    static func connect(
        to url: String, on thread: EventThread, within limit: Duration, log: @escaping @Sendable (String) -> Void
    ) async throws(StorageError) -> PostgresConnection {
        let connection = PostgresConnection(thread: thread)
        let result: Result<Void, StorageError> = await withCheckedContinuation { continuation in
            thread.submit { connection.start(url, within: limit, log: log) { continuation.resume(returning: $0) } }
        }
        try result.get()
        return connection
    }

    /// Closes the connection; a request in progress fails with `.unavailable`.
    func close() { self.thread.submit { self.fail(.unavailable) } }

    /// Runs statements in one round trip and one implicit transaction, unless they say otherwise. After a failure the
    /// later ones are skipped.
    ///
    /// - Throws: The first failure; `.unavailable` when the connection is lost, or no whole answer comes in time.
    func execute(
        _ statements: [PostgresStatement], within limit: Duration
    ) async throws(PostgresFailure) -> [PostgresRows] {
        let result: Result<[PostgresRows], PostgresFailure> = await withCheckedContinuation { continuation in
            self.thread.submit {
                self.begin(
                    PostgresRequest(statements, stream: nil) { continuation.resume(returning: $0) }, within: limit)
            }
        }
        return try result.get()
    }

    /// Runs one statement whose rows go to `stream` as they come, with back-pressure.
    ///
    /// - Parameter limit: Longest time without a row while the consumer waits for one.
    func stream(_ statement: PostgresStatement, to stream: RowStream, within limit: Duration) {
        self.thread.submit {
            self.begin(PostgresRequest([statement], stream: stream) { stream.finish($0.map { _ in }) }, within: limit)
        }
    }

    /// Continues to read after `RowStream` was full.
    func resumeReading() { self.thread.submit { self.advance() } }

    // MARK: Connecting

    private func start(
        _ url: String, within limit: Duration, log: @escaping @Sendable (String) -> Void,
        _ done: @escaping (Result<Void, StorageError>) -> Void
    ) {
        // libpq's own complaint about a URL quotes it, password and all.
        guard let options = PQconninfoParse(url, nil) else {
            log("the connection URL is malformed")
            return done(.failure(.unavailable))
        }
        PQconninfoFree(options)
        guard let handle = PQconnectStart(url) else { return done(.failure(.unavailable)) }
        self.handle = handle
        let timer = self.thread.startTimer(at: .now + limit) { [self] in
            log("no connection in time")
            self.fail(.unavailable)
        }
        self.connecting = Connecting(timer: timer) { result in
            if case .failure = result { log(Self.message(of: handle)) }
            done(result)
        }
        guard PQstatus(handle) != CONNECTION_BAD else { return self.fail(.unavailable) }
        self.watch(readable: false, writable: true)
    }

    private func pollConnecting() {
        guard let handle = self.handle else { return }
        let status = PQconnectPoll(handle)
        // libpq may have gone on to another address, with another socket.
        switch status {
        case PGRES_POLLING_READING: self.watch(readable: true, writable: false)
        case PGRES_POLLING_WRITING: self.watch(readable: false, writable: true)
        case PGRES_POLLING_OK:
            guard PQsetnonblocking(handle, 1) == 0, PQenterPipelineMode(handle) == 1 else {
                return self.fail(.unavailable)
            }
            self.watch(readable: true, writable: false)
            guard let connecting = self.connecting.take() else { return }
            self.thread.cancelTimer(connecting.timer)
            connecting.done(.success(()))
        default: self.fail(.unavailable)
        }
    }

    // MARK: Requests

    private func begin(_ request: PostgresRequest, within limit: Duration) {
        guard let handle = self.handle, self.request == nil else { return request.fail(.unavailable) }
        self.request = request
        request.limit = limit
        self.startTimer(of: request)
        guard request.send(on: handle, prepared: self.prepared) else { return self.fail(.unavailable) }
        self.advance()
    }

    private func startTimer(of request: PostgresRequest) {
        self.cancelTimer(of: request)
        request.timer = self.thread.startTimer(at: .now + request.limit) { [self] in self.fail(.unavailable) }
    }

    private func cancelTimer(of request: PostgresRequest) {
        if let timer = request.timer.take() { self.thread.cancelTimer(timer) }
    }

    func socketIsReady(readable: Bool, writable: Bool, broken: Bool) {
        if self.connecting != nil { return self.pollConnecting() }
        guard let handle = self.handle else { return }
        if readable || broken {
            // Also tells a connection that the server has closed while nothing was asked of it.
            guard PQconsumeInput(handle) == 1 else { return self.fail(.unavailable) }
            if self.request == nil, broken { return self.fail(.unavailable) }
        }
        self.advance()
    }

    /// Sends what is left to send, takes what has come.
    private func advance() {
        guard let handle = self.handle else { return }
        let flushed = PQflush(handle)
        guard flushed >= 0 else { return self.fail(.unavailable) }
        guard let request = self.request else { return self.watch(readable: true, writable: flushed == 1) }
        switch request.take(from: handle) {
        case .waiting:
            if request.isStreaming { self.startTimer(of: request) }
            self.watch(readable: true, writable: flushed == 1)
        case .full:
            // How long its consumer may take is not for the database to say.
            self.cancelTimer(of: request)
            self.watch(readable: false, writable: flushed == 1)
        case .broken: self.fail(.unavailable)
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

    private func fail(_ error: StorageError) {
        guard let handle = self.handle.take() else { return }
        if let watched = self.watched.take() { self.thread.forget(watched) }
        if let connecting = self.connecting.take() {
            self.thread.cancelTimer(connecting.timer)
            connecting.done(.failure(error))
        }
        if let request = self.request.take() {
            self.cancelTimer(of: request)
            request.fail(.unavailable)
        }
        PQfinish(handle)
    }

    /// The first line: later ones may quote what was sent.
    private static func message(of handle: OpaquePointer) -> String {
        let text = PQerrorMessage(handle).map { String(cString: $0) } ?? ""
        return text.split(separator: "\n").first.map(String.init) ?? "no reason given"
    }
}

extension PostgresConnection {
    /// False once it is of no more use. For the pool, between two callers.
    func isUsable() async -> Bool {
        await withCheckedContinuation { continuation in
            self.thread.submit { continuation.resume(returning: self.handle != nil && self.request == nil) }
        }
    }
}
