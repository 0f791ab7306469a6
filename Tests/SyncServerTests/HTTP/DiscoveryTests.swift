import Foundation
import Logging
import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncServer

@Suite("Key set and discovery", .timeLimit(.minutes(5)))
struct DiscoveryTests {
    private static let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    private static let seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"

    private func bytes(_ text: String) -> ByteBuffer { ByteBuffer(bytes: Base64URL.decode(text) ?? []) }

    private func key(_ name: String, publicKey: String = x) -> FederationKeyPair {
        FederationKeyPair(
            id: "https://a.example/.well-known/jwks.json#\(name)", privateKey: self.bytes(Self.seed),
            publicKey: self.bytes(publicKey))
    }

    private func kids(_ keySet: PublishedKeySet) async throws -> [String] {
        struct Document: Decodable {
            struct Key: Decodable { var kid: String }
            var keys: [Key]
        }
        let response = try await self.keySet(keySet)
        return try JSONDecoder().decode(Document.self, from: Data(response.utf8)).keys.map {
            String($0.kid.split(separator: "#").last ?? "")
        }
    }

    private func keySet(_ keySet: PublishedKeySet) async throws -> String {
        var body = ""
        try await HTTPTestServer(extraRoutes: [keySet.route]).run { server in
            body = try await server.request("GET", "/.well-known/jwks.json").body
        }
        return body
    }

    @Test("OS1, HF1: without keys the set is empty", arguments: TestBackend.available)
    func empty(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let keySet = try await PublishedKeySet.load(from: test.storage)
            #expect(try await self.keySet(keySet) == #"{"keys":[]}"#)
        }
    }

    @Test(
        "OS2, HF2, HF3: active keys are published; a deactivated one is gone at the next refresh",
        arguments: TestBackend.available)
    func rotation(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            _ = try await storage.addFederationKey(self.key("1"))
            let keySet = try await PublishedKeySet.load(from: storage)
            #expect(
                try await self.keySet(keySet) == #"{"keys":[{"alg":"EdDSA","crv":"Ed25519","#
                    + #""kid":"https://a.example/.well-known/jwks.json#1","kty":"OKP","use":"federation","x":"\#(Self.x)"}]}"#
            )
            _ = try await storage.addFederationKey(self.key("2"))
            try await storage.promoteFederationKey(self.key("2").id)
            let clock = TestClock()
            let job = PeriodicJob.refreshes(keySet, from: storage, clock: clock, logger: .init(label: "test"))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await job.run() }
                await clock.waitForSleepers(1)
                clock.advance(by: .seconds(66))
                await clock.waitForSleepers(1)
                #expect(try await self.kids(keySet) == ["1", "2"])
                try await storage.deactivateFederationKey(self.key("1").id)
                clock.advance(by: .seconds(66))
                await clock.waitForSleepers(1)
                #expect(try await self.kids(keySet) == ["2"])
                group.cancelAll()
            }
        }
    }

    @Test("OS3, HF12: a server does not start with a key that was altered", arguments: TestBackend.available)
    func altered(on backend: TestBackend) async throws {
        let id = "https://a.example/.well-known/jwks.json#1"
        let cases: [(FederationKeyPair, FederationKeyError, String)] = [
            (
                self.key("1", publicKey: "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"), .mismatch(id: id),
                "pair mismatch for"
            ),
            (
                self.key("1", publicKey: "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), .publicKeyInvalid(id: id),
                "is invalid"
            ),
            (self.key("1", publicKey: "AAAA"), .publicKeyLength(id: id), "public key"),
            (
                FederationKeyPair(id: id, privateKey: self.bytes("AAAA"), publicKey: self.bytes(Self.x)),
                .privateKeyLength(id: id), "private key"
            ),
        ]
        for (key, expected, text) in cases {
            try await backend.withStorage { test in
                _ = try await test.storage.addFederationKey(key)
                await #expect(throws: expected) { try await PublishedKeySet.load(from: test.storage) }
                #expect("\(expected)".contains(text) && "\(expected)".contains(id))
            }
        }
    }

    @Test("A set that cannot be read leaves the last good one in place")
    func lastGood() async throws {
        try await TestBackend.sqlite.withStorage { test in
            _ = try await test.storage.addFederationKey(self.key("1"))
            let keySet = try await PublishedKeySet.load(from: test.storage)
            await test.storage.close()
            await #expect(throws: StorageError.self) { try await keySet.refresh(from: test.storage) }
            #expect(try await self.kids(keySet) == ["1"])
        }
    }

    private func routes(_ change: (inout DiscoverySettings) -> Void) -> [HTTPRoute] {
        var configuration = ServerConfiguration()
        change(&configuration.discovery)
        return DiscoveryDocument.routes(configuration, issuers: ["https://accounts.example.com"])
    }

    @Test("HF11: both documents, each with its own protocol first")
    func documents() async throws {
        let routes = self.routes { $0.syncEndpoint = "https://sync.example.com/api/v1" }
        try await HTTPTestServer(extraRoutes: routes).run { server in
            for (name, protocols) in [
                ("less-platform", #"["less-rpc-v1","betterbase-rpc-v1"]"#),
                ("betterbase", #"["betterbase-rpc-v1","less-rpc-v1"]"#),
            ] {
                let response = try await server.request("GET", "/.well-known/\(name)")
                #expect(response.status == 200)
                #expect(
                    response.body == #"{"accounts_endpoint":"https://accounts.example.com","federation":false,"#
                        + #""federation_ws":"","jwks_uri":"https://accounts.example.com/.well-known/jwks.json","#
                        + #""pow_required":false,"protocols":\#(protocols),"#
                        + #""sync_endpoint":"https://sync.example.com/api/v1","version":1,"#
                        + #""webfinger":"https://accounts.example.com/.well-known/webfinger"}"#)
                #expect(response.headers["content-type"] == "application/json")
                #expect(response.headers["access-control-allow-origin"] == "*")
                #expect(response.headers["cache-control"]?.contains("public, max-age=3600") == true)
                #expect(try await server.request("HEAD", "/.well-known/\(name)", "Connection: close").body.isEmpty)
            }
        }
    }

    @Test("HF11: without SYNC_ENDPOINT there are no documents: 401 without credentials, 404 with")
    func off() async throws {
        try await HTTPTestServer(extraRoutes: self.routes { _ in }).run { server in
            for name in ["less-platform", "betterbase"] {
                let path = "/.well-known/\(name)"
                let statuses = [
                    try await server.request("GET", path).status,
                    try await server.request("GET", path, "Authorization: Bearer good").status,
                ]
                #expect(statuses == [401, 404])
            }
        }
    }

    @Test("Configured addresses win; the one for other servers is derived only when they can connect")
    func addresses() throws {
        var settings = DiscoverySettings()
        settings.syncEndpoint = "http://h:5379/api/v1"
        func document(federates: Bool) -> DiscoveryDocument? {
            DiscoveryDocument(settings, family: .less, issuers: ["https://i/"], federates: federates)
        }
        #expect(document(federates: true)?.federationWS == "ws://h:5379/api/v1/federation/ws")
        #expect(document(federates: true)?.jwksURI == "https://i/.well-known/jwks.json")
        #expect(document(federates: false)?.federationWS == "")
        settings.federationWebSocketEndpoint = "wss://f"
        settings.accountsEndpoint = "https://acc"
        settings.keySetURI = "https://k"
        settings.webFingerEndpoint = "https://w"
        let document = try #require(document(federates: true))
        #expect(document.federationWS == "wss://f")
        #expect(DiscoveryDocument(settings, family: .less, issuers: [], federates: false)?.federationWS == "wss://f")
        #expect(document.accountsEndpoint == "https://acc")
        #expect(document.jwksURI == "https://k")
        #expect(document.webFinger == "https://w")
        #expect(DiscoveryDocument(DiscoverySettings(), family: .less, issuers: ["i"], federates: true) == nil)
        settings.accountsEndpoint = nil
        #expect(DiscoveryDocument(settings, family: .less, issuers: [], federates: true) == nil)
    }
}
