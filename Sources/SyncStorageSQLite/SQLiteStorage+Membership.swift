import GRDB
import NIOCore
package import SyncProtocol
package import SyncStorage

extension SQLiteStorage {
    package func appendMember(
        _ append: MemberAppend, committed: @escaping @Sendable (Result<MemberReceipt, StorageError>) -> Void
    ) async {
        await self.write(bytes: append.payload.readableBytes, committed: committed) {
            transaction throws(StorageError) in try transaction.append(append)
        }
    }

    package func members(
        of space: SpaceID, since: Int32, bytesMax: Int
    ) async throws(StorageError) -> MemberLog {
        let log = try await self.readers.query(while: "read a membership log") { db in
            try MembershipQuery(db).log(of: space, since: since, bytesMax: bytesMax)
        }
        guard let log else { throw .spaceNotFound }
        return log
    }
}

extension WriteTransaction {
    /// docs/contract/storage.md §7.
    mutating func append(_ append: MemberAppend) throws(StorageError) -> Result<MemberReceipt, StorageError> {
        let existing = try self.space(append.space)
        guard var space = existing ?? append.creator.map({ Space(id: append.space, clientID: $0) }) else {
            return .failure(.spaceNotFound)
        }
        guard space.metadataVersion == append.expectedVersion else { return .failure(.versionConflict) }
        let query = try MembershipQuery(self.db)
        let last = try query.last(of: space.id)
        let isEmpty = append.previousHash.readableBytes == 0
        guard isEmpty ? last == nil : append.previousHash == last?.entryHash else { return .failure(.hashChainBroken) }

        let (sequence, sequenceOverflow) = (last?.sequence ?? 0).addingReportingOverflow(1)
        let (version, versionOverflow) = space.metadataVersion.addingReportingOverflow(1)
        guard !sequenceOverflow, !versionOverflow else {
            throw .database(detail: "cannot append a member: the log is at its end")
        }
        if existing == nil { try self.insert(space) }
        space.cursor = try self.nextCursor(of: space)
        space.metadataVersion = version
        try query.insert(append, as: sequence, at: space.cursor)
        self.change(space)
        return .success(
            MemberReceipt(chainSequence: sequence, metadataVersion: version, cursor: space.cursor))
    }
}

/// Reads and writes rows of `members`.
private struct MembershipQuery {
    private let selectLast, selectLog, insertEntry: SQLiteStatement

    init(_ db: Database) throws(StorageError) {
        self.selectLast = try SQLiteStatement(
            db, "SELECT chain_seq, entry_hash FROM members WHERE space_id = ?1 ORDER BY chain_seq DESC LIMIT 1",
            action: "read the last member")
        // One statement, and so one snapshot of the version and the entries.
        self.selectLog = try SQLiteStatement(
            db,
            """
            SELECT s.metadata_version, m.chain_seq, m.cursor, m.prev_hash, m.entry_hash, m.payload
            FROM spaces s LEFT JOIN members m ON m.space_id = s.id AND m.chain_seq > ?2
            WHERE s.id = ?1 ORDER BY m.chain_seq
            """, action: "read a membership log")
        self.insertEntry = try SQLiteStatement(
            db,
            """
            INSERT INTO members (space_id, chain_seq, prev_hash, entry_hash, payload, cursor)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            """, action: "append a member")
    }

    func last(of space: SpaceID) throws(StorageError) -> (sequence: Int32, entryHash: ByteBuffer)? {
        let row = self.selectLast
        defer { row.reset() }
        try row.bind(space, at: 1)
        guard try row.step() else { return nil }
        return (try row.int32(0), row.buffer(1) ?? ByteBuffer())
    }

    func insert(_ append: MemberAppend, as sequence: Int32, at cursor: Int64) throws(StorageError) {
        let row = self.insertEntry
        try row.bind(append.space, at: 1)
        try row.bind(Int64(sequence), at: 2)
        try row.bind(copying: append.previousHash.readableBytes == 0 ? nil : append.previousHash, at: 3)
        try row.bind(copying: append.entryHash, at: 4)
        try row.bind(copying: append.payload, at: 5)
        try row.bind(cursor, at: 6)
        defer { row.clearBindings() }
        try row.run()
    }

    /// `nil` for an unknown space.
    func log(of space: SpaceID, since: Int32, bytesMax: Int) throws(StorageError) -> MemberLog? {
        let row = self.selectLog
        defer { row.reset() }
        try row.bind(space, at: 1)
        try row.bind(Int64(since), at: 2)
        guard try row.step() else { return nil }
        var log = MemberLog(entries: [], metadataVersion: try row.int32(0), isComplete: true)
        guard !row.isNull(1) else { return log }
        var bytes = 0
        repeat {
            bytes += (3...5).reduce(0) { $0 + (row.bytes($1)?.count ?? 0) }
            guard bytes <= bytesMax else {
                log.isComplete = false
                break
            }
            log.entries.append(
                PulledMember(
                    chainSequence: try row.int32(1), cursor: row.int64(2), previousHash: row.buffer(3) ?? ByteBuffer(),
                    entryHash: row.buffer(4) ?? ByteBuffer(), payload: row.buffer(5) ?? ByteBuffer()))
        } while try row.step()
        return log
    }
}
