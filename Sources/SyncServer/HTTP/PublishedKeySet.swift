import Crypto
import Foundation
import Hummingbird
import Logging
import NIOCore
import SyncAuth
import SyncStorage
import Synchronization

/// The keys by which other servers recognize this one: `/.well-known/jwks.json` (docs/contract/http.md §5).
final class PublishedKeySet: Sendable {
    /// How old the published set may be (docs/contract/http.md Δ-H4).
    static let refreshInterval: Duration = .seconds(60)

    /// A member of the set (RFC 8037), in alphabetical order.
    private struct Member: Encodable {
        var alg = "EdDSA"
        var crv = "Ed25519"
        var kid: String
        var kty = "OKP"
        var use = "federation"
        var x: String
    }

    private struct Document: Encodable {
        var keys: [Member]
    }

    private let document = Mutex(Document(keys: []))

    init() {}

    /// Reads the active keys, and checks them and the primary one (docs/contract/operations.md §3, step 7).
    ///
    /// - Throws: `FederationKeyError`; what the storage throws.
    static func load(from storage: any FederationKeyStore) async throws -> PublishedKeySet {
        let keySet = PublishedKeySet()
        try await keySet.refresh(from: storage)
        if let key = try await storage.federationSigningKey() { try Self.check(key) }
        return keySet
    }

    /// Reads the keys anew. When that fails, the last good set stays.
    ///
    /// - Throws: as `load`.
    func refresh(from storage: any FederationKeyStore) async throws {
        let members = try await storage.federationPublicKeys().map { key in
            let bytes = Array(key.publicKey.readableBytesView)
            guard bytes.count == 32 else { throw FederationKeyError.publicKeyLength(id: key.id) }
            guard Ed25519Point.isValid(bytes) else { throw FederationKeyError.publicKeyInvalid(id: key.id) }
            return Member(kid: key.id, x: Base64URL.encode(bytes))
        }
        self.document.withLock { $0.keys = members }
    }

    var route: HTTPRoute {
        HTTPRoute([.get, .head], "/.well-known/jwks.json", isPublic: true) { _, _ in
            var response = Response.json(self.document.withLock { $0 })
            response.headers[.cacheControl] = HTTPRoute.publicDocumentCaching
            return response
        }
    }

    private static func check(_ key: FederationKeyPair) throws(FederationKeyError) {
        let seed = Data(key.privateKey.readableBytesView)
        guard seed.count == 32, let privateKey = try? Curve25519.Signing.PrivateKey(rawRepresentation: seed) else {
            throw .privateKeyLength(id: key.id)
        }
        guard privateKey.publicKey.rawRepresentation == Data(key.publicKey.readableBytesView) else {
            throw .mismatch(id: key.id)
        }
    }
}

/// A stored key that cannot be what it is stored as. The server does not start with one.
enum FederationKeyError: Error, Hashable, CustomStringConvertible {
    case publicKeyLength(id: String)
    case publicKeyInvalid(id: String)
    case privateKeyLength(id: String)
    case mismatch(id: String)

    var description: String {
        switch self {
        case .publicKeyLength(let id): "stored federation public key \"\(id)\" is not 32 bytes"
        case .publicKeyInvalid(let id): "stored federation public key \"\(id)\" is invalid"
        case .privateKeyLength(let id): "stored federation private key \"\(id)\" is not 32 bytes"
        case .mismatch(let id): "stored federation key pair mismatch for \"\(id)\""
        }
    }
}

extension HTTPRoute {
    /// `Cache-Control` of key sets and discovery documents (docs/contract/http.md §5, §6).
    static let publicDocumentCaching = "public, max-age=3600, stale-while-revalidate=86400"
}

extension PeriodicJob {
    /// Publishes keys that were added, and takes back those that were deactivated, without a restart.
    static func refreshes(
        _ keySet: PublishedKeySet, from storage: any FederationKeyStore, clock: any Clock<Duration>, logger: Logger
    ) -> PeriodicJob {
        PeriodicJob(
            name: "federation_key_refresh", interval: PublishedKeySet.refreshInterval, clock: clock, logger: logger
        ) {
            try await keySet.refresh(from: storage)
        }
    }
}
