import Logging
import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage

/// Why a handler stopped without an answer of its own.
enum RequestFailure: Error, Hashable {
    /// Answer with an error response.
    case refused(RPCError)
    /// Nobody is left to answer.
    case connectionEnded
}

/// What became of a request, for metrics and the log.
enum RPCOutcome: Hashable, Sendable {
    case ok
    /// Refused, in an error response or inside the result.
    case refused(RPCErrorCode)
    /// The result says no without a code of the protocol (`token.refresh`).
    case declined
    /// The connection ended before the answer.
    case unanswered

    var label: String {
        switch self {
        case .ok: "ok"
        case .refused(let code): code.rawValue
        case .declined: "declined"
        case .unanswered: "unanswered"
        }
    }
}

/// What a handler tells about a request that it has answered.
struct RPCReport: Sendable {
    var outcome: RPCOutcome
    /// The one space that the request was about.
    var space: SpaceID?

    static let ok = RPCReport(outcome: .ok)
}

/// Everything that a handler may use, made for one request.
struct RPCContext: Sendable {
    let requestID: String
    /// A name of the method table, or `unknown`: the label of metrics and of the log.
    let method: String
    /// The caller, as of the arrival of the request.
    let principal: Principal
    let session: Session
    /// When its handler began.
    var began: ContinuousClock.Instant = .now

    var services: EngineServices { self.session.services }

    var connectionID: ConnectionID { self.session.id }

    /// Waits until the connection takes another frame. Every `enqueue` is preceded by one.
    func room() async throws(RequestFailure) {
        do { try await self.session.connection.room() } catch { throw .connectionEnded }
    }

    /// Queues the result. To be called once, after `room()`.
    func enqueue(result: some WireEncodable) {
        self.session.connection.enqueue(FrameEncoder.response(id: self.requestID, result: result))
    }

    /// Queues an error response. To be called once, after `room()`.
    func enqueue(_ error: RPCError) {
        self.session.connection.enqueue(
            FrameEncoder.error(id: self.requestID, code: error.code, message: error.message))
    }

    /// Waits for room, then queues the result.
    func respond(_ result: some WireEncodable) async throws(RequestFailure) {
        try await self.room()
        self.enqueue(result: result)
    }

    /// Queues one chunk of a streaming request, after `room()`.
    func enqueue(_ name: ChunkName, _ data: some WireEncodable) {
        self.session.connection.enqueue(FrameEncoder.chunk(id: self.requestID, name: name, data: data))
    }

    /// `internal` is the only failure that someone has to look at.
    func logInternal(_ error: RPCError, space: SpaceID? = nil) {
        guard error.code == .internal else { return }
        self.session.logger.error("RPC internal error", metadata: self.metadata(of: error, space))
    }

    /// A pull that could not be served, or ended early.
    func logStreamError(_ error: RPCError, space: SpaceID) {
        self.session.logger.error("pull stream error", metadata: self.metadata(of: error, space))
    }

    private func metadata(of error: RPCError, _ space: SpaceID?) -> Logger.Metadata {
        self.metadata(
            [
                .error: error.detail, .outcome: error.code.rawValue,
                .durationMilliseconds: "\((ContinuousClock.now - self.began) / .milliseconds(1))",
            ], space)
    }

    /// The failure that answers with `error`, after the log has got what belongs there.
    func refusal(_ error: RPCError, space: SpaceID? = nil) -> RequestFailure {
        self.logInternal(error, space: space)
        return .refused(error)
    }

    /// Metadata of a line about this request.
    func metadata(_ values: KeyValuePairs<LogKey, String>, _ space: SpaceID?) -> Logger.Metadata {
        var metadata = Logger.metadata(values)
        metadata[LogKey.method.rawValue] = .string(self.method)
        metadata[LogKey.requestID.rawValue] = .string(self.requestIDForLog)
        if let space { metadata[LogKey.spaceID.rawValue] = .string(space.wireText) }
        return metadata
    }

    /// The client chooses the id, and with it its length.
    private var requestIDForLog: String { String(self.requestID.prefix(64)) }
}
