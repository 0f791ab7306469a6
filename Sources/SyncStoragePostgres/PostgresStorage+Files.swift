import NIOCore
package import SyncProtocol
package import SyncStorage

extension PostgresStorage {
    package func recordFile(
        _ file: NewFile, committed: @escaping @Sendable (Result<Int64?, StorageError>) -> Void
    ) async {
        do throws(StorageError) { try file.validate() } catch { return committed(.failure(error)) }
        await self.write(in: file.space, bytes: file.wrappedDEK.readableBytes, committed: committed) {
            () async throws(StorageError) in
            let rows = try await self.transaction([.lockSpace(file.space), FileQuery.record(file)])
            guard let answer = rows.last, answer.count == 1 else { throw .spaceNotFound }
            return answer.integer(0, 0, as: Int64.self)
        }
    }

    package func file(_ id: FileID, in space: SpaceID) async throws(StorageError) -> FileMetadata {
        let rows = try await self.run(
            PostgresStatement(
                name: "file",
                sql: """
                    SELECT record_id, size, wrapped_dek, cursor FROM files
                    WHERE space_id = $1::uuid AND id = $2::uuid AND NOT deleted
                    """,
                parameters: [PostgresValue.id(space), PostgresValue.id(id)]))
        guard rows.count == 1 else { throw .fileNotFound }
        guard let record = rows.id(0, 0) as RecordID?, let size = rows.integer(0, 1, as: Int64.self),
            let dek = rows.bytes(0, 2), let cursor = rows.integer(0, 3, as: Int64.self)
        else { throw .database(detail: "unexpected types in files") }
        return FileMetadata(id: id, recordID: record, size: size, wrappedDEK: dek, cursor: cursor)
    }

    package func fileExists(_ id: FileID, in space: SpaceID) async throws(StorageError) -> Bool {
        let rows = try await self.run(
            PostgresStatement(
                name: "file_exists",
                sql: "SELECT EXISTS (SELECT FROM files WHERE space_id = $1::uuid AND id = $2::uuid AND NOT deleted)",
                parameters: [PostgresValue.id(space), PostgresValue.id(id)]))
        guard let exists = rows.bool(0, 0) else { throw .database(detail: "unexpected types in files") }
        return exists
    }

    package func deleteFiles(of records: [RecordID], in space: SpaceID) async throws(StorageError) -> [FileID] {
        guard !records.isEmpty else { return [] }
        let rows = try await self.run(
            PostgresStatement(
                name: "delete_files",
                sql: "DELETE FROM files WHERE space_id = $1::uuid AND record_id = ANY ($2::uuid[]) RETURNING id",
                parameters: [PostgresValue.id(space), PostgresValue.ids(records)]))
        return (0..<rows.count).compactMap { rows.id($0, 0) }
    }

    package func files(after key: FileKey?, limit: Int) async throws(StorageError) -> [RecordedFile] {
        let rows = try await self.run(FileQuery.list(after: key, limit: limit))
        var files: [RecordedFile] = []
        for row in 0..<rows.count {
            guard let space = rows.id(row, 0) as SpaceID?, let file = rows.id(row, 1) as FileID?,
                let size = rows.integer(row, 2, as: Int64.self)
            else { throw .database(detail: "unexpected types in files") }
            files.append(RecordedFile(key: FileKey(space: space, file: file), size: size))
        }
        return files
    }

    package func removeFile(
        _ id: FileID, in space: SpaceID, recordedAt cursor: Int64
    ) async throws(StorageError) -> Bool {
        let rows = try await self.transaction([
            .lockSpace(space), FileQuery.remove(id, in: space, recordedAt: cursor), FileQuery.unqueue(id, in: space),
        ])
        guard rows.count == 3 else { throw .database(detail: "no answer to the removal of a file") }
        return rows[1].count == 1
    }

    package var sharesFileLocks: Bool { true }

    package func withFileLock<Result: Sendable>(
        _ file: FileID, in space: SpaceID, _ body: () async throws -> Result
    ) async throws -> Result {
        try await self.fileLocks.withLock(FileKey(space: space, file: file), body)
    }
}

extension PostgresStatement {
    /// Ahead of a statement that reads what belongs to the space: that one sees what this one has waited for, and nothing of
    /// it changes until the transaction ends.
    static func lockSpace(_ space: SpaceID) -> PostgresStatement {
        PostgresStatement(
            name: "lock_space", sql: "SELECT FROM spaces WHERE id = $1::uuid FOR UPDATE",
            parameters: [PostgresValue.id(space)])
    }
}

private enum FileQuery {
    static func list(after key: FileKey?, limit: Int) -> PostgresStatement {
        let columns = "SELECT space_id, id, size FROM files WHERE NOT deleted"
        guard let key else {
            return PostgresStatement(
                name: "first_files", sql: columns + " ORDER BY space_id, id LIMIT $1::int8",
                parameters: [PostgresValue.int8(Int64(limit))])
        }
        return PostgresStatement(
            name: "next_files",
            sql: columns + " AND (space_id, id) > ($2::uuid, $3::uuid) ORDER BY space_id, id LIMIT $1::int8",
            parameters: [PostgresValue.int8(Int64(limit)), PostgresValue.id(key.space), PostgresValue.id(key.file)])
    }

    static func remove(_ file: FileID, in space: SpaceID, recordedAt cursor: Int64) -> PostgresStatement {
        PostgresStatement(
            name: "remove_file",
            sql: """
                DELETE FROM files WHERE space_id = $1::uuid AND id = $2::uuid AND cursor = $3::int8 AND NOT deleted
                RETURNING id
                """,
            parameters: [PostgresValue.id(space), PostgresValue.id(file), PostgresValue.int8(cursor)])
    }

    /// Empties the queue of a file's object when the trigger has queued it in this transaction.
    static func unqueue(_ file: FileID, in space: SpaceID) -> PostgresStatement {
        PostgresStatement(
            name: "unqueue_file_deletion",
            sql: """
                DELETE FROM file_deletions WHERE space_id = $1::uuid AND file_id = $2::uuid AND EXISTS (
                    SELECT FROM file_deletions d WHERE d.space_id = $1::uuid AND d.file_id = $2::uuid
                        AND d.xmin = pg_current_xact_id()::xid)
                """,
            parameters: [PostgresValue.id(space), PostgresValue.id(file)])
    }

    /// One row with the new cursor, or with null for a file that was recorded already; none for an unknown space.
    static func record(_ file: NewFile) -> PostgresStatement {
        PostgresStatement(
            name: "record_file",
            sql: """
                WITH recorded AS (
                    INSERT INTO files (space_id, id, size, wrapped_dek, record_id, cursor)
                    SELECT s.id, $2::uuid, $3::int8, $4::bytea, $5::uuid, s.cursor + 1
                    FROM spaces s WHERE s.id = $1::uuid
                    ON CONFLICT (space_id, id) DO UPDATE
                    SET size = excluded.size, wrapped_dek = excluded.wrapped_dek, record_id = excluded.record_id,
                        cursor = excluded.cursor, deleted = false
                    WHERE files.deleted
                    RETURNING cursor
                ), moved AS (
                    UPDATE spaces s SET cursor = r.cursor FROM recorded r WHERE s.id = $1::uuid
                )
                SELECT (SELECT r.cursor FROM recorded r) FROM spaces s WHERE s.id = $1::uuid
                """,
            parameters: [
                PostgresValue.id(file.space), PostgresValue.id(file.id), PostgresValue.int8(file.size),
                file.wrappedDEK, PostgresValue.id(file.recordID),
            ])
    }
}
