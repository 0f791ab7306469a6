import NIOCore
package import SyncProtocol
package import SyncStorage

extension PostgresStorage {
    package func withRecordDEKs<Result: Sendable>(
        of space: SpaceID, since: Int64, _ body: (any DEKList<RecordSubject>) async throws -> Result
    ) async throws -> Result {
        try await self.withDEKs(DEKQuery.records(of: space, since: since), body)
    }

    package func withFileDEKs<Result: Sendable>(
        of space: SpaceID, since: Int64, _ body: (any DEKList<FileSubject>) async throws -> Result
    ) async throws -> Result {
        try await self.withDEKs(DEKQuery.files(of: space, since: since), body)
    }

    private func withDEKs<Subject, Result: Sendable>(
        _ statement: PostgresStatement, _ body: (any DEKList<Subject>) async throws -> Result
    ) async throws -> Result {
        try await self.pool.withPullConnection { connection in
            do throws(PostgresFailure) {
                _ = try await connection.execute(DEKQuery.begin, within: self.configuration.waitLimit)
            } catch {
                throw error.storageError
            }
            return try await self.pool.withPages(of: statement, on: connection) { pages in
                try await body(PostgresDEKList<Subject>(pages: pages))
            }
        }
    }

    package func rewrapRecordDEKs(
        _ rewrap: DEKRewrap<RecordSubject>, in space: SpaceID
    ) async throws(StorageError) {
        guard !rewrap.items.isEmpty else { return }
        let statement = DEKQuery.rewrap(rewrap, in: space, name: "rewrap_deks", sql: DEKQuery.rewrapRecords)
        try await self.rewrap(statement, in: space, items: rewrap.items.count, notFound: .dekRecordNotFound)
    }

    package func rewrapFileDEKs(_ rewrap: DEKRewrap<FileSubject>, in space: SpaceID) async throws(StorageError) {
        guard !rewrap.items.isEmpty else { return }
        let statement = DEKQuery.rewrap(rewrap, in: space, name: "rewrap_file_deks", sql: DEKQuery.rewrapFiles)
        try await self.rewrap(statement, in: space, items: rewrap.items.count, notFound: .fileDEKNotFound)
    }

    private func rewrap(
        _ statement: PostgresStatement, in space: SpaceID, items: Int, notFound: StorageError
    ) async throws(StorageError) {
        let bytes = items * (Limits.wrappedDEKBytes + PostgresLimits.changeOverheadBytes)
        try await self.write(in: space, bytes: bytes) { () async throws(StorageError) in
            // The second statement sees what the first one waited for.
            let rows = try await self.transaction([.lockSpace(space), statement])
            guard let answer = rows.last, answer.count == 1 else { throw .spaceNotFound }
            switch answer.integer(0, 0, as: Int32.self).flatMap(DEKQuery.Status.init) {
            case .rewrapped: return
            case .epochMismatch: throw .dekEpochMismatch
            case .invalidID: throw .invalidRecordID
            case .notFound: throw notFound
            case nil: throw .database(detail: "unexpected answer of a rewrap")
            }
        }
    }
}

private struct PostgresDEKList<Subject>: DEKList {
    let pages: PostgresPages

    func nextPage() async throws(StorageError) -> [WrappedDEK<Subject>]? {
        try await self.pages.next({ [] }) { row, rows, page throws(StorageError) in
            page.append(try DEKQuery.dek(row, of: rows))
        }
    }
}

private enum DEKQuery {
    /// What became of a rewrap.
    enum Status: Int32 {
        case rewrapped = 0
        case epochMismatch = 1
        case invalidID = 2
        case notFound = 3
    }

    static let begin = [
        PostgresStatement(name: "begin_pull", sql: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        // How long the rows take is for their reader to say.
        PostgresStatement(name: "unlimited", sql: "SELECT set_config('statement_timeout', '0', true)"),
    ]

    static func records(of space: SpaceID, since: Int64) -> PostgresStatement {
        PostgresStatement(
            name: "record_deks",
            sql: """
                SELECT id, wrapped_dek, cursor FROM records
                WHERE space_id = $1::uuid AND cursor > $2::int8 AND wrapped_dek IS NOT NULL AND NOT deleted
                ORDER BY cursor, id
                """,
            parameters: [PostgresValue.id(space), PostgresValue.int8(since)])
    }

    static func files(of space: SpaceID, since: Int64) -> PostgresStatement {
        PostgresStatement(
            name: "file_deks",
            sql: """
                SELECT id, wrapped_dek, cursor FROM files
                WHERE space_id = $1::uuid AND cursor > $2::int8 AND NOT deleted
                ORDER BY cursor, id
                """,
            parameters: [PostgresValue.id(space), PostgresValue.int8(since)])
    }

    static func dek<Subject>(_ row: Int, of rows: PostgresRows) throws(StorageError) -> WrappedDEK<Subject> {
        guard let id = rows.id(row, 0) as Identifier<Subject>?, let dek = rows.bytes(row, 1),
            let cursor = rows.integer(row, 2, as: Int64.self)
        else { throw .database(detail: "unexpected types in a list of DEKs") }
        return WrappedDEK(id: id, wrappedDEK: dek, cursor: cursor)
    }

    /// Parameters: the space; of each item its id or null, its DEK and its epoch. One row with the status, none for an
    /// unknown space.
    static func rewrap<Subject>(
        _ rewrap: DEKRewrap<Subject>, in space: SpaceID, name: String, sql: String
    ) -> PostgresStatement {
        let items = rewrap.items
        return PostgresStatement(
            name: name, sql: sql,
            parameters: [
                PostgresValue.id(space),
                PostgresValue.array(of: .uuid, items, bytes: items.count * 16) { item, buffer in
                    guard let id = item.id else { return false }
                    buffer.writeInteger(id.bits)
                    return true
                },
                PostgresValue.array(of: .bytea, items, bytes: items.count * Limits.wrappedDEKBytes) {
                    item, buffer in
                    buffer.writeImmutableBuffer(item.wrappedDEK)
                    return true
                },
                PostgresValue.int4s(items.map(\.epoch)),
            ])
    }

    /// The first item that cannot be written decides.
    static let rewrapRecords = Self.rewrap(
        "records", isAbsent: "r.id IS NULL", isWritten: "NOT r.deleted", firstFailure: "j.number")
    /// An epoch that does not match decides, whichever item has it.
    static let rewrapFiles = Self.rewrap(
        "files", isAbsent: "r.id IS NULL OR r.deleted", isWritten: "true",
        firstFailure: "CASE WHEN j.status = 1 THEN 0 ELSE j.number END")

    /// `OFFSET 0` keeps a lookup for each item from becoming a join over the whole table.
    private static func rewrap(
        _ table: String, isAbsent: String, isWritten: String, firstFailure: String
    ) -> String {
        """
        WITH items AS MATERIALIZED (
            SELECT i.id, i.dek, i.epoch, i.number, r.row, s.key_generation, \(isAbsent) AS is_absent
            FROM spaces s
            CROSS JOIN unnest($2::uuid[], $3::bytea[], $4::int4[]) WITH ORDINALITY AS i (id, dek, epoch, number)
            LEFT JOIN LATERAL (
                SELECT t.id, t.deleted, t.ctid AS row FROM \(table) t WHERE t.space_id = $1::uuid AND t.id = i.id OFFSET 0
            ) AS r ON true
            WHERE s.id = $1::uuid
        ), judged AS (
            SELECT i.number, CASE WHEN i.epoch <> i.key_generation THEN 1
                                  WHEN \(table == "records" ? "i.id IS NULL" : "false") THEN 2
                                  WHEN i.is_absent THEN 3
                                  ELSE 0 END AS status
            FROM items i
        ), failed AS (
            SELECT j.status FROM judged j WHERE j.status <> 0 ORDER BY \(firstFailure), j.number LIMIT 1
        ), rewrapped AS (
            UPDATE \(table) r SET wrapped_dek = i.dek
            FROM (SELECT DISTINCT ON (i.id) i.id, i.row, i.dek FROM items i ORDER BY i.id, i.number DESC) AS i
            WHERE r.ctid = i.row AND \(isWritten) AND NOT EXISTS (SELECT FROM failed)
        )
        SELECT coalesce((SELECT f.status FROM failed f), 0) FROM spaces s WHERE s.id = $1::uuid
        """
    }
}
