import GRDB
import NIOCore
package import SyncProtocol
package import SyncStorage

extension SQLiteStorage {
    package func recordFile(
        _ file: NewFile, committed: @escaping @Sendable (Result<Int64?, StorageError>) -> Void
    ) async {
        do throws(StorageError) { try file.validate() } catch { return committed(.failure(error)) }
        await self.write(bytes: file.wrappedDEK.readableBytes, committed: committed) {
            transaction throws(StorageError) in try transaction.record(file)
        }
    }

    package func file(_ id: FileID, in space: SpaceID) async throws(StorageError) -> FileMetadata {
        let file = try await self.readers.query(while: "read a file") { db in
            let row = try SQLiteStatement(
                db,
                """
                SELECT record_id, size, wrapped_dek, cursor FROM files
                WHERE space_id = ?1 AND id = ?2 AND deleted = 0
                """, action: "read a file")
            defer { row.reset() }
            try row.bind(space, at: 1)
            try row.bind(id, at: 2)
            guard try row.step() else { return nil as FileMetadata? }
            return FileMetadata(
                id: id, recordID: try row.id(0), size: row.int64(1), wrappedDEK: row.buffer(2) ?? ByteBuffer(),
                cursor: row.int64(3))
        }
        guard let file else { throw .fileNotFound }
        return file
    }

    package func fileExists(_ id: FileID, in space: SpaceID) async throws(StorageError) -> Bool {
        do {
            _ = try await self.file(id, in: space)
            return true
        } catch .fileNotFound {
            return false
        }
    }

    package func deleteFiles(of records: [RecordID], in space: SpaceID) async throws(StorageError) -> [FileID] {
        guard !records.isEmpty else { return [] }
        return try await self.write(bytes: records.count * 16) { transaction throws(StorageError) in
            var removed: [FileID] = []
            for record in records { removed += try transaction.statements.removeFiles(of: record, in: space) }
            return .success(removed)
        }
    }

    package func files(after key: FileKey?, limit: Int) async throws(StorageError) -> [RecordedFile] {
        try await self.readers.query(while: "list files") { db in
            let row = try SQLiteStatement(
                db,
                """
                SELECT space_id, id, size FROM files
                WHERE (space_id, id) > (?1, ?2) AND deleted = 0 ORDER BY space_id, id LIMIT ?3
                """, action: "list files")
            defer { row.reset() }
            if let key {
                try row.bind(key.space, at: 1)
                try row.bind(key.file, at: 2)
            } else {
                // Below every id.
                try row.bind(copying: ByteBuffer(), at: 1)
                try row.bind(copying: ByteBuffer(), at: 2)
            }
            try row.bind(Int64(limit), at: 3)
            var files: [RecordedFile] = []
            while try row.step() {
                files.append(
                    RecordedFile(key: FileKey(space: try row.id(0), file: try row.id(1)), size: row.int64(2)))
            }
            return files
        }
    }

    package func removeFile(
        _ id: FileID, in space: SpaceID, recordedAt cursor: Int64
    ) async throws(StorageError) -> Bool {
        try await self.write { transaction throws(StorageError) in
            let row = try SQLiteStatement(
                transaction.db, "DELETE FROM files WHERE space_id = ?1 AND id = ?2 AND cursor = ?3 AND deleted = 0",
                action: "remove a file")
            try row.bind(space, at: 1)
            try row.bind(id, at: 2)
            try row.bind(cursor, at: 3)
            try row.run()
            guard row.changes == 1 else { return .success(false) }
            let queued = try SQLiteStatement(
                transaction.db, "DELETE FROM file_deletions WHERE space_id = ?1 AND file_id = ?2",
                action: "take back a deletion")
            try queued.bind(space, at: 1)
            try queued.bind(id, at: 2)
            try queued.run()
            return .success(true)
        }
    }

    package func withFileLock<Result: Sendable>(
        _ file: FileID, in space: SpaceID, _ body: () async throws -> Result
    ) async throws -> Result {
        try await self.fileLocks.withLock(FileKey(space: space, file: file), within: self.waitLimit, body)
    }
}

extension SQLiteStorage {
    package var sharesFileLocks: Bool { self.isExclusive }
}

extension WriteTransaction {
    /// docs/contract/storage.md §6.4.
    fileprivate mutating func record(_ file: NewFile) throws(StorageError) -> Result<Int64?, StorageError> {
        guard var space = try self.space(file.space) else { return .failure(.spaceNotFound) }
        let record = try SQLiteStatement(
            self.db, "SELECT 1 FROM records WHERE space_id = ?1 AND id = ?2", action: "look for a record")
        try record.bind(file.space, at: 1)
        try record.bind(file.recordID, at: 2)
        let isKnown = try record.step()
        record.reset()
        // Asked for, because a broken foreign key would undo what others write.
        guard isKnown else {
            return .failure(.database(detail: "cannot record a file: there is no such record in its space"))
        }
        let cursor = try self.nextCursor(of: space)
        let row = try SQLiteStatement(
            self.db,
            """
            INSERT INTO files (space_id, id, size, wrapped_dek, record_id, cursor) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT (space_id, id) DO UPDATE
            SET size = ?3, wrapped_dek = ?4, record_id = ?5, cursor = ?6, deleted = 0 WHERE deleted
            """, action: "record a file")
        try row.bind(file.space, at: 1)
        try row.bind(file.id, at: 2)
        try row.bind(file.size, at: 3)
        try row.bind(copying: file.wrappedDEK, at: 4)
        try row.bind(file.recordID, at: 5)
        try row.bind(cursor, at: 6)
        try row.run()
        guard row.changes == 1 else { return .success(nil) }
        space.cursor = cursor
        self.change(space)
        return .success(cursor)
    }
}
