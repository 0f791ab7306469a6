package import FoundationEssentials
package import NIOCore
package import SyncProtocol
package import SyncStorage

/// A storage under test, and the ways around it that its tests need: to write what no operation can write yet, to look at
/// rows, and to hold up or break what is in progress.
package protocol TestStorage: Sendable {
    var storage: any Storage { get }

    /// Runs one statement on a connection that is not the storage's and returns its rows.
    ///
    /// - Parameter sql: With unqualified names, and parameters that first occur in the order `$1`, `$2` …,
    ///   because SQLite numbers parameters by that order, whatever they are called.
    @discardableResult
    func execute(_ sql: String, _ values: [TestValue]) async throws -> [[TestValue]]

    /// Runs `body` while a transaction of another connection keeps every push to `space` from committing: the row lock on
    /// PostgreSQL, the write lock of the file on SQLite. It ends without a change.
    func withWritesBlocked(to space: SpaceID, _ body: () async throws -> Void) async throws

    /// Makes the next read of every open pull fail, by cutting its connection or damaging what it reads. The storage is of
    /// no other use afterwards.
    func breakOpenPulls() async throws
}

/// A column value of either backend.
package enum TestValue: Hashable, Sendable {
    case null
    case integer(Int64)
    case boolean(Bool)
    case text(String)
    case bytes(ByteBuffer)
    case uuid(UUID)
    /// Microseconds since 1970; written, and never read back.
    case moment(Int64)

    package static func bytes(_ buffer: ByteBuffer?) -> TestValue { buffer.map { .bytes($0) } ?? .null }
    package static func id<Subject>(_ id: Identifier<Subject>) -> TestValue { .uuid(id.rawValue) }

    package var integer: Int64? { if case .integer(let value) = self { value } else { nil } }

    package var text: String? { if case .text(let value) = self { value } else { nil } }

    package var buffer: ByteBuffer? { if case .bytes(let value) = self { value } else { nil } }

    /// SQLite has no type of its own for this.
    package var boolean: Bool? {
        switch self {
        case .boolean(let value): value
        case .integer(let value): value != 0
        default: nil
        }
    }
}

/// A row of `records`.
package struct RecordRow: Hashable, Sendable {
    package var blob: ByteBuffer?
    package var cursor: Int64
    package var wrappedDEK: ByteBuffer?
    package var deleted: Bool

    package init(blob: ByteBuffer?, cursor: Int64, wrappedDEK: ByteBuffer?, deleted: Bool) {
        self.blob = blob
        self.cursor = cursor
        self.wrappedDEK = wrappedDEK
        self.deleted = deleted
    }
}

extension TestStorage {
    @discardableResult
    package func makeSpace(clientID: String = "client") async throws -> SpaceID {
        try await self.storage.createSpace(.random(), clientID: clientID, rootPublicKey: nil).id
    }

    @discardableResult
    package func makeSharedSpace(keyGeneration: Int32 = 1, minKeyGeneration: Int32 = 1) async throws -> SpaceID {
        let key = ByteBuffer(repeating: 2, count: 33)
        let space = try await self.storage.createSpace(.random(), clientID: "client", rootPublicKey: key).id
        try await self.setKeyGenerations(of: space, current: keyGeneration, minimum: minKeyGeneration)
        return space
    }

    package func setKeyGenerations(of space: SpaceID, current: Int32, minimum: Int32) async throws {
        try await self.execute(
            "UPDATE spaces SET key_generation = $1, min_key_generation = $2 WHERE id = $3",
            [.integer(Int64(current)), .integer(Int64(minimum)), .id(space)])
    }

    package func setRewrapEpoch(of space: SpaceID, to epoch: Int32?) async throws {
        try await self.execute(
            "UPDATE spaces SET rewrap_epoch = $1 WHERE id = $2",
            [epoch.map { .integer(Int64($0)) } ?? .null, .id(space)])
    }

    /// Inserts the row and raises the cursor and the metadata version of the space to it.
    package func insertMember(_ member: PulledMember, into space: SpaceID) async throws {
        try await self.execute(
            """
            INSERT INTO members (space_id, chain_seq, prev_hash, entry_hash, payload, cursor)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            [
                .id(space), .integer(Int64(member.chainSequence)),
                member.previousHash.readableBytes == 0 ? .null : .bytes(member.previousHash),
                .bytes(member.entryHash), .bytes(member.payload), .integer(member.cursor),
            ])
        try await self.execute(
            "UPDATE spaces SET metadata_version = $1 WHERE id = $2",
            [.integer(Int64(member.chainSequence)), .id(space)])
        try await self.raiseCursor(of: space, to: member.cursor)
    }

    /// Inserts the row and raises the cursor of the space to it. The record must exist.
    package func insertFile(_ file: PulledFile, into space: SpaceID) async throws {
        try await self.execute(
            """
            INSERT INTO files (space_id, id, size, wrapped_dek, record_id, cursor, deleted)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            [
                .id(space), .id(file.id), .integer(file.size), .bytes(file.wrappedDEK), .id(file.recordID),
                .integer(file.cursor), .boolean(file.deleted),
            ])
        try await self.raiseCursor(of: space, to: file.cursor)
    }

    private func raiseCursor(of space: SpaceID, to cursor: Int64) async throws {
        try await self.execute(
            "UPDATE spaces SET cursor = $1 WHERE id = $2 AND cursor < $3",
            [.integer(cursor), .id(space), .integer(cursor)])
    }

    /// Makes an invitation expire `microseconds` after 1970.
    package func setExpiry(of invitation: InvitationID, to microseconds: Int64) async throws {
        try await self.execute(
            "UPDATE invitations SET expires_at = $1 WHERE id = $2", [.moment(microseconds), .id(invitation)])
    }

    package func recordRow(_ record: RecordID, in space: SpaceID) async throws -> RecordRow? {
        let rows = try await self.execute(
            "SELECT blob, cursor, wrapped_dek, deleted FROM records WHERE space_id = $1 AND id = $2",
            [.id(space), .id(record)])
        guard let row = rows.first, let cursor = row[1].integer, let deleted = row[3].boolean else { return nil }
        return RecordRow(blob: row[0].buffer, cursor: cursor, wrappedDEK: row[2].buffer, deleted: deleted)
    }

    package func fileExists(_ file: FileID, in space: SpaceID) async throws -> Bool {
        let rows = try await self.execute(
            "SELECT size FROM files WHERE space_id = $1 AND id = $2", [.id(space), .id(file)])
        return !rows.isEmpty
    }

    /// Everything of the space goes with it.
    package func deleteSpace(_ space: SpaceID) async throws {
        try await self.execute("DELETE FROM files WHERE space_id = $1", [.id(space)])
        try await self.execute("DELETE FROM spaces WHERE id = $1", [.id(space)])
    }

    /// Waits until `condition` holds, as `eventually` does.
    package func waitUntil(
        fileID: String = #fileID, line: Int = #line, _ condition: (StorageStatistics) -> Bool
    ) async throws {
        try await eventually("a state of the storage", fileID: fileID, line: line) {
            condition(self.storage.statistics)
        }
    }
}
