import NIOCore
import SyncProtocol
import SyncStorage
import Synchronization

/// A real storage that runs a piece of the test between the reading of rows and their use.
final class HookedStorage: Storage {
    private let storage: any Storage
    private let hook = Mutex<(@Sendable () async -> Void)?>(nil)
    private let failure = Mutex<StorageError?>(nil)
    private let revocationHook = Mutex<(@Sendable () async -> Void)?>(nil)

    private let beforeRevocation = Mutex<(@Sendable () async -> Void)?>(nil)

    init(_ storage: any Storage) { self.storage = storage }

    /// Runs `hook` once, before the next revocation is stored.
    func beforeRevoking(_ hook: @escaping @Sendable () async -> Void) {
        self.beforeRevocation.withLock { $0 = hook }
    }

    /// Runs `hook` once, after the next `spaces` has read and before it returns.
    func afterReadingSpaces(_ hook: @escaping @Sendable () async -> Void) { self.hook.withLock { $0 = hook } }

    /// Lets the next `spaces` fail.
    func failReadingSpaces(with error: StorageError) { self.failure.withLock { $0 = error } }

    /// Runs `hook` once, after the next look for revocations and before its answer.
    func afterLookingForRevocations(_ hook: @escaping @Sendable () async -> Void) {
        self.revocationHook.withLock { $0 = hook }
    }

    func spaces(_ ids: [SpaceID]) async throws(StorageError) -> [SpaceID: Space] {
        if let failure = self.failure.withLock({ $0.take() }) { throw failure }
        let spaces = try await self.storage.spaces(ids)
        await self.hook.withLock { $0.take() }?()
        return spaces
    }

    func space(_ id: SpaceID) async throws(StorageError) -> Space { try await self.storage.space(id) }

    func createSpace(
        _ id: SpaceID, clientID: String, rootPublicKey: ByteBuffer?
    ) async throws(StorageError) -> Space {
        try await self.storage.createSpace(id, clientID: clientID, rootPublicKey: rootPublicKey)
    }

    func getOrCreateSpace(_ id: SpaceID, clientID: String) async throws(StorageError) -> Space {
        try await self.storage.getOrCreateSpace(id, clientID: clientID)
    }

    func push(
        _ push: Push, committed: @escaping @Sendable (Result<PushOutcome, StorageError>) -> Void
    ) async {
        await self.storage.push(push, committed: committed)
    }

    func withPull<Value: Sendable>(
        of space: SpaceID, since: Int64, _ body: (any PullSnapshot) async throws -> Value
    ) async throws -> Value {
        try await self.storage.withPull(of: space, since: since, body)
    }

    func recordExists(_ record: RecordID, in space: SpaceID) async throws(StorageError) -> Bool {
        try await self.storage.recordExists(record, in: space)
    }

    func appendMember(
        _ append: MemberAppend, committed: @escaping @Sendable (Result<MemberReceipt, StorageError>) -> Void
    ) async {
        await self.storage.appendMember(append, committed: committed)
    }

    func members(of space: SpaceID, since: Int32, bytesMax: Int) async throws(StorageError) -> MemberLog {
        try await self.storage.members(of: space, since: since, bytesMax: bytesMax)
    }

    func revoke(_ cid: String, in space: SpaceID) async throws(StorageError) {
        await self.beforeRevocation.withLock { $0.take() }?()
        try await self.storage.revoke(cid, in: space)
    }

    func access(to space: SpaceID, with cids: [String]) async throws(StorageError) -> SpaceAccess {
        let access = try await self.storage.access(to: space, with: cids)
        await self.revocationHook.withLock { $0.take() }?()
        return access
    }

    func createInvitation(in mailbox: String, payload: String) async throws(StorageError) -> Invitation {
        try await self.storage.createInvitation(in: mailbox, payload: payload)
    }

    func invitations(
        in mailbox: String, after: InvitationID?, limit: Int, bytesMax: Int
    ) async throws(StorageError) -> [Invitation] {
        try await self.storage.invitations(in: mailbox, after: after, limit: limit, bytesMax: bytesMax)
    }

    func invitation(_ id: InvitationID, in mailbox: String) async throws(StorageError) -> Invitation {
        try await self.storage.invitation(id, in: mailbox)
    }

    func deleteInvitation(_ id: InvitationID, in mailbox: String) async throws(StorageError) {
        try await self.storage.deleteInvitation(id, in: mailbox)
    }

    func purgeExpiredInvitations(limit: Int) async throws(StorageError) -> Int {
        try await self.storage.purgeExpiredInvitations(limit: limit)
    }

    func countRecentActions(_ action: String, by actor: String, since: Int64) async throws(StorageError) -> Int {
        try await self.storage.countRecentActions(action, by: actor, since: since)
    }

    func recordAction(_ action: String, by actor: String) async throws(StorageError) {
        try await self.storage.recordAction(action, by: actor)
    }

    func cleanUpActions(before: Int64, limit: Int) async throws(StorageError) -> Int {
        try await self.storage.cleanUpActions(before: before, limit: limit)
    }

    func advanceEpoch(of space: SpaceID, to epoch: Int32, setsMinimum: Bool) async throws(StorageError) {
        try await self.storage.advanceEpoch(of: space, to: epoch, setsMinimum: setsMinimum)
    }

    func completeRewrap(of space: SpaceID, for epoch: Int32) async throws(StorageError) {
        try await self.storage.completeRewrap(of: space, for: epoch)
    }

    func withRecordDEKs<Value: Sendable>(
        of space: SpaceID, since: Int64, _ body: (any DEKList<RecordSubject>) async throws -> Value
    ) async throws -> Value {
        try await self.storage.withRecordDEKs(of: space, since: since, body)
    }

    func withFileDEKs<Value: Sendable>(
        of space: SpaceID, since: Int64, _ body: (any DEKList<FileSubject>) async throws -> Value
    ) async throws -> Value {
        try await self.storage.withFileDEKs(of: space, since: since, body)
    }

    func rewrapRecordDEKs(_ rewrap: DEKRewrap<RecordSubject>, in space: SpaceID) async throws(StorageError) {
        try await self.storage.rewrapRecordDEKs(rewrap, in: space)
    }

    func rewrapFileDEKs(_ rewrap: DEKRewrap<FileSubject>, in space: SpaceID) async throws(StorageError) {
        try await self.storage.rewrapFileDEKs(rewrap, in: space)
    }

    func queueFileDeletion(_ key: FileKey) async throws(StorageError) {
        try await self.storage.queueFileDeletion(key)
    }

    var sharesFileLocks: Bool { self.storage.sharesFileLocks }

    func recordFile(
        _ file: NewFile, committed: @escaping @Sendable (Result<Int64?, StorageError>) -> Void
    ) async {
        await self.storage.recordFile(file, committed: committed)
    }

    func file(_ id: FileID, in space: SpaceID) async throws(StorageError) -> FileMetadata {
        try await self.storage.file(id, in: space)
    }

    func fileExists(_ id: FileID, in space: SpaceID) async throws(StorageError) -> Bool {
        try await self.storage.fileExists(id, in: space)
    }

    func deleteFiles(of records: [RecordID], in space: SpaceID) async throws(StorageError) -> [FileID] {
        try await self.storage.deleteFiles(of: records, in: space)
    }

    func files(after key: FileKey?, limit: Int) async throws(StorageError) -> [RecordedFile] {
        try await self.storage.files(after: key, limit: limit)
    }

    func removeFile(
        _ id: FileID, in space: SpaceID, recordedAt cursor: Int64
    ) async throws(StorageError) -> Bool {
        try await self.storage.removeFile(id, in: space, recordedAt: cursor)
    }

    func withFileLock<Value: Sendable>(
        _ file: FileID, in space: SpaceID, _ body: () async throws -> Value
    ) async throws -> Value {
        try await self.storage.withFileLock(file, in: space, body)
    }

    func dueFileDeletions(limit: Int) async throws(StorageError) -> [FileDeletion] {
        try await self.storage.dueFileDeletions(limit: limit)
    }

    func fileDeletions(after number: Int64, limit: Int) async throws(StorageError) -> [FileDeletion] {
        try await self.storage.fileDeletions(after: number, limit: limit)
    }

    func completeFileDeletion(_ deletion: FileDeletion) async throws(StorageError) {
        try await self.storage.completeFileDeletion(deletion)
    }

    func postponeFileDeletion(_ deletion: FileDeletion, by delay: Duration) async throws(StorageError) {
        try await self.storage.postponeFileDeletion(deletion, by: delay)
    }

    func addFederationKey(_ key: FederationKeyPair) async throws(StorageError) -> Bool {
        try await self.storage.addFederationKey(key)
    }

    func promoteFederationKey(_ id: String) async throws(StorageError) {
        try await self.storage.promoteFederationKey(id)
    }

    func deactivateFederationKey(_ id: String) async throws(StorageError) {
        try await self.storage.deactivateFederationKey(id)
    }

    func federationSigningKey() async throws(StorageError) -> FederationKeyPair? {
        try await self.storage.federationSigningKey()
    }

    func federationPublicKeys() async throws(StorageError) -> [FederationPublicKey] {
        try await self.storage.federationPublicKeys()
    }

    func ping() async throws(StorageError) { try await self.storage.ping() }

    var statistics: StorageStatistics { self.storage.statistics }

    func close() async { await self.storage.close() }
}
