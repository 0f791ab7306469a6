import GRDB
import NIOCore
package import SyncProtocol
package import SyncStorage

extension SQLiteStorage {
    package func withRecordDEKs<Result: Sendable>(
        of space: SpaceID, since: Int64, _ body: (any DEKList<RecordSubject>) async throws -> Result
    ) async throws -> Result {
        try await self.withDEKs(DEKQuery.records, of: space, since: since, body)
    }

    package func withFileDEKs<Result: Sendable>(
        of space: SpaceID, since: Int64, _ body: (any DEKList<FileSubject>) async throws -> Result
    ) async throws -> Result {
        try await self.withDEKs(DEKQuery.files, of: space, since: since, body)
    }

    private func withDEKs<Subject, Result: Sendable>(
        _ sql: String, of space: SpaceID, since: Int64, _ body: (any DEKList<Subject>) async throws -> Result
    ) async throws -> Result {
        try await self.withPullLease { connection in
            // The first page pins the snapshot.
            try await SQLitePages<DEKQuery.Position>.begin(on: connection) { _ in }
            let pages = SQLitePages(on: connection, from: DEKQuery.Position(cursor: since, bits: .max))
            return try await self.ending(pages) {
                try await body(SQLiteDEKList(pages: pages, sql: sql, space: space))
            }
        }
    }

    package func rewrapRecordDEKs(
        _ rewrap: DEKRewrap<RecordSubject>, in space: SpaceID
    ) async throws(StorageError) {
        guard !rewrap.items.isEmpty else { return }
        try await self.write(bytes: rewrap.items.count * Limits.wrappedDEKBytes) {
            transaction throws(StorageError) in try transaction.rewrap(rewrap, in: space)
        }
    }

    package func rewrapFileDEKs(_ rewrap: DEKRewrap<FileSubject>, in space: SpaceID) async throws(StorageError) {
        guard !rewrap.items.isEmpty else { return }
        try await self.write(bytes: rewrap.items.count * Limits.wrappedDEKBytes) {
            transaction throws(StorageError) in try transaction.rewrap(rewrap, in: space)
        }
    }
}

private struct SQLiteDEKList<Subject>: DEKList {
    let pages: SQLitePages<DEKQuery.Position>
    let sql: String
    let space: SpaceID

    func nextPage() async throws(StorageError) -> [WrappedDEK<Subject>]? {
        try await self.pages.next { [sql, space] position, db throws(StorageError) in
            try DEKQuery.page(of: Subject.self, sql, space, behind: position, db)
        }
    }
}

private enum DEKQuery {
    /// Behind the DEK with this cursor and id.
    struct Position: Sendable {
        var cursor: Int64
        var bits: UInt128
    }

    static let records = """
        SELECT cursor, id, wrapped_dek FROM records
        WHERE space_id = ?1 AND (cursor, id) > (?2, ?3) AND wrapped_dek IS NOT NULL AND deleted = 0
        ORDER BY cursor, id LIMIT ?4
        """
    static let files = """
        SELECT cursor, id, wrapped_dek FROM files
        WHERE space_id = ?1 AND (cursor, id) > (?2, ?3) AND deleted = 0
        ORDER BY cursor, id LIMIT ?4
        """

    static func page<Subject>(
        of subject: Subject.Type, _ sql: String, _ space: SpaceID, behind position: Position, _ db: Database
    ) throws(StorageError) -> ([WrappedDEK<Subject>]?, Position?) {
        let limit = Limits.pullPageEntriesMax
        let row = try SQLiteStatement(db, sql, action: "read a page of DEKs")
        defer { row.reset() }
        try row.bind(space, at: 1)
        try row.bind(position.cursor, at: 2)
        try row.bind(Identifier<Subject>(bits: position.bits), at: 3)
        try row.bind(Int64(limit), at: 4)
        var page: [WrappedDEK<Subject>] = []
        while try row.step() {
            page.append(
                WrappedDEK(id: try row.id(1), wrappedDEK: row.buffer(2) ?? ByteBuffer(), cursor: row.int64(0)))
        }
        guard page.count == limit, let last = page.last else { return (page.isEmpty ? nil : page, nil) }
        return (page, Position(cursor: last.cursor, bits: last.id.bits))
    }
}

extension WriteTransaction {
    fileprivate mutating func rewrap(
        _ rewrap: DEKRewrap<RecordSubject>, in id: SpaceID
    ) throws(StorageError) -> Result<Void, StorageError> {
        guard let space = try self.space(id) else { return .failure(.spaceNotFound) }
        let record = try SQLiteStatement(
            self.db, "SELECT 1 FROM records WHERE space_id = ?1 AND id = ?2", action: "look for a record")
        // Nothing is written unless everything can be.
        for item in rewrap.items {
            guard item.epoch == space.keyGeneration else { return .failure(.dekEpochMismatch) }
            guard let recordID = item.id else { return .failure(.invalidRecordID) }
            guard try Self.exists(recordID, in: id, record) else { return .failure(.dekRecordNotFound) }
        }
        let update = try SQLiteStatement(
            self.db, "UPDATE records SET wrapped_dek = ?3 WHERE space_id = ?1 AND id = ?2 AND deleted = 0",
            action: "rewrap a DEK")
        try Self.write(rewrap, in: id, update)
        return .success(())
    }

    fileprivate mutating func rewrap(
        _ rewrap: DEKRewrap<FileSubject>, in id: SpaceID
    ) throws(StorageError) -> Result<Void, StorageError> {
        guard let space = try self.space(id) else { return .failure(.spaceNotFound) }
        guard rewrap.items.allSatisfy({ $0.epoch == space.keyGeneration }) else { return .failure(.dekEpochMismatch) }
        let file = try SQLiteStatement(
            self.db, "SELECT 1 FROM files WHERE space_id = ?1 AND id = ?2 AND deleted = 0", action: "look for a file")
        for item in rewrap.items {
            guard let fileID = item.id, try Self.exists(fileID, in: id, file) else {
                return .failure(.fileDEKNotFound)
            }
        }
        let update = try SQLiteStatement(
            self.db, "UPDATE files SET wrapped_dek = ?3 WHERE space_id = ?1 AND id = ?2", action: "rewrap a DEK")
        try Self.write(rewrap, in: id, update)
        return .success(())
    }

    private static func exists<Subject>(
        _ id: Identifier<Subject>, in space: SpaceID, _ row: SQLiteStatement
    ) throws(StorageError) -> Bool {
        defer { row.reset() }
        try row.bind(space, at: 1)
        try row.bind(id, at: 2)
        return try row.step()
    }

    private static func write<Subject>(
        _ rewrap: DEKRewrap<Subject>, in space: SpaceID, _ update: SQLiteStatement
    ) throws(StorageError) {
        try update.bind(space, at: 1)
        for item in rewrap.items {
            guard let id = item.id else { continue }
            try update.bind(id, at: 2)
            try update.bind(copying: item.wrappedDEK, at: 3)
            try update.run()
        }
    }
}
