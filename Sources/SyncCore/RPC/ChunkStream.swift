import NIOCore
import SyncProtocol
import SyncStorage

/// The chunks of one streaming request. Nothing of a space is sent once the caller's right to it is gone.
struct ChunkStream {
    /// What is queued at a time.
    enum Part: Sendable {
        case message(ByteBuffer)
        case run(MessageRun)
    }

    private let context: RPCContext
    /// Chunks sent for this request.
    private(set) var count: Int64 = 0

    /// The right to go on with the space at hand; `nil` for the caller's own, which nobody can take away.
    private var lease: AuthorityLease?

    init(_ context: RPCContext) { self.context = context }

    /// Begins to send what belongs to a space; `ends` follows.
    ///
    /// - Throws: When the delegation of the grant has been revoked since, or this cannot be told.
    mutating func begins(_ grant: ReadGrant) throws(AuthorizationError) {
        guard let delegation = grant.delegation else { return }
        self.lease = try self.context.services.revocations.lease(delegation, since: grant.mark)
    }

    mutating func ends() {
        if let lease = self.lease { self.context.services.revocations.end(lease) }
        self.lease = nil
    }

    /// Waits for room, then queues one chunk.
    mutating func send(_ name: ChunkName, _ data: some WireEncodable) async throws(RequestFailure) {
        try await self.context.room()
        try self.perform { self.context.enqueue(name, data) }
        self.count += 1
    }

    /// Waits for room, then queues chunks that are encoded already.
    mutating func send(_ part: Part) async throws(RequestFailure) {
        try await self.context.room()
        let connection = self.context.session.connection
        switch part {
        case .message(let message):
            try self.perform { connection.enqueue(message) }
            self.count += 1
        case .run(let run):
            try self.perform { connection.enqueue(run) }
            self.count += Int64(run.count)
        }
    }

    /// Waits for room, then queues the result.
    mutating func finish(_ result: some WireEncodable) async throws(RequestFailure) {
        try await self.context.room()
        try self.perform { self.context.enqueue(result: result) }
    }

    /// Nothing of a space reaches a connection after the revoker has its answer. An answer that is cut is no result: the
    /// client must not take what it got for the whole.
    private func perform(_ send: () -> Void) throws(RequestFailure) {
        guard let lease = self.lease else { return send() }
        guard lease.perform(send) else { throw .refused(.forbidden) }
    }
}
