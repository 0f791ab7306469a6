import DequeModule
import NIOCore
import SyncProtocol
import SyncTesting
import Synchronization

/// The client's end of a connection. Used by one task at a time.
final class TestClient: Sendable {
    /// Thrown when something is awaited from a connection that the server has closed.
    struct Closed: Error, Hashable {
        /// `nil`: the connection is gone, or the test's time is over.
        let frame: CloseFrame?
    }

    /// What arrived for one request: its chunks, then its result.
    struct Answer {
        var chunks: [Chunk] = []
        var result: FramePayload

        struct Chunk {
            let name: String
            let data: FramePayload
        }
    }

    let connection: MemoryConnection

    private struct State {
        var requests = 0
        var notifications: Deque<(method: String, params: FramePayload)> = []
    }

    private let state = Mutex(State())
    /// Returns when no write is in progress.
    private let writesEnd: @Sendable () async throws -> Void

    init(_ connection: MemoryConnection, writesEnd: @escaping @Sendable () async throws -> Void = {}) {
        self.connection = connection
        self.writesEnd = writesEnd
    }

    func authenticate(_ token: String) { self.connection.send(FrameEncoder.auth(token: token)) }

    func send(hex: String) { self.connection.send(ByteBuffer(hex: hex)) }

    /// - Returns: The id of the request.
    @discardableResult
    func request(_ method: Method, _ params: some WireEncodable) -> String {
        let id = self.nextID()
        self.connection.send(FrameEncoder.request(id: id, method: method, params: params))
        return id
    }

    func notify(_ method: Method, _ params: some WireEncodable) {
        self.connection.send(FrameEncoder.notification(method: method, params: params))
    }

    /// The next frame.
    func next() async throws -> ServerFrame {
        switch await self.connection.next() {
        case .frame(let bytes): return try FrameDecoder.decodeServerFrame(bytes)
        case .close(let frame): throw Closed(frame: frame)
        case .closeEcho, nil: throw Closed(frame: nil)
        }
    }

    /// Everything up to the answer of one request; notifications in between are kept for `hear`.
    ///
    /// - Throws: `ErrorBody` when it is an error response.
    func answer(to id: String) async throws -> Answer {
        var chunks: [Answer.Chunk] = []
        while true {
            switch try await self.next() {
            case .chunk(id: id, let name, let data): chunks.append(.init(name: name, data: data))
            case .response(id: id, let result): return Answer(chunks: chunks, result: result)
            case .failure(id: id, let error): throw error
            case .notification(let method, let params):
                self.state.withLock { $0.notifications.append((method, params)) }
            case let frame: throw UnexpectedFrame(description: "\(frame)")
            }
        }
    }

    func call<Result: WireDecodable>(
        _ method: Method, _ params: some WireEncodable, as result: Result.Type = Result.self
    ) async throws -> Result {
        try await self.answer(to: self.request(method, params)).result.decode()
    }

    /// The next notification, which must be the next frame unless it has arrived already, and one of `method`.
    func hear<Params: WireDecodable>(_ method: Method, as params: Params.Type = Params.self) async throws -> Params {
        let (heard, params) = try await self.nextNotification()
        guard heard == method.rawValue else { throw UnexpectedFrame(description: "\(heard), not \(method)") }
        return try params.decode()
    }

    /// The next notification, whatever it is.
    func nextNotification() async throws -> (method: String, params: FramePayload) {
        if let notification = self.state.withLock({ $0.notifications.popFirst() }) { return notification }
        guard case .notification(let method, let params) = try await self.next() else {
            throw UnexpectedFrame(description: "not a notification")
        }
        return (method, params)
    }

    /// The next `sync`.
    func notification() async throws -> SyncNotification { try await self.hear(.sync) }

    /// Every `sync` that arrived before the answers read so far.
    var earlierNotifications: [SyncNotification] {
        self.state.withLock { state in
            state.notifications.filter { $0.method == Method.sync.rawValue }.compactMap { try? $0.params.decode() }
        }
    }

    /// Whether some notification has been read beside an answer, and not heard.
    var hasNotifications: Bool { self.state.withLock { !$0.notifications.isEmpty } }

    /// Methods of all notifications that have arrived and were not heard, in the order of their arrival. Takes them.
    ///
    /// Those of requests of other clients that have been answered are among them: a write is answered before it is told of, and
    /// ends after that.
    func takeNotifications() async throws -> [String] {
        try await self.writesEnd()
        try await self.settle()
        return self.state.withLock { state in
            defer { state.notifications = [] }
            return state.notifications.map(\.method)
        }
    }

    /// Reads on until the server closes.
    func closeFrame() async -> CloseFrame? {
        while let received = await self.connection.next() {
            switch received {
            case .frame: continue
            case .close(let frame): return frame
            case .closeEcho: return nil
            }
        }
        return nil
    }

    /// Waits until the server has dealt with everything sent so far in the ordinary lane.
    func settle() async throws {
        let id = self.nextID()
        self.connection.send(FrameEncoder.request(id: id, method: .sync, params: TokenParams(token: "")))
        do {
            _ = try await self.answer(to: id)
        } catch let error as ErrorBody {
            guard error.knownCode == .methodNotFound else { throw error }
        }
    }

    private func nextID() -> String {
        self.state.withLock { state in
            state.requests += 1
            return "rpc-\(state.requests)"
        }
    }
}

struct UnexpectedFrame: Error, CustomStringConvertible {
    let description: String
}

extension TestClient {
    func subscribe(_ spaces: SpaceID...) async throws -> SubscribeResult {
        try await self.call(.subscribe, SubscribeParams(spaces: spaces.map { .init(id: $0.wireText) }))
    }

    func push(_ changes: [PushParams.Change], to space: SpaceID) async throws -> PushResult {
        try await self.call(.push, PushParams(space: space.wireText, changes: changes))
    }

    func pull(_ space: SpaceID, since: Int64 = 0) async throws -> Answer {
        try await self.answer(to: self.request(.pull, PullParams(spaces: [.init(id: space.wireText, since: since)])))
    }
}

extension ByteBuffer {
    /// From pairs of hex digits; white space is skipped.
    init(hex: String) {
        let digits = hex.compactMap(\.hexDigitValue)
        self.init()
        for index in stride(from: 0, to: digits.count - 1, by: 2) {
            self.writeInteger(UInt8(digits[index] << 4 | digits[index + 1]))
        }
    }
}

extension TestClient {
    func setPresence(_ data: ByteBuffer, in space: SpaceID) {
        self.notify(.presenceSet, PresenceParams(space: space.wireText, data: data))
    }

    func clearPresence(in space: SpaceID) {
        self.notify(.presenceClear, PresenceClearParams(space: space.wireText))
    }

    func sendEvent(_ data: ByteBuffer, to space: SpaceID) {
        self.notify(.eventSend, PresenceParams(space: space.wireText, data: data))
    }

    /// Subscribes and asks who is there.
    func peers(in space: SpaceID) async throws -> [SubscribeResult.Peer] {
        let result: SubscribeResult = try await self.call(
            .subscribe, SubscribeParams(spaces: [.init(id: space.wireText, presence: true)]))
        return result.spaces.first?.peers ?? []
    }
}
