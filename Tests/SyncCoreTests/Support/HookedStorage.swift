import NIOCore
import SyncProtocol
import SyncStorage
import Synchronization

/// A real storage that runs a piece of the test between the reading of space rows and their use.
final class HookedStorage: Storage {
    private let storage: any Storage
    private let hook = Mutex<(@Sendable () async -> Void)?>(nil)

    init(_ storage: any Storage) { self.storage = storage }

    /// Runs `hook` once, after the next `spaces` has read and before it returns.
    func afterReadingSpaces(_ hook: @escaping @Sendable () async -> Void) { self.hook.withLock { $0 = hook } }

    func spaces(_ ids: [SpaceID]) async throws(StorageError) -> [SpaceID: Space] {
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

    func ping() async throws(StorageError) { try await self.storage.ping() }

    var statistics: StorageStatistics { self.storage.statistics }

    func close() async { await self.storage.close() }
}
