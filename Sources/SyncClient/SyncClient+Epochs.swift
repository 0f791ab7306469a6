public import NIOCore
public import SyncProtocol

// Key epochs. To rotate the keys of a space: begin the next epoch, rewrap the DEKs of all records and files for it, complete
// the epoch (docs/contract/rpc.md §10, §11). A `ucan` is empty for the caller's own personal space.

extension SyncClient {
    /// Begins an epoch, the current one + 1. Of several devices that begin it one succeeds; the others get the conflict and
    /// are to leave the rewrap to that one.
    ///
    /// - Parameter setsMinimum: Whether pushes with keys of older epochs are refused from now on, as they should be once
    ///   somebody who had them has lost access.
    public func beginEpoch(
        _ epoch: Int32, in space: SpaceID, setsMinimum: Bool = false, ucan: String = ""
    ) async throws(SyncClientError) -> EpochBeginResult {
        let params = EpochBeginParams(
            space: space.wireText, ucan: ucan, epoch: epoch, setsMinKeyGeneration: setsMinimum)
        return try await self.call(.epochBegin, params)
    }

    /// Says that everything is rewrapped for an epoch. The server does not look.
    ///
    /// - Throws: `.refused` with `conflict` when no rewrap, or that for another epoch, is in progress.
    public func completeEpoch(
        _ epoch: Int32, in space: SpaceID, ucan: String = ""
    ) async throws(SyncClientError) {
        let params = EpochCompleteParams(space: space.wireText, ucan: ucan, epoch: epoch)
        let _: EmptyMap = try await self.call(.epochComplete, params)
    }

    /// Wrapped DEKs of live records with cursors above `since`, by cursor, then id.
    ///
    /// - Throws: `SyncClientError`.
    public func recordDEKs(
        of space: SpaceID, since: Int64 = 0, ucan: String = ""
    ) async throws -> [RecordDEKEntry] {
        try await self.deks(.deksGet, .deksRecord, of: space, since: since, ucan: ucan)
    }

    /// The same for files. The token needs the scope `files`.
    ///
    /// - Throws: `SyncClientError`.
    public func fileDEKs(
        of space: SpaceID, since: Int64 = 0, ucan: String = ""
    ) async throws -> [FileDEKEntry] {
        try await self.deks(.deksGetFiles, .deksFilesRecord, of: space, since: since, ucan: ucan)
    }

    private func deks<Entry: WireDecodable & Hashable>(
        _ method: Method, _ name: ChunkName, of space: SpaceID, since: Int64, ucan: String
    ) async throws -> [Entry] {
        let params = DEKsGetParams(space: space.wireText, ucan: ucan, since: since)
        var deks: [Entry] = []
        try await self.stream(method, params) { chunk in deks.append(try chunk.decode(name)) }
        return deks
    }

    /// Replaces DEKs of records by ones for the current epoch, each `Limits.wrappedDEKBytes` long: all of them, or none.
    ///
    /// - Throws: `.refused` with `conflict` when one is for another epoch, with `bad_request` when one is of no use.
    public func rewrapRecordDEKs(
        _ deks: [(id: RecordID, dek: ByteBuffer)], in space: SpaceID, ucan: String = ""
    ) async throws(SyncClientError) {
        try await self.rewrap(.deksRewrap, deks.map { ($0.id.wireText, $0.dek) }, in: space, ucan: ucan)
    }

    /// The same for files. The token needs the scope `files`.
    public func rewrapFileDEKs(
        _ deks: [(id: FileID, dek: ByteBuffer)], in space: SpaceID, ucan: String = ""
    ) async throws(SyncClientError) {
        try await self.rewrap(.deksRewrapFiles, deks.map { ($0.id.wireText, $0.dek) }, in: space, ucan: ucan)
    }

    private func rewrap(
        _ method: Method, _ deks: [(id: String, dek: ByteBuffer)], in space: SpaceID, ucan: String
    ) async throws(SyncClientError) {
        let params = DEKsRewrapParams(
            space: space.wireText, ucan: ucan, deks: deks.map { .init(id: $0.id, dek: $0.dek) })
        let result: DEKsRewrapResult = try await self.call(method, params)
        guard result.ok, result.count == Int64(deks.count) else {
            throw .protocolViolation("\(result.count) DEKs instead of \(deks.count)")
        }
    }
}
