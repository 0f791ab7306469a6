import GRDB
import NIOCore
package import SyncProtocol
package import SyncStorage

extension SQLiteStorage {
    package func createInvitation(in mailbox: String, payload: String) async throws(StorageError) -> Invitation {
        try await self.write(bytes: payload.utf8.count) { transaction throws(StorageError) in
            try transaction.createInvitation(in: mailbox, payload: payload)
        }
    }

    package func invitations(
        in mailbox: String, after: InvitationID?, limit: Int, bytesMax: Int
    ) async throws(StorageError) -> [Invitation] {
        guard limit > 0 else { return [] }
        let now = self.now()
        return try await self.readers.query(while: "list invitations") { db in
            let row = try SQLiteStatement(
                db, after == nil ? InvitationQuery.first : InvitationQuery.next, action: "list invitations")
            defer { row.reset() }
            try row.bind(mailbox, at: 1)
            try row.bind(now, at: 2)
            try row.bind(Int64(limit), at: 3)
            if let after { try row.bind(after, at: 4) }
            var page: [Invitation] = []
            var bytes = 0
            while try row.step() {
                bytes += row.bytes(1)?.count ?? 0
                guard page.isEmpty || bytes <= bytesMax else { break }
                page.append(try InvitationQuery.invitation(in: mailbox, row))
            }
            return page
        }
    }

    package func invitation(_ id: InvitationID, in mailbox: String) async throws(StorageError) -> Invitation {
        let now = self.now()
        let invitation = try await self.readers.query(while: "read an invitation") { db in
            let row = try SQLiteStatement(db, InvitationQuery.one, action: "read an invitation")
            defer { row.reset() }
            try row.bind(id, at: 1)
            try row.bind(mailbox, at: 2)
            try row.bind(now, at: 3)
            return try row.step() ? try InvitationQuery.invitation(in: mailbox, row) : nil
        }
        guard let invitation else { throw .invitationNotFound }
        return invitation
    }

    package func deleteInvitation(_ id: InvitationID, in mailbox: String) async throws(StorageError) {
        try await self.write { transaction throws(StorageError) in
            try transaction.deleteInvitation(id, in: mailbox) ? .success(()) : .failure(.invitationNotFound)
        }
    }

    package func purgeExpiredInvitations(limit: Int) async throws(StorageError) -> Int {
        try await self.write { transaction throws(StorageError) in
            .success(try transaction.purgeExpiredInvitations(limit: limit))
        }
    }
}

/// Rows of invitations: id, payload, time of creation and of expiry.
private enum InvitationQuery {
    static let first = """
        SELECT id, payload, created_at, expires_at FROM invitations
        WHERE mailbox_id = ?1 AND expires_at > ?2 ORDER BY created_at, id LIMIT ?3
        """
    static let next = """
        SELECT id, payload, created_at, expires_at FROM invitations
        WHERE mailbox_id = ?1 AND expires_at > ?2
            AND (created_at, id) > (SELECT created_at, id FROM invitations WHERE id = ?4 AND mailbox_id = ?1)
        ORDER BY created_at, id LIMIT ?3
        """
    static let one = """
        SELECT id, payload, created_at, expires_at FROM invitations
        WHERE id = ?1 AND mailbox_id = ?2 AND expires_at > ?3
        """

    static func invitation(in mailbox: String, _ row: SQLiteStatement) throws(StorageError) -> Invitation {
        Invitation(
            id: try row.id(0), mailboxID: mailbox, payload: row.buffer(1).map { String(buffer: $0) } ?? "",
            createdAt: row.int64(2), expiresAt: row.int64(3))
    }
}

extension WriteTransaction {
    fileprivate func createInvitation(
        in mailbox: String, payload: String
    ) throws(StorageError) -> Result<Invitation, StorageError> {
        // A value that the schema refuses must not undo what others write.
        guard mailbox.unicodeScalars.count <= StorageLimits.hashCharactersMax else {
            return .failure(
                .database(detail: "cannot insert an invitation: its mailbox id is too long"))
        }
        let invitation = Invitation(
            id: .random(), mailboxID: mailbox, payload: payload, createdAt: self.now,
            expiresAt: self.now + StorageLimits.invitationLifetimeMicroseconds)
        let row = try SQLiteStatement(
            self.db,
            """
            INSERT INTO invitations (id, mailbox_id, payload, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)
            """, action: "insert an invitation")
        defer { row.clearBindings() }
        try row.bind(invitation.id, at: 1)
        try row.bind(mailbox, at: 2)
        try row.bind(copying: ByteBuffer(string: payload), at: 3)
        try row.bind(invitation.createdAt, at: 4)
        try row.bind(invitation.expiresAt, at: 5)
        try row.run()
        return .success(invitation)
    }

    /// - Returns: Whether there was one.
    fileprivate func deleteInvitation(_ id: InvitationID, in mailbox: String) throws(StorageError) -> Bool {
        let row = try SQLiteStatement(
            self.db, "DELETE FROM invitations WHERE id = ?1 AND mailbox_id = ?2", action: "delete an invitation")
        try row.bind(id, at: 1)
        try row.bind(mailbox, at: 2)
        try row.run()
        return row.changes == 1
    }

    fileprivate func purgeExpiredInvitations(limit: Int) throws(StorageError) -> Int {
        let row = try SQLiteStatement(
            self.db,
            """
            DELETE FROM invitations WHERE id IN (
                SELECT id FROM invitations WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)
            """, action: "purge invitations")
        try row.bind(self.now, at: 1)
        try row.bind(Int64(limit), at: 2)
        try row.run()
        return row.changes
    }
}
