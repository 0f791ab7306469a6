import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage

/// `deks.get` (docs/contract/rpc.md §11.1): a chunk for each record, then all of them in the result.
func getRecordDEKs(_ params: DEKsGetParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    let grant = try await authorizeListing(params, needing: .sync, context)
    return try await listDEKs(.deksRecord, in: grant, context) { (body: DEKListBody<RecordSubject>) in
        try await context.services.spaces.withRecordDEKs(grant, since: params.since, body)
    } entry: {
        RecordDEKEntry(id: $0.id, dek: $0.wrappedDEK, cursor: $0.cursor)
    }
}

/// `file.deks.get` and `deks.getFiles` (docs/contract/rpc.md §11.3).
func getFileDEKs(_ params: DEKsGetParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    let grant = try await authorizeListing(params, needing: .files, context)
    return try await listDEKs(.deksFilesRecord, in: grant, context) { (body: DEKListBody<FileSubject>) in
        try await context.services.spaces.withFileDEKs(grant, since: params.since, body)
    } entry: {
        FileDEKEntry(id: $0.id, dek: $0.wrappedDEK, cursor: $0.cursor)
    }
}

/// `deks.rewrap` (docs/contract/rpc.md §11.2): all or none.
func rewrapRecordDEKs(_ params: DEKsRewrapParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    let grant = try await authorizeRewrap(params, needing: .sync, context)
    do {
        for item in params.deks {
            guard !item.id.isEmpty else { throw RPCError(.badRequest, "invalid record: id must be non-empty string") }
            try item.checkDEK()
        }
        let rewrap = try DEKRewrap(parsing: params.deks.map { ($0.id, $0.dek) })
        try await context.services.spaces.rewrap(rewrap, in: grant)
    } catch {
        throw context.refusal(.rewrapFailed(error), space: grant.space)
    }
    return try await answerRewrap(params, in: grant, context)
}

/// `file.deks.rewrap` and `deks.rewrapFiles` (docs/contract/rpc.md §11.4).
func rewrapFileDEKs(_ params: DEKsRewrapParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    let grant = try await authorizeRewrap(params, needing: .files, context)
    do {
        var deks: [(id: FileID?, wrappedDEK: ByteBuffer)] = []
        deks.reserveCapacity(params.deks.count)
        for item in params.deks {
            guard let id = FileID(anyUUIDText: item.id) else { throw StorageError.invalidRecordID }
            try item.checkDEK()
            deks.append((id, item.dek))
        }
        try await context.services.spaces.rewrap(try DEKRewrap(deks), in: grant)
    } catch {
        throw context.refusal(.rewrapFailed(error), space: grant.space)
    }
    return try await answerRewrap(params, in: grant, context)
}

// MARK: - Steps of all four

private func authorizeListing(
    _ params: DEKsGetParams, needing scope: Scope, _ context: RPCContext
) async throws(RequestFailure) -> ReadGrant {
    try context.check(scope, for: params.space)
    switch await context.authorizeRead(of: params.space, ucan: params.ucan) {
    case .success(let grant): return grant
    case .failure(let error): throw context.refusal(error, space: SpaceID(wireText: params.space))
    }
}

private func authorizeRewrap(
    _ params: DEKsRewrapParams, needing scope: Scope, _ context: RPCContext
) async throws(RequestFailure) -> WriteGrant {
    try context.check(scope, for: params.space)
    switch await context.authorizeWrite(to: params.space, ucan: params.ucan) {
    case .success(let grant): return grant
    case .failure(let error): throw context.refusal(error, space: SpaceID(wireText: params.space))
    }
}

private func answerRewrap(
    _ params: DEKsRewrapParams, in grant: WriteGrant, _ context: RPCContext
) async throws(RequestFailure) -> RPCReport {
    try await context.respond(DEKsRewrapResult(count: Int64(params.deks.count)))
    return RPCReport(outcome: .ok, space: grant.space)
}

private typealias DEKListBody<Subject> = (any DEKList<Subject>) async throws -> Void

private func listDEKs<Subject, Entry: WireEncodable & Hashable>(
    _ name: ChunkName, in grant: ReadGrant, _ context: RPCContext,
    _ open: (DEKListBody<Subject>) async throws -> Void,
    entry: @escaping @Sendable (WrappedDEK<Subject>) -> Entry
) async throws(RequestFailure) -> RPCReport {
    var chunks = ChunkStream(context)
    do {
        try chunks.begins(grant)
    } catch {
        throw context.refusal(context.refusal(error, of: grant.space), space: grant.space)
    }
    defer { chunks.ends() }
    var result = DEKsGetResult<Entry>(deks: [], chunks: 0)
    // Of the result, while it fits into one message.
    var bytes: Int? = 0
    do {
        try await open { list in
            while let page = try await list.nextPage() {
                for dek in page {
                    let entry = entry(dek)
                    try await chunks.send(name, entry)
                    if let size = bytes.map({ $0 + entry.encodedSize }), size <= Limits.messageBytesMax {
                        bytes = size
                        result.deks.append(entry)
                    } else {
                        bytes = nil
                        result.deks = []
                    }
                }
            }
        }
    } catch let failure as RequestFailure {
        throw failure
    } catch {
        guard !Task.isCancelled else { throw .connectionEnded }
        let cause = error as? StorageError ?? .database(detail: "list of DEKs failed: \(type(of: error))")
        throw context.refusal(RPCError(.internal, "internal", cause: cause), space: grant.space)
    }
    result.chunks = chunks.count
    if FrameEncoder.responseSize(id: context.requestID, result: result) > Limits.messageBytesMax { result.deks = [] }
    try await chunks.finish(result)
    return RPCReport(outcome: .ok, space: grant.space)
}

extension RPCContext {
    /// After the space id, before the right to the space.
    fileprivate func check(_ scope: Scope, for space: String) throws(RequestFailure) {
        guard SpaceID(wireText: space) != nil else { throw .refused(.invalidSpaceID) }
        guard self.principal.hasScope(scope) else {
            throw .refused(RPCError(.forbidden, "\(scope.rawValue) scope required"))
        }
    }
}

extension DEKsRewrapParams.Item {
    fileprivate func checkDEK() throws(StorageError) {
        guard self.dek.readableBytes == Limits.wrappedDEKBytes else { throw .invalidWrappedDEK }
    }
}

extension RPCError {
    /// A rewrap says its own of an id that is none.
    fileprivate static func rewrapFailed(_ error: any Error) -> RPCError {
        switch error {
        case let error as RPCError: error
        case StorageError.invalidRecordID:
            RPCError(.badRequest, "invalid record: id must be a valid UUID", cause: .invalidRecordID)
        case let error as StorageError: RPCError(error)
        default: RPCError(.internal, "internal", cause: .database(detail: "rewrap failed: \(type(of: error))"))
        }
    }
}
