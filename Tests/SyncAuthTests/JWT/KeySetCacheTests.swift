import Crypto
import Foundation
import SyncAuth
import SyncTesting
import Synchronization
import Testing

@Suite("Key set cache", .timeLimit(.minutes(5)))
struct KeySetCacheTests {
    private let issuer = TestIssuer()
    private let uptime = TestUptime()

    private func cache(_ endpoint: TestEndpoint) -> KeySetCache {
        KeySetCache(url: "https://a/keys", fetcher: endpoint, uptime: { self.uptime.now })
    }

    private func validator(_ endpoint: TestEndpoint) -> JWTValidator {
        JWTValidator(
            issuers: [TrustedIssuer(self.issuer.issuer)], audiences: [], fetcher: endpoint,
            now: { TokenVectors.now }, uptime: { self.uptime.now })
    }

    @Test("JWT-13: a key id that a refresh does not bring is invalid")
    func unknownKey() async throws {
        let endpoint = TestEndpoint(TokenSigner(keyID: "other").keySetDocument)
        let validator = self.validator(endpoint)
        await #expect(throws: TokenError.invalid) { try await validator.validate(self.issuer.token()) }
        #expect(endpoint.fetches == ["https://accounts.less.so/.well-known/jwks.json"])
        await #expect(throws: TokenError.invalid) {
            try await validator.validate(self.issuer.token(header: ["kid": ""]))
        }
        #expect(endpoint.fetchCount == 2)
    }

    @Test("JWT-14: after a rotation the set is fetched once and the old key is gone")
    func rotation() async throws {
        let endpoint = TestEndpoint(self.issuer.signer.keySetDocument)
        let validator = self.validator(endpoint)
        _ = try await validator.validate(self.issuer.token())
        let rotated = TestIssuer(signer: TokenSigner(keyID: "key-2"))
        endpoint.serve(rotated.signer.keySetDocument)
        _ = try await validator.validate(rotated.token())
        #expect(endpoint.fetchCount == 2)
        await #expect(throws: TokenError.invalid) { try await validator.validate(self.issuer.token()) }
    }

    @Test("JWT-15: when the first fetch fails the token is invalid; the next one asks again")
    func coldFailure() async throws {
        let endpoint = TestEndpoint(nil)
        let validator = self.validator(endpoint)
        await #expect(throws: TokenError.invalid) { try await validator.validate(self.issuer.token()) }
        endpoint.serve(self.issuer.signer.keySetDocument)
        _ = try await validator.validate(self.issuer.token())
        #expect(endpoint.fetchCount == 2)
    }

    @Test("An endpoint that never answered is asked at most five times in a burst and then every 12 s")
    func coldBudget() async throws {
        let endpoint = TestEndpoint(nil)
        let cache = self.cache(endpoint)
        for _ in 0..<20 { #expect(await cache.key("key-1") == nil) }
        #expect(endpoint.fetchCount == 5)
        self.uptime.advance(by: .seconds(12))
        for _ in 0..<20 { #expect(await cache.key("key-1") == nil) }
        #expect(endpoint.fetchCount == 6)
    }

    @Test("A fresh set answers without a fetch until it is 3,600 s old")
    func lifetime() async throws {
        let endpoint = TestEndpoint(self.issuer.signer.keySetDocument)
        let cache = self.cache(endpoint)
        for _ in 0..<3 { #expect(await cache.key("key-1") != nil) }
        self.uptime.advance(by: .milliseconds(3_599_999))
        #expect(await cache.key("key-1") != nil)
        #expect(endpoint.fetchCount == 1)
        self.uptime.advance(by: .milliseconds(1))
        #expect(await cache.key("key-1") != nil)
        #expect(endpoint.fetchCount == 2)
    }

    @Test("JWT-16: a set out of date still answers while the endpoint is down")
    func staleSet() async throws {
        let endpoint = TestEndpoint(self.issuer.signer.keySetDocument)
        let validator = self.validator(endpoint)
        _ = try await validator.validate(self.issuer.token())
        endpoint.serve(nil)
        self.uptime.advance(by: .seconds(86_400))
        _ = try await validator.validate(self.issuer.token())
        #expect(endpoint.fetchCount == 2)
    }

    @Test("A document that is no key set counts as a failed fetch")
    func brokenDocument() async throws {
        let endpoint = TestEndpoint(self.issuer.signer.keySetDocument)
        let cache = self.cache(endpoint)
        #expect(await cache.key("key-1") != nil)
        endpoint.serve(Array("<html>".utf8))
        self.uptime.advance(by: .seconds(3_600))
        #expect(await cache.key("key-1") != nil)
        #expect(endpoint.fetchCount == 2)
    }

    @Test("While the endpoint is down it is asked after 1 s, 2 s, 4 s … 60 s")
    func renewalDelays() async throws {
        let endpoint = TestEndpoint(self.issuer.signer.keySetDocument)
        let cache = self.cache(endpoint)
        #expect(await cache.key("key-1") != nil)
        endpoint.serve(nil)
        self.uptime.advance(by: .seconds(3_600))
        var count = 1
        for delay in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            count += 1
            for keyID in ["key-1", "unknown", "key-1"] {
                #expect((await cache.key(keyID) != nil) == (keyID == "key-1"))
            }
            #expect(endpoint.fetchCount == count, "before the delay of \(delay) s")
            self.uptime.advance(by: .seconds(delay) - .milliseconds(1))
            #expect(await cache.key("key-1") != nil)
            #expect(endpoint.fetchCount == count, "within the delay of \(delay) s")
            self.uptime.advance(by: .milliseconds(1))
        }
        endpoint.serve(self.issuer.signer.keySetDocument)
        #expect(await cache.key("key-1") != nil)
        #expect(endpoint.fetchCount == count + 1)
        // A success starts the delays again.
        endpoint.serve(nil)
        self.uptime.advance(by: .seconds(3_600))
        #expect(await cache.key("key-1") != nil)
        self.uptime.advance(by: .seconds(1))
        #expect(await cache.key("key-1") != nil)
        #expect(endpoint.fetchCount == count + 3)
    }

    @Test("JWT-24: 100 tokens with random key ids in one second cost at most five fetches, then one every 12 s")
    func unknownKeyBudget() async throws {
        let endpoint = TestEndpoint(self.issuer.signer.keySetDocument)
        let validator = self.validator(endpoint)
        for index in 0..<100 {
            let token = try self.issuer.token(header: ["kid": "random-\(index)"])
            await #expect(throws: TokenError.invalid) { try await validator.validate(token) }
            self.uptime.advance(by: .milliseconds(10))
        }
        #expect(endpoint.fetchCount == 5)
        // The key that is known costs nothing and still answers.
        _ = try await validator.validate(self.issuer.token())
        let unknown = try self.issuer.token(header: ["kid": "unknown"])
        for expected in [6, 7] {
            self.uptime.advance(by: .seconds(12))
            for _ in 0..<3 { await #expect(throws: TokenError.invalid) { try await validator.validate(unknown) } }
            #expect(endpoint.fetchCount == expected)
        }
        // After a quiet minute the burst is whole again, and no more than whole.
        self.uptime.advance(by: .seconds(600))
        for _ in 0..<20 { await #expect(throws: TokenError.invalid) { try await validator.validate(unknown) } }
        #expect(endpoint.fetchCount == 12)
    }

    @Test("JWT-24: the same at once")
    func concurrentUnknownKeys() async throws {
        let endpoint = TestEndpoint(self.issuer.signer.keySetDocument)
        let cache = self.cache(endpoint)
        await withTaskGroup(of: Bool.self) { group in
            for index in 0..<100 { group.addTask { await cache.key("random-\(index)") == nil } }
            for await isUnknown in group { #expect(isUnknown) }
        }
        #expect((1...5).contains(endpoint.fetchCount))
    }

    @Test("JWT-25: 50 validations at once on a cold cache make one fetch")
    func singleFlight() async throws {
        let gate = Gate()
        let endpoint = TestEndpoint(self.issuer.signer.keySetDocument, gate: gate)
        let lookUps = Counter()
        let validator = JWTValidator(
            issuers: [TrustedIssuer(self.issuer.issuer)], audiences: [], fetcher: endpoint, now: { TokenVectors.now },
            uptime: {
                // Every look-up asks for the time. The fetch ends after the fiftieth, so all of them fall into it.
                if lookUps.next() == 50 { gate.open() }
                return .seconds(1)
            })
        let token = try self.issuer.token()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<50 { group.addTask { _ = try await validator.validate(token) } }
            try await group.waitForAll()
        }
        #expect(endpoint.fetchCount == 1)
    }

    @Test("A failed fetch answers everybody who waited for it")
    func sharedFailure() async throws {
        let gate = Gate()
        let endpoint = TestEndpoint(nil, gate: gate)
        let cache = self.cache(endpoint)
        async let first = cache.key("key-1")
        try await gate.awaitArrival()
        async let others = withTaskGroup(of: Bool.self) { group in
            for _ in 0..<20 { group.addTask { await cache.key("key-1") == nil } }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        await self.letOthersRun()
        gate.open()
        #expect(await first == nil)
        #expect(await others == 20)
        #expect(endpoint.fetchCount <= 5)
    }

    @Test("A cancelled caller does not cancel the fetch that others wait for")
    func cancellation() async throws {
        let gate = Gate()
        let endpoint = TestEndpoint(self.issuer.signer.keySetDocument, gate: gate)
        let cache = self.cache(endpoint)
        let starter = Task { await cache.key("key-1") }
        try await gate.awaitArrival()
        let waiter = Task { await cache.key("key-1") }
        starter.cancel()
        await self.letOthersRun()
        gate.open()
        #expect(await waiter.value != nil)
        _ = await starter.value
        #expect(endpoint.fetchCount == 1)
        #expect(!endpoint.sawCancellation)
    }

    @Test("While a renewal that failed before is tried again, known keys answer without waiting for it")
    func renewalInProgress() async throws {
        let gate = Gate()
        let down = TestEndpoint(self.issuer.signer.keySetDocument)
        let endpoint = SwitchingFetcher([down, down, TestEndpoint(nil, gate: gate)])
        let cache = KeySetCache(url: "https://a/keys", fetcher: endpoint, uptime: { self.uptime.now })
        #expect(await cache.key("key-1") != nil)
        down.serve(nil)
        self.uptime.advance(by: .seconds(3_600))
        #expect(await cache.key("key-1") != nil)
        self.uptime.advance(by: .seconds(1))
        async let renewal = cache.key("key-1")
        try await gate.awaitArrival()
        #expect(await cache.key("key-1") != nil)
        gate.open()
        #expect(await renewal != nil)
    }

    @Test("Fetches are reported with what was skipped and what went wrong")
    func events() async throws {
        let endpoint = TestEndpoint(Array(#"{"keys":[{"kty":"RSA"}]}"#.utf8))
        let events = Mutex<[String]>([])
        let cache = KeySetCache(url: "https://a/keys", fetcher: endpoint, uptime: { self.uptime.now }) { event in
            let line =
                switch event {
                case .fetched(let url, let count, let skipped): "\(url) \(count) \(skipped.map(\.rawValue))"
                case .fetchFailed(let url, let error): "\(url) \(error)"
                }
            events.withLock { $0.append(line) }
        }
        _ = await cache.key("key-1")
        endpoint.serve(nil)
        _ = await cache.key("key-1")
        #expect(
            events.withLock { $0 } == [
                #"https://a/keys 0 ["unsupported key type"]"#, "https://a/keys EndpointDown()",
            ])
    }

    /// Most likely enough for the tasks above to reach the cache; the outcome does not hang on it.
    private func letOthersRun() async {
        for _ in 0..<20 { await Task.yield() }
    }
}

private final class Counter: Sendable {
    private let value = Mutex(0)

    func next() -> Int {
        self.value.withLock { value in
            value += 1
            return value
        }
    }
}

/// The first fetch goes to the first, the next to the second, and so on.
private final class SwitchingFetcher: KeySetFetcher {
    private let remaining: Mutex<[any KeySetFetcher]>

    init(_ fetchers: [any KeySetFetcher]) { self.remaining = Mutex(fetchers) }

    func fetch(_ url: String) async throws -> [UInt8] {
        guard let next = self.remaining.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { throw EndpointDown() }
        return try await next.fetch(url)
    }
}
