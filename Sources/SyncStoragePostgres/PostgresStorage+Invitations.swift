package import SyncProtocol
package import SyncStorage

extension PostgresStorage {
    package func createInvitation(in mailbox: String, payload: String) async throws(StorageError) -> Invitation {
        let rows = try await self.run(
            PostgresStatement(
                name: "create_invitation",
                sql: """
                    INSERT INTO invitations (mailbox_id, payload, expires_at)
                    VALUES ($1::bpchar, $2::bytea, now() + $3::int8 * interval '1 microsecond')
                    RETURNING \(InvitationQuery.columns)
                    """,
                parameters: [
                    PostgresValue.text(mailbox), PostgresValue.text(payload),
                    PostgresValue.int8(StorageLimits.invitationLifetimeMicroseconds),
                ]))
        guard let invitation = try InvitationQuery.invitations(in: mailbox, rows).first else {
            throw .database(detail: "an invitation was not stored")
        }
        return invitation
    }

    package func invitations(
        in mailbox: String, after: InvitationID?, limit: Int, bytesMax: Int
    ) async throws(StorageError) -> [Invitation] {
        guard limit > 0, InvitationQuery.mayExist(mailbox) else { return [] }
        var parameters = [
            PostgresValue.text(mailbox), PostgresValue.int8(Int64(limit)), PostgresValue.int8(Int64(bytesMax)),
        ]
        if let after { parameters.append(PostgresValue.id(after)) }
        let rows = try await self.run(
            PostgresStatement(
                name: after == nil ? "invitations" : "invitations_after",
                sql: after == nil ? InvitationQuery.firstPage : InvitationQuery.nextPage, parameters: parameters))
        return try InvitationQuery.invitations(in: mailbox, rows)
    }

    package func invitation(_ id: InvitationID, in mailbox: String) async throws(StorageError) -> Invitation {
        guard InvitationQuery.mayExist(mailbox) else { throw .invitationNotFound }
        let rows = try await self.run(
            PostgresStatement(
                name: "invitation",
                sql: """
                    SELECT \(InvitationQuery.columns) FROM invitations
                    WHERE id = $1::uuid AND mailbox_id = $2::bpchar AND expires_at > now()
                    """,
                parameters: [PostgresValue.id(id), PostgresValue.text(mailbox)]))
        guard let invitation = try InvitationQuery.invitations(in: mailbox, rows).first else {
            throw .invitationNotFound
        }
        return invitation
    }

    package func deleteInvitation(_ id: InvitationID, in mailbox: String) async throws(StorageError) {
        guard InvitationQuery.mayExist(mailbox) else { throw .invitationNotFound }
        let rows = try await self.run(
            PostgresStatement(
                name: "delete_invitation",
                sql: "DELETE FROM invitations WHERE id = $1::uuid AND mailbox_id = $2::bpchar RETURNING id",
                parameters: [PostgresValue.id(id), PostgresValue.text(mailbox)]))
        guard rows.count == 1 else { throw .invitationNotFound }
    }

    package func purgeExpiredInvitations(limit: Int) async throws(StorageError) -> Int {
        // Servers that purge at once each take what the others have not taken yet.
        let rows = try await self.run(
            PostgresStatement(
                name: "purge_invitations",
                sql: """
                    WITH purged AS (
                        DELETE FROM invitations WHERE id = ANY (ARRAY(
                            SELECT id FROM invitations WHERE expires_at < now() ORDER BY expires_at LIMIT $1::int8
                            FOR UPDATE SKIP LOCKED))
                        RETURNING id
                    )
                    SELECT count(*) FROM purged
                    """,
                parameters: [PostgresValue.int8(Int64(limit))]))
        return rows.integer(0, 0, as: Int64.self).map { Int($0) } ?? 0
    }
}

/// What statements about rows of `invitations` share.
private enum InvitationQuery {
    static let columns = "id, payload, created_at, expires_at"

    static let firstPage = page(behind: "")
    static let nextPage = page(
        behind: """
            AND (created_at, id) > (
                SELECT a.created_at, a.id FROM invitations a WHERE a.id = $4::uuid AND a.mailbox_id = $1::bpchar)
            """)

    private static func page(behind condition: String) -> String {
        """
        SELECT \(Self.columns) FROM (
            SELECT *, row_number() OVER pages AS number, sum(octet_length(payload)) OVER pages AS bytes FROM (
                SELECT \(Self.columns) FROM invitations
                WHERE mailbox_id = $1::bpchar AND expires_at > now() \(condition)
                ORDER BY created_at, id LIMIT $2::int8
            ) AS listed WINDOW pages AS (ORDER BY created_at, id)
        ) AS counted WHERE number = 1 OR bytes <= $3::int8 ORDER BY created_at, id
        """
    }

    /// PostgreSQL compares `char` values without the blanks behind them; a mailbox id has none.
    static func mayExist(_ mailbox: String) -> Bool {
        mailbox.utf8.last != UInt8(ascii: " ") && !mailbox.utf8.contains(0)
    }

    static func invitations(in mailbox: String, _ rows: PostgresRows) throws(StorageError) -> [Invitation] {
        var invitations: [Invitation] = []
        for row in 0..<rows.count {
            guard let id = rows.id(row, 0) as InvitationID?, let payload = rows.text(row, 1),
                let createdAt = rows.timestamp(row, 2), let expiresAt = rows.timestamp(row, 3)
            else { throw .database(detail: "unexpected types in invitations") }
            invitations.append(
                Invitation(
                    id: id, mailboxID: mailbox, payload: payload, createdAt: createdAt, expiresAt: expiresAt))
        }
        return invitations
    }
}
