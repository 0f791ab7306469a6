package import SyncStorage

extension PostgresStorage {
    /// Writers take turns: at most one key is primary, and which one must not depend on a race.
    private static let lock = PostgresStatement(
        name: "lock_federation_keys",
        sql: "SELECT pg_advisory_xact_lock('federation_signing_keys'::regclass::oid::bigint)")

    package func addFederationKey(_ key: FederationKeyPair) async throws(StorageError) -> Bool {
        let insert = PostgresStatement(
            name: "add_federation_key",
            sql: """
                INSERT INTO federation_signing_keys (kid, private_key, public_key, is_active, is_primary)
                SELECT $1::text, $2::bytea, $3::bytea, true,
                    NOT EXISTS (SELECT FROM federation_signing_keys WHERE is_active AND is_primary)
                ON CONFLICT (kid) DO NOTHING
                RETURNING true
                """,
            parameters: [
                PostgresValue.text(key.id), PostgresValue.bytes(key.privateKey), PostgresValue.bytes(key.publicKey),
            ])
        return try await self.transaction([Self.lock, insert]).last?.count == 1
    }

    package func promoteFederationKey(_ id: String) async throws(StorageError) {
        let demote = PostgresStatement(
            name: "demote_federation_key",
            sql: """
                UPDATE federation_signing_keys SET is_primary = false
                WHERE is_primary AND kid <> $1::text
                    AND EXISTS (SELECT FROM federation_signing_keys WHERE kid = $1::text)
                """,
            parameters: [PostgresValue.text(id)])
        let promote = PostgresStatement(
            name: "promote_federation_key",
            sql: """
                UPDATE federation_signing_keys SET is_primary = true, is_active = true, deactivated_at = NULL
                WHERE kid = $1::text RETURNING true
                """,
            parameters: [PostgresValue.text(id)])
        guard try await self.transaction([Self.lock, demote, promote]).last?.count == 1 else {
            throw .federationKeyNotFound
        }
    }

    package func deactivateFederationKey(_ id: String) async throws(StorageError) {
        let deactivate = PostgresStatement(
            name: "deactivate_federation_key",
            sql: """
                UPDATE federation_signing_keys SET is_active = false, is_primary = false, deactivated_at = now()
                WHERE kid = $1::text RETURNING true
                """,
            parameters: [PostgresValue.text(id)])
        guard try await self.transaction([Self.lock, deactivate]).last?.count == 1 else { throw .federationKeyNotFound }
    }

    package func federationSigningKey() async throws(StorageError) -> FederationKeyPair? {
        let rows = try await self.run(
            PostgresStatement(
                name: "federation_signing_key",
                sql: """
                    SELECT kid, private_key, public_key FROM federation_signing_keys WHERE is_active AND is_primary
                    """))
        guard rows.count > 0 else { return nil }
        guard let id = rows.text(0, 0), let privateKey = rows.bytes(0, 1), let publicKey = rows.bytes(0, 2) else {
            throw .database(detail: "unexpected types in federation_signing_keys")
        }
        return FederationKeyPair(id: id, privateKey: privateKey, publicKey: publicKey)
    }

    package func federationPublicKeys() async throws(StorageError) -> [FederationPublicKey] {
        let rows = try await self.run(
            PostgresStatement(
                name: "federation_public_keys",
                sql: "SELECT kid, public_key FROM federation_signing_keys WHERE is_active ORDER BY created_at, kid"))
        var keys: [FederationPublicKey] = []
        for row in 0..<rows.count {
            guard let id = rows.text(row, 0), let key = rows.bytes(row, 1) else {
                throw .database(detail: "unexpected types in federation_signing_keys")
            }
            keys.append(FederationPublicKey(id: id, publicKey: key))
        }
        return keys
    }
}
