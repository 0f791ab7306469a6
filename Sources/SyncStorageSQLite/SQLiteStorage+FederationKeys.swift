import GRDB
package import SyncStorage

extension SQLiteStorage {
    package func addFederationKey(_ key: FederationKeyPair) async throws(StorageError) -> Bool {
        try await self.write { transaction throws(StorageError) in
            .success(try FederationKeyQuery(transaction.db).insert(key, at: transaction.now))
        }
    }

    package func promoteFederationKey(_ id: String) async throws(StorageError) {
        try await self.write { transaction throws(StorageError) in
            try FederationKeyQuery(transaction.db).promote(id) ? .success(()) : .failure(.federationKeyNotFound)
        }
    }

    package func deactivateFederationKey(_ id: String) async throws(StorageError) {
        try await self.write { transaction throws(StorageError) in
            try FederationKeyQuery(transaction.db).deactivate(id, at: transaction.now)
                ? .success(()) : .failure(.federationKeyNotFound)
        }
    }

    package func federationSigningKey() async throws(StorageError) -> FederationKeyPair? {
        try await self.readers.query(while: "read the signing key") { db in try FederationKeyQuery(db).signingKey() }
    }

    package func federationPublicKeys() async throws(StorageError) -> [FederationPublicKey] {
        try await self.readers.query(while: "read public keys") { db in try FederationKeyQuery(db).publicKeys() }
    }
}

/// Reads and writes rows of `federation_signing_keys`.
private struct FederationKeyQuery {
    private let db: Database

    init(_ db: Database) { self.db = db }

    /// - Returns: `false` when there is a key of that id.
    func insert(_ key: FederationKeyPair, at now: Int64) throws(StorageError) -> Bool {
        let row = try SQLiteStatement(
            self.db,
            """
            INSERT INTO federation_signing_keys (kid, private_key, public_key, created_at, is_active, is_primary)
            SELECT ?1, ?2, ?3, ?4, 1, NOT EXISTS (
                SELECT 1 FROM federation_signing_keys WHERE is_active AND is_primary)
            WHERE NOT EXISTS (SELECT 1 FROM federation_signing_keys WHERE kid = ?1)
            """, action: "insert a federation key")
        // The statement is cached with its parameters, and one of them is the seed.
        defer { row.clearBindings() }
        try row.bind(key.id, at: 1)
        try row.bind(copying: key.privateKey, at: 2)
        try row.bind(copying: key.publicKey, at: 3)
        try row.bind(now, at: 4)
        try row.run()
        return row.changes == 1
    }

    /// - Returns: `false` when there is no key of that id. Then nothing has changed.
    func promote(_ id: String) throws(StorageError) -> Bool {
        let demote = try SQLiteStatement(
            self.db,
            """
            UPDATE federation_signing_keys SET is_primary = 0
            WHERE is_primary AND kid <> ?1 AND EXISTS (SELECT 1 FROM federation_signing_keys WHERE kid = ?1)
            """, action: "demote a federation key")
        try demote.bind(id, at: 1)
        try demote.run()
        let promote = try SQLiteStatement(
            self.db,
            "UPDATE federation_signing_keys SET is_primary = 1, is_active = 1, deactivated_at = NULL WHERE kid = ?1",
            action: "promote a federation key")
        try promote.bind(id, at: 1)
        try promote.run()
        return promote.changes == 1
    }

    func deactivate(_ id: String, at now: Int64) throws(StorageError) -> Bool {
        let row = try SQLiteStatement(
            self.db,
            "UPDATE federation_signing_keys SET is_active = 0, is_primary = 0, deactivated_at = ?2 WHERE kid = ?1",
            action: "deactivate a federation key")
        try row.bind(id, at: 1)
        try row.bind(now, at: 2)
        try row.run()
        return row.changes == 1
    }

    func signingKey() throws(StorageError) -> FederationKeyPair? {
        let row = try SQLiteStatement(
            self.db,
            "SELECT kid, private_key, public_key FROM federation_signing_keys WHERE is_active AND is_primary",
            action: "read the signing key")
        defer { row.reset() }
        guard try row.step() else { return nil }
        guard let privateKey = row.buffer(1), let publicKey = row.buffer(2) else {
            throw .database(detail: "unexpected types in federation_signing_keys")
        }
        return FederationKeyPair(id: row.text(0), privateKey: privateKey, publicKey: publicKey)
    }

    func publicKeys() throws(StorageError) -> [FederationPublicKey] {
        let row = try SQLiteStatement(
            self.db, "SELECT kid, public_key FROM federation_signing_keys WHERE is_active ORDER BY created_at, kid",
            action: "read public keys")
        defer { row.reset() }
        var keys: [FederationPublicKey] = []
        while try row.step() {
            guard let key = row.buffer(1) else {
                throw .database(detail: "unexpected types in federation_signing_keys")
            }
            keys.append(FederationPublicKey(id: row.text(0), publicKey: key))
        }
        return keys
    }
}
