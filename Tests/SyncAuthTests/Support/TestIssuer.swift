import Crypto
import Foundation
import SyncAuth
import SyncTesting
import Synchronization

/// An issuer whose tokens start from something valid; tests change one fact.
struct TestIssuer: Sendable {
    var issuer = "https://accounts.less.so"
    var signer = TokenSigner(keyID: "key-1")

    var claims: [String: Any] {
        ["iss": self.issuer, "sub": "user-1", "client_id": "client-1", "scope": "sync", "exp": TokenVectors.now + 60]
    }

    func token(_ changes: [String: Any?] = [:], header: [String: Any] = [:]) throws -> String {
        var claims = self.claims
        for (name, value) in changes { claims[name] = value }
        let payload = try JSONSerialization.data(withJSONObject: claims)
        return try self.token(payload: String(decoding: payload, as: UTF8.self), header: header)
    }

    /// - Parameter payload: signed as it is.
    func token(payload: String, header: [String: Any] = [:]) throws -> String {
        let members = ["alg": "ES256", "kid": self.signer.keyID].merging(header) { $1 }
        return try self.signer.sign(
            header: JSONSerialization.data(withJSONObject: members), payload: Array(payload.utf8))
    }

    var keySource: StaticKeySource { StaticKeySource(keys: [ExactText(self.signer.keyID): self.signer.publicKey]) }

    func validator(audiences: [String] = [], now: UInt64 = TokenVectors.now) -> JWTValidator {
        JWTValidator(keySources: [self.issuer: self.keySource], audiences: audiences, now: { now })
    }
}

struct StaticKeySource: KeySource {
    var keys: [ExactText: P256.Signing.PublicKey]

    func key(_ keyID: String) async -> P256.Signing.PublicKey? { self.keys[ExactText(keyID)] }
}

/// A clock that stands still until a test moves it.
final class TestUptime: Sendable {
    private let time = Mutex(Duration.seconds(1_000))

    var now: Duration { self.time.withLock { $0 } }

    func advance(by duration: Duration) { self.time.withLock { $0 += duration } }
}

struct EndpointDown: Error {}

/// Answers fetches with what the test has put in, and counts them.
final class TestEndpoint: KeySetFetcher {
    private struct State {
        var document: [UInt8]?
        var fetches: [String] = []
        var sawCancellation = false
    }

    private let state: Mutex<State>
    private let gate: Gate?

    /// - Parameters:
    ///   - document: `nil`: the endpoint is down.
    ///   - gate: holds every fetch until it opens.
    init(_ document: [UInt8]?, gate: Gate? = nil) {
        self.state = Mutex(State(document: document))
        self.gate = gate
    }

    var fetches: [String] { self.state.withLock { $0.fetches } }
    var fetchCount: Int { self.fetches.count }
    var sawCancellation: Bool { self.state.withLock { $0.sawCancellation } }

    func serve(_ document: [UInt8]?) { self.state.withLock { $0.document = document } }

    func fetch(_ url: String) async throws -> [UInt8] {
        self.state.withLock { $0.fetches.append(url) }
        await self.gate?.wait()
        let isCancelled = Task.isCancelled
        return try self.state.withLock { state in
            state.sawCancellation = state.sawCancellation || isCancelled
            guard let document = state.document else { throw EndpointDown() }
            return document
        }
    }
}
