import SyncProtocol
package import SyncStorage

extension PostgresStorage {
    package func dueFileDeletions(limit: Int) async throws(StorageError) -> [FileDeletion] {
        try await self.fileDeletions(
            PostgresStatement(
                name: "due_file_deletions",
                sql: """
                    SELECT id, space_id, file_id, attempts, due_at FROM file_deletions
                    WHERE due_at <= now() ORDER BY due_at, id LIMIT $1::int8
                    """,
                parameters: [PostgresValue.int8(Int64(limit))]))
    }

    package func fileDeletions(after number: Int64, limit: Int) async throws(StorageError) -> [FileDeletion] {
        try await self.fileDeletions(
            PostgresStatement(
                name: "file_deletions",
                sql: """
                    SELECT id, space_id, file_id, attempts, due_at FROM file_deletions
                    WHERE id > $2::int8 ORDER BY id LIMIT $1::int8
                    """,
                parameters: [PostgresValue.int8(Int64(limit)), PostgresValue.int8(number)]))
    }

    private func fileDeletions(_ statement: PostgresStatement) async throws(StorageError) -> [FileDeletion] {
        let rows = try await self.run(statement)
        var deletions: [FileDeletion] = []
        for row in 0..<rows.count {
            guard let number = rows.integer(row, 0, as: Int64.self), let space = rows.id(row, 1) as SpaceID?,
                let file = rows.id(row, 2) as FileID?, let attempts = rows.integer(row, 3, as: Int32.self),
                let dueAt = rows.timestamp(row, 4)
            else { throw .database(detail: "unexpected types in file_deletions") }
            deletions.append(
                FileDeletion(number: number, space: space, file: file, attempts: attempts, dueAt: dueAt))
        }
        return deletions
    }

    package func queueFileDeletion(_ key: FileKey) async throws(StorageError) {
        _ = try await self.run(
            PostgresStatement(
                name: "queue_file_deletion",
                sql: "INSERT INTO file_deletions (space_id, file_id) VALUES ($1::uuid, $2::uuid)",
                parameters: [PostgresValue.id(key.space), PostgresValue.id(key.file)]))
    }

    package func completeFileDeletion(_ deletion: FileDeletion) async throws(StorageError) {
        _ = try await self.run(
            PostgresStatement(
                name: "complete_file_deletion", sql: "DELETE FROM file_deletions WHERE id = $1::int8",
                parameters: [PostgresValue.int8(deletion.number)]))
    }

    package func postponeFileDeletion(
        _ deletion: FileDeletion, by delay: Duration
    ) async throws(StorageError) {
        _ = try await self.run(
            PostgresStatement(
                name: "postpone_file_deletion",
                sql: """
                    UPDATE file_deletions SET due_at = now() + $2::int8 * interval '1 microsecond',
                        attempts = attempts + 1
                    WHERE id = $1::int8
                    """,
                parameters: [
                    PostgresValue.int8(deletion.number), PostgresValue.int8(Int64(delay / .microseconds(1))),
                ]))
    }
}
