import NIOCore
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
        case .failure(let error): context.logInternal(error)
        }
    }
    try await context.respond(ChunkCount(chunks: stream.chunks.count))
    return .ok
}

/// The chunks of one `pull`.
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
            if cause != .spaceNotFound { self.context.logInternal(failure, space: grant.space) }
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
        var count: Int64 = 0
        while let page = try await snapshot.nextPage() {
            var records = 0
            for item in page {
                try await self.send(item, of: space)
                if case .record = item { records += 1 }
            }
            count += Int64(page.count)
            self.context.services.metrics.pulled(records: records)
        }
        try await self.chunks.send(
            .pullCommit, PullCommit(space: space, prev: entry.since, cursor: meta.cursor, count: count))
    }

    private mutating func send(_ item: PullEntry, of space: String) async throws(RequestFailure) {
        switch item {
        case .record(let record):
            try await self.chunks.send(
                .pullRecord,
                RecordEntry(
                    space: space, id: record.id, blob: record.blob, cursor: record.cursor, dek: record.wrappedDEK,
                    deleted: record.deleted))
        case .member(let member):
            let previousHash = member.previousHash.readableBytes == 0 ? nil : member.previousHash
            try await self.chunks.send(
                .pullMembership,
                PullMembership(
                    space: space, cursor: member.cursor,
                    entries: [
                        .init(
                            chainSequence: member.chainSequence, previousHash: previousHash,
                            entryHash: member.entryHash, payload: member.payload)
                    ]))
        case .file(let file):
            try await self.chunks.send(
                .pullFile,
                PullFile(
                    space: space, id: file.id, recordID: file.recordID, size: file.size, dek: file.wrappedDEK,
                    cursor: file.cursor, deleted: file.deleted))
        }
    }
}
