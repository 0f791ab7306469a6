import SyncProtocol
import SyncStorage

/// `pull` (docs/contract/rpc.md §5): one snapshot after another, chunk by chunk as the connection takes them. A space that
/// cannot be served is skipped without a word; one that fails after its first chunk fails the request.
func pull(_ params: PullParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    guard params.spaces.count <= Limits.spacesPerRequestMax else {
        throw .refused(RPCError(.badRequest, "too many spaces in pull request"))
    }
    var stream = PullStream(context: context)
    for entry in params.spaces {
        switch await context.authorizeRead(of: entry.id, ucan: entry.ucan) {
        case .success(let grant): try await stream.serve(entry, grant)
        case .failure(let error): context.logInternal(error, space: SpaceID(wireText: entry.id))
        }
    }
    try await context.respond(ChunkCount(chunks: stream.chunks.count))
    return .ok
}

/// The answer to one `pull`.
private struct PullStream {
    let context: RPCContext
    /// Over all spaces.
    private(set) var chunks: ChunkStream

    init(context: RPCContext) {
        self.context = context
        self.chunks = ChunkStream(context)
    }

    mutating func serve(_ entry: PullParams.Entry, _ grant: ReadGrant) async throws(RequestFailure) {
        do {
            try self.chunks.begins(grant)
        } catch {
            return self.context.logInternal(self.context.refusal(error, of: grant.space), space: grant.space)
        }
        defer { self.chunks.ends() }
        let chunksBefore = self.chunks.count
        do {
            try await self.context.services.spaces.withPull(grant, since: entry.since) { snapshot in
                try await self.send(snapshot, of: entry)
            }
        } catch let failure as RequestFailure {
            throw failure
        } catch {
            // A connection that has ended takes its snapshot with it: no failure of the storage.
            guard !Task.isCancelled else { throw .connectionEnded }
            let cause = error as? StorageError ?? .database(detail: "pull failed: \(type(of: error))")
            let failure = RPCError(.internal, "pull stream failed", cause: cause)
            if cause != .spaceNotFound { self.context.logStreamError(failure, space: grant.space) }
            guard self.chunks.count == chunksBefore else { throw .refused(failure) }
        }
    }

    private mutating func send(_ snapshot: any PullSnapshot, of entry: PullParams.Entry) async throws {
        let space = entry.id
        let meta = snapshot.meta
        try await self.chunks.send(
            .pullBegin,
            PullBegin(
                space: space, prev: entry.since, cursor: meta.cursor, keyGeneration: meta.keyGeneration,
                rewrapEpoch: meta.rewrapEpoch))
        let chunks = PullChunks(requestID: self.context.requestID, space: space)
        var count: Int64 = 0
        while let page = try await snapshot.nextPage({ ChunkPage(chunks, space: space) }) {
            for part in page.parts { try await self.chunks.send(part) }
            count += page.entries
            self.context.services.metrics.pulled(records: page.records)
        }
        try await self.chunks.send(
            .pullCommit, PullCommit(space: space, prev: entry.since, cursor: meta.cursor, count: count))
    }
}
