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

/// Hears of notifications on one connection. Called on the event thread; must not block.
struct PostgresListener: Sendable {
    var received: @Sendable (_ payload: String) -> Void
    /// The connection is over, or was never made. May be called more than once.
    var ended: @Sendable () -> Void
}

/// One connection, used by one caller at a time: whoever has it from the pool.
///
/// `@unchecked Sendable`: everything but `thread`, `notices` and `usable` is used on the event thread alone. A statement that
/// fails leaves the connection usable; a lost connection, a broken protocol, a missed deadline and an open transaction do
/// not.
final class PostgresConnection: @unchecked Sendable, EventThread.Handler {
    // Fixed after init.
    let thread: EventThread
    private let notices: PostgresNotices
    private let listener: PostgresListener?

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

    private init(thread: EventThread, notices: PostgresNotices, listener: PostgresListener?) {
        self.thread = thread
        self.notices = notices
        self.listener = listener
    }

    /// - Parameters:
    ///   - settings: Run first, if given.
    ///   - log: Takes the reason of a failure, without the URL.
    ///   - notice: Takes what the server remarks.
    ///   - listener: Hears of the channels that the session listens to.
    ///   - isCancellable: Whether a cancelled task gives up. Not for one that acts for others.
    /// - Throws: `.unavailable` when there is no connection within the limit. `.database` when the URL cannot be understood.
    static func connect(
        to url: String, on thread: EventThread, within limit: Duration, settings: PostgresStatement? = nil,
        log: @escaping @Sendable (String) -> Void, notice: @escaping @Sendable (PostgresNotice) -> Void = { _ in },
        listener: PostgresListener? = nil, isCancellable: Bool = false
    ) async throws(StorageError) -> PostgresConnection {
        guard let connector = PostgresConnector(url: url) else {
            throw .database(detail: "the connection URL is malformed")
        }
        return try await Self.connect(
            with: connector, on: thread, within: limit, settings: settings, log: log, notice: notice,
            listener: listener, isCancellable: isCancellable)
    }

    static func connect(
        with connector: PostgresConnector, on thread: EventThread, within limit: Duration,
        settings: PostgresStatement? = nil, log: @escaping @Sendable (String) -> Void,
        notice: @escaping @Sendable (PostgresNotice) -> Void = { _ in }, listener: PostgresListener? = nil,
        isCancellable: Bool = false
    ) async throws(StorageError) -> PostgresConnection {
        let connection = PostgresConnection(thread: thread, notices: PostgresNotices(notice), listener: listener)
        let deadline = ContinuousClock.now + limit
        let result: Result<Void, StorageError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isRunning = thread.submit {
                    connection.start(connector, until: deadline, log: log) { continuation.resume(returning: $0) }
                }
                if !isRunning { continuation.resume(returning: .failure(.unavailable)) }
                // The handler may have run before there was something to stop.
                if isCancellable, Task.isCancelled { connection.stopConnecting() }
            }
        } onCancel: {
            if isCancellable { connection.stopConnecting() }
        }
        try result.get()
        guard let settings else { return connection }
        do {
            _ = try await connection.execute([settings], within: max(.zero, deadline - .now))
            return connection
        } catch {
            log("cannot set up the session: \(error.storageError)")
            connection.close()
            throw error.storageError
        }
    }

    /// False once it is of no more use, and while something is asked of it.
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
    func resumeReading() { self.thread.submit { self.receive() } }

    // MARK: Connecting

    private func start(
        _ connector: PostgresConnector, until deadline: ContinuousClock.Instant,
        log: @escaping @Sendable (String) -> Void,
        _ done: @escaping (Result<Void, StorageError>) -> Void
    ) {
        let timer = self.thread.startTimer(at: deadline) { [self] in self.fail(because: connector.tooSlow) }
        self.connecting = Connecting(timer: timer, log: log, done: done)
        self.thread.join(self)
        Thread.detachNewThread {
            // Nobody else has it yet.
            nonisolated(unsafe) let outcome = connector.connect(until: deadline, notices: self.notices)
            let isRunning = self.thread.submit { self.connected(outcome) }
            if !isRunning, case .connected(let handle) = outcome { PQfinish(handle) }
        }
    }

    /// Tells the caller that there is no connection, unless it has one already.
    private func stopConnecting() {
        self.thread.submit {
            guard let connecting = self.connecting.take() else { return }
            self.thread.cancelTimer(connecting.timer)
            self.thread.leave(self)
            connecting.done(.failure(.unavailable))
        }
    }

    private func connected(_ outcome: PostgresConnector.Outcome) {
        switch outcome {
        case .failed(let reason):
            if self.connecting != nil { self.fail(because: reason) }
        case .connected(let handle):
            // The caller may have been told already that there is none.
            guard let connecting = self.connecting.take() else { return PQfinish(handle) }
            self.thread.cancelTimer(connecting.timer)
            self.handle = handle
            self.watch(readable: true, writable: false)
            self.usable.store(true, ordering: .releasing)
            connecting.done(.success(()))
        }
    }

    // MARK: Requests

    private func begin(_ request: PostgresRequest, within limit: Duration) {
        guard let handle = self.handle, self.request == nil else { return request.fail(.unavailable) }
        self.request = request
        self.usable.store(false, ordering: .releasing)
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
        guard self.handle != nil else { return }
        guard readable || broken else { return self.advance() }
        self.receive()
        // The server has closed it, or says something, while nothing was asked of it.
        if self.request == nil, broken { self.fail() }
    }

    func threadEnds() { self.fail(because: "closed") }

    /// Reads what is there.
    ///
    /// Of a TLS record libpq may read a part, and the socket does not tell of the rest. So it is read until nothing has come
    /// out of it for so many times that libpq's buffer, which grows twofold each time, would hold the longest row.
    private func receive() {
        var idle = 0
        while let handle = self.handle {
            guard PQconsumeInput(handle) == 1 else { return self.fail() }
            let before = self.request?.resultsTaken ?? 0
            self.advance()
            let expectsMore = self.request.map { !$0.isStopped } ?? (self.listener != nil)
            guard expectsMore, self.handle != nil, PQsslInUse(handle) == 1 else { return }
            idle = self.request?.resultsTaken ?? 0 == before ? idle + 1 : 0
            if idle == Self.idleReadsMax { return }
        }
    }

    /// 16 KiB, doubled so many times, are 16 MiB.
    private static let idleReadsMax = 10

    /// Sends what is left to send, takes what has come.
    private func advance() {
        self.advanceRequest()
        guard let listener = self.listener, let handle = self.handle else { return }
        while let notification = PQnotifies(handle) {
            defer { PQfreemem(notification) }
            listener.received(String(cString: notification.pointee.extra))
        }
    }

    private func advanceRequest() {
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
            self.usable.store(
                PQtransactionStatus(handle) == PQTRANS_IDLE && !request.isConnectionOutdated, ordering: .releasing)
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
    /// - Parameter reason: Why it could not be made.
    private func fail(because reason: String = "closed") {
        self.usable.store(false, ordering: .releasing)
        self.thread.leave(self)
        if let watched = self.watched.take() { self.thread.forget(watched) }
        if let handle = self.handle.take() { PQfinish(handle) }
        if let connecting = self.connecting.take() {
            self.thread.cancelTimer(connecting.timer)
            connecting.log(reason)
            connecting.done(.failure(.unavailable))
        }
        if let request = self.request.take() {
            self.cancelTimer(of: request)
            request.fail(.unavailable)
        }
        self.listener?.ended()
    }
}
