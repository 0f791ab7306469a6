import NIOCore
package import SyncProtocol
package import SyncStorage

extension PostgresStorage {
    package func withPull<Result: Sendable>(
        of space: SpaceID, since: Int64, _ body: (any PullSnapshot) async throws -> Result
    ) async throws -> Result {
        try await self.pool.withPullConnection { connection in
            try await self.pool.pull(space, since: since, on: connection, body)
        }
    }
}

extension PostgresPool {
    /// - Parameter through: The last cursor to read; `nil`: all there are, without tombstones if `since` is 0.
    func pull<Result: Sendable>(
        _ space: SpaceID, since: Int64, through: Int64? = nil, on connection: PostgresConnection,
        _ body: (any PullSnapshot) async throws -> Result
    ) async throws -> Result {
        let limit = self.configuration.waitLimit
        let opened: PullOpening
        do {
            let rows = try await connection.execute(PullQuery.open(space, since: since), within: limit)
            opened = try PullOpening(rows)
        } catch let error as PostgresFailure {
            throw error.storageError
        } catch let error as StorageError {
            _ = try? await connection.execute([PullQuery.rollback], within: limit)
            throw error
        }
        let statement = PullQuery.rows(
            of: space, since: since, through: through, recordsOnly: opened.hasRecordsOnly)
        return try await self.withPages(of: statement, on: connection) { pages in
            try await body(PostgresPull(meta: opened.meta, pages: pages))
        }
    }

    /// Streams the rows of a statement to `body`, page by page, and ends the transaction that was begun before.
    func withPages<Result: Sendable>(
        of statement: PostgresStatement, on connection: PostgresConnection,
        _ body: (PostgresPages) async throws -> Result
    ) async throws -> Result {
        let stream = RowStream()
        connection.stream(statement, to: stream, within: self.configuration.waitLimit)
        let pages = PostgresPages(pool: self, connection: connection, stream: stream)
        do {
            let result = try await body(pages)
            await self.finish(pages, connection)
            return result
        } catch {
            await self.finish(pages, connection)
            throw error
        }
    }

    /// What was drained ends its transaction; what was left early has rows on the way, and its connection goes.
    private func finish(_ pages: PostgresPages, _ connection: PostgresConnection) async {
        guard pages.end() else { return connection.close() }
        let ended: Void? = try? await {
            _ = try await connection.execute([PullQuery.rollback], within: self.configuration.waitLimit)
        }()
        if ended == nil { connection.close() }
    }
}

/// What the first round trip of a pull brings.
private struct PullOpening {
    var meta: PullMeta
    var hasRecordsOnly: Bool

    init(_ rows: [PostgresRows]) throws(StorageError) {
        guard let rows = rows.last, rows.count == 1 else { throw .spaceNotFound }
        guard let cursor = rows.integer(0, 0, as: Int64.self), let generation = rows.integer(0, 1, as: Int32.self),
            let hasRecordsOnly = rows.bool(0, 3)
        else { throw .database(detail: "unexpected types in spaces") }
        self.meta = PullMeta(
            cursor: cursor, keyGeneration: generation, rewrapEpoch: rows.integer(0, 2, as: Int32.self))
        self.hasRecordsOnly = hasRecordsOnly
    }
}

/// The statements of a pull. Rows come in the order of the indexes; nothing sorts the union (architecture R6).
enum PullQuery {
    static let rollback = PostgresStatement(name: "rollback", sql: "ROLLBACK")

    /// Opens the snapshot and reads the space, and whether there is anything but records.
    static func open(_ space: SpaceID, since: Int64) -> [PostgresStatement] {
        [
            PostgresStatement(
                name: "begin_pull", sql: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            PostgresStatement(
                name: "pull_meta",
                sql: """
                    SELECT s.cursor, s.key_generation, s.rewrap_epoch,
                        NOT EXISTS (SELECT FROM members m WHERE m.space_id = s.id AND m.cursor > $2::int8)
                        AND NOT EXISTS (SELECT FROM files f WHERE f.space_id = s.id AND f.cursor > $2::int8),
                        -- How long the rows take is for their reader to say.
                        set_config('statement_timeout', '0', true)
                    FROM spaces s WHERE s.id = $1::uuid
                    """,
                parameters: [PostgresValue.id(space), PostgresValue.int8(since)]),
        ]
    }

    /// Columns: kind, cursor, id, two byte strings, deleted; of members and files the rest.
    static func rows(
        of space: SpaceID, since: Int64, through: Int64? = nil, recordsOnly: Bool
    ) -> PostgresStatement {
        let range: Range = through != nil ? .between : since == 0 ? .live : .changed
        let kind = recordsOnly ? "records" : "all"
        return PostgresStatement(
            name: "pull_\(kind)_\(range)", sql: recordsOnly ? Self.records(range) : Self.all(range),
            parameters: [PostgresValue.id(space), PostgresValue.int8(since)]
                + (through.map { [PostgresValue.int8($0)] } ?? []))
    }

    private enum Range {
        case live, changed, between

        /// Tombstones say nothing to who starts from nothing.
        var condition: String {
            switch self {
            case .live: "space_id = $1::uuid AND cursor > $2::int8 AND NOT deleted"
            case .changed, .between: self.memberCondition
            }
        }

        var memberCondition: String {
            "space_id = $1::uuid AND cursor > $2::int8" + (self == .between ? " AND cursor <= $3::int8" : "")
        }
    }

    enum Kind: Int32 {
        case record = 0
        case member = 1
        case file = 2
    }

    private static func records(_ range: Range) -> String {
        """
        SELECT 0 AS kind, cursor, id, blob AS bytes_1, wrapped_dek AS bytes_2, deleted,
            NULL::uuid AS record_id, NULL::int8 AS size, NULL::int4 AS chain_seq, NULL::bytea AS bytes_3
        FROM records WHERE \(range.condition)
        ORDER BY cursor, id
        """
    }

    /// Each part is in order by itself, so that all can be merged. The id of a member is null, in words that PostgreSQL does
    /// not see through: a constant would be left out of the order of its part, and the part be sorted again.
    private static func all(_ range: Range) -> String {
        """
        (\(Self.records(range)))
        UNION ALL
        (SELECT 1, cursor, CASE WHEN chain_seq < 0 THEN space_id END AS id, entry_hash, prev_hash, false,
            NULL::uuid, NULL::int8, chain_seq, payload
        FROM members WHERE \(range.memberCondition)
        ORDER BY cursor, id)
        UNION ALL
        (SELECT 2, cursor, id, NULL::bytea, wrapped_dek, deleted, record_id, size, NULL::int4, NULL::bytea
        FROM files WHERE \(range.condition)
        ORDER BY cursor, id)
        ORDER BY cursor, id
        """
    }

    /// Adds a row to a page.
    static func append(_ row: Int, of rows: PostgresRows, to page: inout some PullPage) throws(StorageError) {
        guard let kind = rows.integer(row, 0, as: Int32.self).flatMap(Kind.init),
            let cursor = rows.integer(row, 1, as: Int64.self), let deleted = rows.bool(row, 5)
        else { throw Self.unexpectedTypes }
        switch kind {
        case .record:
            guard let id = rows.id(row, 2) as RecordID? else { break }
            let values = rows.values.readableBytesSpan
            let dek: RawSpan? = if let range = rows.range(row, 4) { values.extracting(range) } else { nil }
            let blob: RawSpan? = if let range = rows.range(row, 3) { values.extracting(range) } else { nil }
            return page.append(record: id, cursor: cursor, deleted: deleted, wrappedDEK: dek, blob: blob)
        case .member:
            guard let sequence = rows.integer(row, 8, as: Int32.self), let hash = rows.bytes(row, 3),
                let payload = rows.bytes(row, 9)
            else { break }
            return page.append(
                .member(
                    PulledMember(
                        chainSequence: sequence, cursor: cursor, previousHash: rows.bytes(row, 4) ?? ByteBuffer(),
                        entryHash: hash, payload: payload)))
        case .file:
            guard let id = rows.id(row, 2) as FileID?, let record = rows.id(row, 6) as RecordID?,
                let size = rows.integer(row, 7, as: Int64.self)
            else { break }
            return page.append(
                .file(
                    PulledFile(
                        id: id, recordID: record, size: size, wrappedDEK: rows.bytes(row, 4) ?? ByteBuffer(),
                        cursor: cursor, deleted: deleted)))
        }
        throw Self.unexpectedTypes
    }

    private static let unexpectedTypes = StorageError.database(detail: "unexpected types in a pull")
}

/// An open pull.
private struct PostgresPull: PullSnapshot {
    let meta: PullMeta
    let pages: PostgresPages

    func nextPage<Page: PullPage>(_ makePage: @escaping @Sendable () -> Page) async throws(StorageError) -> Page? {
        try await self.pages.next(makePage) { row, rows, page throws(StorageError) in
            try PullQuery.append(row, of: rows, to: &page)
        }
    }
}
