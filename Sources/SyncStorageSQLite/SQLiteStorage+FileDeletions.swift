import GRDB
package import SyncStorage

extension SQLiteStorage {
    package func dueFileDeletions(limit: Int) async throws(StorageError) -> [FileDeletion] {
        try await self.fileDeletions("due_at <= ?1 ORDER BY due_at, id", self.now(), limit: limit)
    }

    package func fileDeletions(after number: Int64, limit: Int) async throws(StorageError) -> [FileDeletion] {
        try await self.fileDeletions("id > ?1 ORDER BY id", number, limit: limit)
    }

    /// - Parameter selection: Which ones, by the one value `?1`, and in which order.
    private func fileDeletions(
        _ selection: String, _ value: Int64, limit: Int
    ) async throws(StorageError) -> [FileDeletion] {
        try await self.readers.query(while: "list files to delete") { db in
            let row = try SQLiteStatement(
                db,
                "SELECT id, space_id, file_id, attempts, due_at FROM file_deletions WHERE \(selection) LIMIT ?2",
                action: "list files to delete")
            defer { row.reset() }
            try row.bind(value, at: 1)
            try row.bind(Int64(limit), at: 2)
            var deletions: [FileDeletion] = []
            while try row.step() {
                deletions.append(
                    FileDeletion(
                        number: row.int64(0), space: try row.id(1), file: try row.id(2), attempts: try row.int32(3),
                        dueAt: row.int64(4)))
            }
            return deletions
        }
    }

    package func queueFileDeletion(_ key: FileKey) async throws(StorageError) {
        try await self.write { transaction throws(StorageError) in
            let row = try SQLiteStatement(
                transaction.db, "INSERT INTO file_deletions (space_id, file_id, due_at) VALUES (?1, ?2, 0)",
                action: "queue a deletion")
            try row.bind(key.space, at: 1)
            try row.bind(key.file, at: 2)
            try row.run()
            return .success(())
        }
    }

    package func completeFileDeletion(_ deletion: FileDeletion) async throws(StorageError) {
        try await self.write { transaction throws(StorageError) in
            let row = try SQLiteStatement(
                transaction.db, "DELETE FROM file_deletions WHERE id = ?1", action: "complete a deletion")
            try row.bind(deletion.number, at: 1)
            try row.run()
            return .success(())
        }
    }

    package func postponeFileDeletion(
        _ deletion: FileDeletion, by delay: Duration
    ) async throws(StorageError) {
        try await self.write { transaction throws(StorageError) in
            let row = try SQLiteStatement(
                transaction.db, "UPDATE file_deletions SET due_at = ?2, attempts = attempts + 1 WHERE id = ?1",
                action: "postpone a deletion")
            try row.bind(deletion.number, at: 1)
            try row.bind(transaction.now + Int64(delay / .microseconds(1)), at: 2)
            try row.run()
            return .success(())
        }
    }
}
