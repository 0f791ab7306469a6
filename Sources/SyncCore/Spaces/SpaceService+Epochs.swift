package import SyncProtocol
package import SyncStorage

extension SpaceService {
    /// Begins an epoch. Nobody is notified, and no cursor moves.
    ///
    /// - Throws: `.epochConflict`.
    package func beginEpoch(
        _ epoch: Int32, setsMinimum: Bool, in grant: WriteGrant
    ) async throws(StorageError) {
        try await self.createOnFirstContact(grant.space, by: grant.creator)
        try await self.storage.advanceEpoch(of: grant.space, to: epoch, setsMinimum: setsMinimum)
    }

    /// Ends the rewrap for an epoch.
    ///
    /// - Throws: `.epochMismatch`.
    package func completeEpoch(_ epoch: Int32, in grant: WriteGrant) async throws(StorageError) {
        try await self.createOnFirstContact(grant.space, by: grant.creator)
        try await self.storage.completeRewrap(of: grant.space, for: epoch)
    }

    /// Opens a list of the DEKs of live records with cursors above `since` and hands it to `body`.
    ///
    /// - Throws: `StorageError`; what `body` throws.
    package func withRecordDEKs<Value: Sendable>(
        _ grant: ReadGrant, since: Int64, _ body: (any DEKList<RecordSubject>) async throws -> Value
    ) async throws -> Value {
        try await self.createOnFirstContact(grant.space, by: grant.creator)
        return try await self.storage.withRecordDEKs(of: grant.space, since: since, body)
    }

    /// The same for files.
    package func withFileDEKs<Value: Sendable>(
        _ grant: ReadGrant, since: Int64, _ body: (any DEKList<FileSubject>) async throws -> Value
    ) async throws -> Value {
        try await self.createOnFirstContact(grant.space, by: grant.creator)
        return try await self.storage.withFileDEKs(of: grant.space, since: since, body)
    }

    /// Replaces DEKs of records, all or none. Nobody is notified, and no cursor moves.
    ///
    /// - Throws: `.dekEpochMismatch`, `.invalidRecordID`, `.dekRecordNotFound`.
    package func rewrap(
        _ rewrap: DEKRewrap<RecordSubject>, in grant: WriteGrant
    ) async throws(StorageError) {
        try await self.createOnFirstContact(grant.space, by: grant.creator)
        try await self.storage.rewrapRecordDEKs(rewrap, in: grant.space)
    }

    /// The same for files.
    ///
    /// - Throws: `.dekEpochMismatch`, `.fileDEKNotFound`.
    package func rewrap(_ rewrap: DEKRewrap<FileSubject>, in grant: WriteGrant) async throws(StorageError) {
        try await self.createOnFirstContact(grant.space, by: grant.creator)
        try await self.storage.rewrapFileDEKs(rewrap, in: grant.space)
    }
}
