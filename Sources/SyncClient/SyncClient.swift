import NIOCore
public import SyncProtocol
import Synchronization

/// One authenticated connection to a server, for one user's device (docs/contract/wire.md, docs/contract/rpc.md).
///
/// Blobs go out as they are given: encrypt before, decrypt after. All members may be called from any task.
public final class SyncClient: Sendable {
    public struct Configuration: Sendable {
        /// Whose subprotocol is offered; makes no other difference.
        public var family = ProtocolFamily.less
        /// Longest time without an answer, or without the next chunk of one.
        public var requestTimeout: Duration = .seconds(30)
        /// Events kept until somebody takes them; more turn into `SyncEvent.missed`.
        public var eventsMax = 1_024
        /// Bytes of those events.
        public var eventBytesMax = 16_777_216

        public init() {}
    }

    private struct State {
        var pending = PendingRequests()
        var events: EventQueue
        var reader: Task<Void, Never>?
    }

    // Fixed after init.
    private let connection: any FrameConnection
    private let clock: any Clock<Duration>
    /// `requestTimeout` in whole ticks.
    private let timeoutTicks: Int

    private static let tick: Duration = .seconds(1)

    // Guarded by itself.
    private let state: Mutex<State>

    /// Speaks over an open connection and owns it from now on.
    package init(
        over connection: any FrameConnection, token: String, _ configuration: Configuration,
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        self.connection = connection
        self.clock = clock
        self.timeoutTicks = max(1, Int((configuration.requestTimeout / Self.tick).rounded(.up)))
        let events = EventQueue(eventsMax: configuration.eventsMax, bytesMax: configuration.eventBytesMax)
        self.state = Mutex(State(events: events))
        connection.enqueue(FrameEncoder.auth(token: token))
        // Owned by this object and awaited in `close()`.
        let reader = Task { await self.run() }
        self.state.withLock { $0.reader = reader }
    }

    /// Why calls fail, once the connection has ended.
    public var failure: SyncClientError? { self.state.withLock { $0.pending.failure } }

    /// Ends the connection and waits until nothing of it is left. Calls in progress fail with `.disconnected`.
    public func close() async {
        // First, because the reader may wait for the consumer of a pull.
        self.failAll(.disconnected(nil))
        self.connection.close(CloseFrame(code: 1000, reason: "client close"))
        await self.state.withLock { $0.reader }?.value
    }
}

// MARK: - Methods

extension SyncClient {
    public func subscribe(_ spaces: [SubscribeParams.Entry]) async throws(SyncClientError) -> SubscribeResult {
        try await self.call(.subscribe, SubscribeParams(spaces: spaces))
    }

    public func unsubscribe(_ spaces: [SpaceID]) async throws(SyncClientError) {
        let params = UnsubscribeParams(spaces: spaces.map(\.wireText))
        try await self.send(FrameEncoder.notification(method: .unsubscribe, params: params))
    }

    public func push(_ params: PushParams) async throws(SyncClientError) -> PushResult {
        try await self.call(.push, params)
    }

    /// - Throws: `.refused` with the server's text when it does not take the token; the earlier one stays in force.
    public func refreshToken(_ token: String) async throws(SyncClientError) {
        let result: TokenRefreshResult = try await self.call(.tokenRefresh, TokenParams(token: token))
        if let error = result.error { throw .refused(code: RPCErrorCode.forbidden.rawValue, message: error) }
    }

    /// Pulls and hands over each chunk as it comes. The counts of the server are checked against the chunks received.
    ///
    /// While `consume` works, a bounded number of chunks waits; then the whole connection does. So `consume` must not wait
    /// for other calls on this client.
    public func pull(
        _ spaces: [PullParams.Entry], _ consume: (PullChunk) async throws -> Void
    ) async throws {
        var entries: Int64 = 0
        try await self.stream(.pull, PullParams(spaces: spaces)) { chunk in
            let chunk = try PullChunk(chunk)
            if case .begin = chunk { entries = 0 }
            if chunk.isEntry { entries += 1 }
            if case .commit(let commit) = chunk, commit.count != entries {
                throw SyncClientError.protocolViolation("\(entries) entries instead of \(commit.count)")
            }
            try await consume(chunk)
        }
    }

    /// The next event, in the order of the server; `nil` once the connection has ended or the task is cancelled. One
    /// waiter at a time.
    public func nextEvent() async -> SyncEvent? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let wake = self.state.withLock { state in
                    Task.isCancelled ? (continuation, nil) : state.events.wait(continuation)
                }
                wake?.continuation.resume(returning: wake?.event)
            }
        } onCancel: {
            let wake = self.state.withLock { $0.events.endWait() }
            wake?.continuation.resume(returning: nil)
        }
    }
}

// MARK: - Calls

extension SyncClient {
    func call<Answer: WireDecodable>(
        _ method: Method, _ params: some WireEncodable
    ) async throws(SyncClientError) -> Answer {
        let id = self.state.withLock { $0.pending.makeID() }
        let frame = FrameEncoder.request(id: id, method: method, params: params)
        do {
            return try Self.decode(try await self.answer(to: id, frame, chunks: nil))
        } catch let error as SyncClientError {
            throw error
        } catch {
            throw .cancelled
        }
    }

    /// Calls a method whose answer comes in chunks, and hands each over as it comes.
    ///
    /// - Throws: What `consume` throws; `.protocolViolation` unless the result tells the number of the chunks that came.
    @discardableResult
    func stream(
        _ method: Method, _ params: some WireEncodable, _ consume: (ReceivedChunk) async throws -> Void
    ) async throws -> FramePayload {
        let chunks = ChunkChannel()
        let id = self.state.withLock { $0.pending.makeID() }
        let frame = FrameEncoder.request(id: id, method: method, params: params)
        async let answer = self.answer(to: id, frame, chunks: chunks)
        var count: Int64 = 0
        do {
            while let chunk = await chunks.next() {
                count += 1
                try await consume(chunk)
            }
        } catch {
            self.abandon(id)
            throw error
        }
        let result = try await answer
        let told: ChunkCount = try Self.decode(result)
        guard told.chunks == count else {
            throw SyncClientError.protocolViolation("\(count) chunks instead of \(told.chunks)")
        }
        return result
    }

    /// - Throws: `SyncClientError`.
    private func answer(to id: String, _ frame: ByteBuffer, chunks: ChunkChannel?) async throws -> FramePayload {
        defer { chunks?.end() }
        try await self.waitForRoom()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let entry = PendingRequests.Entry(
                    continuation: continuation, chunks: chunks, ticksLeft: self.timeoutTicks)
                let failure = self.state.withLock { state -> SyncClientError? in
                    if let failure = state.pending.failure { return failure }
                    guard !Task.isCancelled else { return .cancelled }
                    state.pending.add(entry, id: id)
                    return nil
                }
                if let failure {
                    continuation.resume(throwing: failure)
                } else {
                    self.connection.enqueue(frame)
                }
            }
        } onCancel: {
            self.abandon(id)
        }
    }

    func send(_ frame: ByteBuffer) async throws(SyncClientError) {
        try await self.waitForRoom()
        self.connection.enqueue(frame)
    }

    private func waitForRoom() async throws(SyncClientError) {
        do { try await self.connection.room() } catch {
            throw self.failure ?? (Task.isCancelled ? .cancelled : .disconnected(nil))
        }
    }

    /// Forgets a request whose caller has given up; its chunks are dropped from now on.
    private func abandon(_ id: String) {
        let entry = self.state.withLock { $0.pending.remove(id) }
        entry?.chunks?.end()
        entry?.continuation.resume(throwing: SyncClientError.cancelled)
    }

    private static func decode<Answer: WireDecodable>(_ payload: FramePayload) throws(SyncClientError) -> Answer {
        do { return try payload.decode() } catch { throw .protocolViolation("undecodable result") }
    }
}

// MARK: - Reading

extension SyncClient {
    /// Reads until the connection ends; the overdue requests are looked for beside it.
    private func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.watchDeadlines() }
            group.addTask { await self.read() }
            await group.next()
            group.cancelAll()
        }
        await self.connection.waitUntilClosed()
    }

    private func read() async {
        var failure = SyncClientError.disconnected(nil)
        reading: while true {
            switch await self.connection.receive() {
            case .binary(let message):
                guard let frame = try? FrameDecoder.decodeServerFrame(message) else {
                    failure = .protocolViolation("undecodable frame")
                    self.connection.close(CloseFrame(code: 1002, reason: "undecodable frame"))
                    break reading
                }
                await self.take(frame)
            case .text: continue
            case .ended:
                failure = .disconnected(self.connection.peerClose)
                self.connection.closeEcho()
                break reading
            }
        }
        self.failAll(failure)
    }

    /// No call succeeds any more, and no event comes.
    private func failAll(_ failure: SyncClientError) {
        let (entries, wake) = self.state.withLock { ($0.pending.failAll(failure), $0.events.end()) }
        for entry in entries { Self.fail(entry, failure) }
        wake?.continuation.resume(returning: nil)
    }

    private func take(_ frame: ServerFrame) async {
        switch frame {
        case .keepalive, .ignored: return
        case .response(let id, let result): self.state.withLock { $0.pending.remove(id) }?.succeed(result)
        case .failure(let id, let error):
            guard let entry = self.state.withLock({ $0.pending.remove(id) }) else { return }
            Self.fail(entry, .refused(code: error.code, message: error.message))
        case .chunk(let id, let name, let data):
            let ticks = self.timeoutTicks
            guard let channel = self.state.withLock({ $0.pending.chunkChannel(id, ticks: ticks) }) else { return }
            await channel.send(ReceivedChunk(name: name, data: data))
        case .notification(let method, let params): self.announce(method, params)
        }
    }

    private func announce(_ method: String, _ params: FramePayload) {
        let event = SyncEvent(method: method, params: params)
        let wake = self.state.withLock { $0.events.add(event, bytes: params.byteCount) }
        wake?.continuation.resume(returning: wake?.event)
    }

    private func watchDeadlines() async {
        while (try? await self.clock.sleep(for: Self.tick)) != nil {
            for entry in self.state.withLock({ $0.pending.tick() }) { Self.fail(entry, .timedOut) }
        }
    }

    private static func fail(_ entry: PendingRequests.Entry, _ error: SyncClientError) {
        entry.chunks?.end()
        entry.continuation.resume(throwing: error)
    }
}

extension PendingRequests.Entry {
    /// The chunks that have come are still there for the consumer.
    func succeed(_ result: FramePayload) {
        self.chunks?.end()
        self.continuation.resume(returning: result)
    }
}

extension FramePayload {
    var byteCount: Int { self.item?.readableBytes ?? 0 }
}
