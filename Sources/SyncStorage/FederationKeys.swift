package import NIOCore

/// An Ed25519 key pair with which this server signs its requests to other servers.
package struct FederationKeyPair: Hashable, Sendable {
    /// `https://<domain>/.well-known/jwks.json#<fragment>`.
    package var id: String
    /// The seed, 32 bytes. Stored as it is: whoever reads the database can speak for this server.
    package var privateKey: ByteBuffer
    /// 32 bytes.
    package var publicKey: ByteBuffer

    package init(id: String, privateKey: ByteBuffer, publicKey: ByteBuffer) {
        self.id = id
        self.privateKey = privateKey
        self.publicKey = publicKey
    }
}

/// What other servers may know of a key.
package struct FederationPublicKey: Hashable, Sendable {
    package var id: String
    /// 32 bytes, unless somebody changed the row.
    package var publicKey: ByteBuffer

    package init(id: String, publicKey: ByteBuffer) {
        self.id = id
        self.publicKey = publicKey
    }
}

/// This server's own keys (docs/contract/storage.md §10.2). At most one is primary: the one that signs.
package protocol FederationKeyStore: Sendable {
    /// Stores a new key, active, and primary if no active key is.
    ///
    /// - Returns: `false` when there is a key of that id. Then nothing changes.
    func addFederationKey(_ key: FederationKeyPair) async throws(StorageError) -> Bool

    /// Makes the key the one that signs, and active if it was not.
    ///
    /// - Throws: `.federationKeyNotFound`; then the primary key of before stays.
    func promoteFederationKey(_ id: String) async throws(StorageError)

    /// Takes the key out of use, even the primary one: then nothing signs.
    ///
    /// - Throws: `.federationKeyNotFound`.
    func deactivateFederationKey(_ id: String) async throws(StorageError)

    /// The active primary key.
    func federationSigningKey() async throws(StorageError) -> FederationKeyPair?

    /// The active keys, oldest first, those of one moment by id.
    func federationPublicKeys() async throws(StorageError) -> [FederationPublicKey]
}
