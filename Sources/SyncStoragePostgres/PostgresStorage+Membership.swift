import NIOCore
package import SyncProtocol
package import SyncStorage

extension PostgresStorage {
    package func appendMember(
        _ append: MemberAppend, committed: @escaping @Sendable (Result<MemberReceipt, StorageError>) -> Void
    ) async {
        await self.write(in: append.space, bytes: append.payload.readableBytes, committed: committed) {
            () async throws(StorageError) in
            let rows = try await self.transaction(MembershipQuery.append(append))
            return try MembershipQuery.receipt(of: append, in: rows.last ?? PostgresRows())
        }
    }

    package func members(
        of space: SpaceID, since: Int32, bytesMax: Int
    ) async throws(StorageError) -> MemberLog {
        try MembershipQuery.log(await self.run(MembershipQuery.list(space, since: since, bytesMax: bytesMax)))
    }
}

/// Statements about rows of `members`.
private enum MembershipQuery {
    /// What became of an append.
    private enum Status: Int32 {
        case appended = 0
        case versionConflict = 1
        case hashChainBroken = 2
    }

    /// The last statement reads the log with a snapshot taken after the one before has locked the space: what it sees can
    /// no longer change.
    static func append(_ append: MemberAppend) -> [PostgresStatement] {
        let space = PostgresValue.id(append.space)
        var statements = [
            PostgresStatement.lockSpace(append.space),
            PostgresStatement(
                name: "append_member", sql: Self.appendSQL,
                parameters: [
                    space, PostgresValue.int4(append.expectedVersion), append.previousHash, append.entryHash,
                    append.payload,
                ]),
        ]
        if let creator = append.creator, append.expectedVersion == 0, append.previousHash.readableBytes == 0 {
            let create = PostgresStatement(
                name: "ensure_space",
                sql: "INSERT INTO spaces (id, client_id) VALUES ($1::uuid, $2::text) ON CONFLICT (id) DO NOTHING",
                parameters: [space, PostgresValue.name(creator)])
            statements.insert(create, at: 0)
        }
        return statements
    }

    private static let appendSQL = """
        WITH last AS (
            SELECT chain_seq, entry_hash FROM members WHERE space_id = $1::uuid ORDER BY chain_seq DESC LIMIT 1
        ), judged AS (
            SELECT CASE WHEN s.metadata_version <> $2::int4 THEN 1
                        WHEN l.chain_seq IS NULL AND $3::bytea = '' THEN 0
                        WHEN $3::bytea <> '' AND $3::bytea = l.entry_hash THEN 0
                        ELSE 2 END AS status,
                   coalesce(l.chain_seq, 0) + 1 AS chain_seq, s.metadata_version + 1 AS version, s.cursor + 1 AS cursor
            FROM spaces s LEFT JOIN last l ON true WHERE s.id = $1::uuid
        ), inserted AS (
            INSERT INTO members (space_id, chain_seq, prev_hash, entry_hash, payload, cursor)
            SELECT $1::uuid, j.chain_seq, nullif($3::bytea, ''), $4::bytea, $5::bytea, j.cursor
            FROM judged j WHERE j.status = 0
        ), updated AS (
            UPDATE spaces s SET cursor = j.cursor, metadata_version = j.version
            FROM judged j WHERE s.id = $1::uuid AND j.status = 0
        )
        SELECT status, chain_seq, version, cursor FROM judged
        """

    static func receipt(of append: MemberAppend, in rows: PostgresRows) throws(StorageError) -> MemberReceipt {
        guard rows.count == 1 else {
            guard append.creator != nil else { throw .spaceNotFound }
            // Of a missing space it was not to create: it does not fit an empty log.
            throw append.expectedVersion != 0 ? .versionConflict : .hashChainBroken
        }
        guard let status = rows.integer(0, 0, as: Int32.self).flatMap(Status.init),
            let sequence = rows.integer(0, 1, as: Int32.self), let version = rows.integer(0, 2, as: Int32.self),
            let cursor = rows.integer(0, 3, as: Int64.self)
        else { throw .database(detail: "unexpected types in members") }
        switch status {
        case .appended: return MemberReceipt(chainSequence: sequence, metadataVersion: version, cursor: cursor)
        case .versionConflict: throw .versionConflict
        case .hashChainBroken: throw .hashChainBroken
        }
    }

    /// One statement, and so one snapshot of the version and the entries. The first entry that does not fit comes without
    /// its payload.
    static func list(_ space: SpaceID, since: Int32, bytesMax: Int) -> PostgresStatement {
        PostgresStatement(
            name: "members",
            sql: """
                SELECT s.metadata_version, m.chain_seq, m.cursor, m.prev_hash, m.entry_hash,
                    CASE WHEN m.bytes_until <= $3::int8 THEN m.payload END
                FROM spaces s LEFT JOIN (
                    SELECT *, sum(bytes) OVER (ORDER BY chain_seq) AS bytes_until FROM (
                        SELECT *, coalesce(octet_length(prev_hash), 0) + octet_length(entry_hash)
                            + octet_length(payload) AS bytes
                        FROM members WHERE space_id = $1::uuid AND chain_seq > $2::int4
                    ) AS sized
                ) AS m ON m.bytes_until - m.bytes <= $3::int8
                WHERE s.id = $1::uuid ORDER BY m.chain_seq
                """,
            parameters: [PostgresValue.id(space), PostgresValue.int4(since), PostgresValue.int8(Int64(bytesMax))])
    }

    static func log(_ rows: PostgresRows) throws(StorageError) -> MemberLog {
        guard rows.count > 0 else { throw .spaceNotFound }
        guard let version = rows.integer(0, 0, as: Int32.self) else {
            throw .database(detail: "unexpected types in spaces")
        }
        var log = MemberLog(entries: [], metadataVersion: version, isComplete: true)
        for row in 0..<rows.count where rows.bytes(row, 1) != nil {
            guard let sequence = rows.integer(row, 1, as: Int32.self),
                let cursor = rows.integer(row, 2, as: Int64.self), let hash = rows.bytes(row, 4)
            else { throw .database(detail: "unexpected types in members") }
            guard let payload = rows.bytes(row, 5) else {
                log.isComplete = false
                break
            }
            log.entries.append(
                PulledMember(
                    chainSequence: sequence, cursor: cursor, previousHash: rows.bytes(row, 3) ?? ByteBuffer(),
                    entryHash: hash, payload: payload))
        }
        return log
    }
}
