import SyncStorage

enum SQLiteTestDatabase: TestDatabase {
    static let isAvailable = false

    static func withStorage(poolSize: Int, _ body: (any TestStorage) async throws -> Void) async throws {
        throw StorageError.unavailable
    }
}
