import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("space.create", .timeLimit(.minutes(5)))
struct SpaceCreateTests {
    private let alice = Principal.fixture("alice")

    private static let id = "6dfe56d8-7987-439f-b044-ea19e633ef46"
    private static let key = ByteBuffer(bytes: [2] + Array(repeating: 7, count: 32))

    private func create(_ id: String, _ key: ByteBuffer, _ client: TestClient) async throws -> SpaceCreateResult {
        try await client.call(.spaceCreate, SpaceCreateParams(id: id, rootPublicKey: key))
    }

    private func expectRefusal(
        _ id: String, _ key: ByteBuffer, _ error: ErrorBody, _ client: TestClient,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async {
        await #expect(throws: error, sourceLocation: sourceLocation) { try await self.create(id, key, client) }
    }

    @Test(
        "SPC-1, SPC-9: a new shared space with the caller's client id, under its canonical id",
        arguments: TestBackend.available)
    func create(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let id = try #require(SpaceID(wireText: Self.id))
            let result = try await self.create(Self.id.uppercased(), Self.key, client)
            #expect(result == SpaceCreateResult(id: id, keyGeneration: 1))
            let space = try await harness.storage.space(id)
            #expect(space.rootPublicKey == Self.key)
            #expect(space.clientID == alice.clientID)
            #expect(space.cursor == 0)
            var other = Self.key
            other.setInteger(3 as UInt8, at: 0)
            #expect(try await self.create(SpaceID.random().wireText, other, client).keyGeneration == 1)
            // Nobody is subscribed by it.
            #expect(!harness.engine.broker.hasSubscribers(of: id, except: nil))
        }
    }

    @Test(
        "SPC-2, SPC-3, SPC-4, SPC-10: an id or a key of the wrong form, the id first", arguments: TestBackend.available)
    func malformed(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let badID = ErrorBody(code: .badRequest, message: "invalid space id")
            let badKey = ErrorBody(code: .badRequest, message: "invalid root public key")
            for id in ["not-a-uuid", "", "6dfe56d87987439fb044ea19e633ef46"] {
                await self.expectRefusal(id, Self.key, badID, client)
                await self.expectRefusal(id, ByteBuffer(), badID, client)
            }
            for key: [UInt8] in [
                [], [2] + Array(repeating: 7, count: 31), [2] + Array(repeating: 7, count: 64),
                [4] + Array(repeating: 7, count: 32), [0] + Array(repeating: 7, count: 32),
            ] {
                await self.expectRefusal(Self.id, ByteBuffer(bytes: key), badKey, client)
            }
            await #expect(throws: StorageError.spaceNotFound) {
                try await harness.storage.space(try #require(SpaceID(wireText: Self.id)))
            }
        }
    }

    @Test(
        "SPC-11, C2: a version-5 id, such as any personal space has, cannot be taken; other versions can",
        arguments: TestBackend.available)
    func version5(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let badID = ErrorBody(code: .badRequest, message: "invalid space id")
            for family in ProtocolFamily.allCases {
                let personal = PersonalSpace.derive(
                    issuer: "https://accounts.less.so", userID: "user-1", clientID: "client", family: family)
                await self.expectRefusal(personal.wireText, Self.key, badID, client)
                await self.expectRefusal(personal.wireText.uppercased(), Self.key, badID, client)
            }
            for id in ["00000000-0000-0000-0000-000000000000", "019400e8-7b5d-7000-8000-000000000001"] {
                let created = try await self.create(id, Self.key, client)
                #expect(created.id.wireText == id)
            }
        }
    }

    @Test(
        "SPC-5: an id that exists is a conflict, whoever has it and with whatever key", arguments: TestBackend.available
    )
    func exists(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let conflict = ErrorBody(code: .conflict, message: "space already exists")
            _ = try await self.create(Self.id, Self.key, client)
            await self.expectRefusal(Self.id, Self.key, conflict, client)
            var other = Self.key
            other.setInteger(9 as UInt8, at: 5)
            await self.expectRefusal(Self.id, other, conflict, harness.connect(.fixture("bob")))
            let id = try #require(SpaceID(wireText: Self.id))
            #expect(try await harness.storage.space(id).rootPublicKey == Self.key)
        }
    }

    @Test("SPC-6: a storage failure is internal, with the reason in the log alone", arguments: TestBackend.available)
    func storageFailure(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            try await client.settle()
            await harness.storage.close()
            await self.expectRefusal(
                Self.id, Self.key, ErrorBody(code: .internal, message: "failed to create space"), client)
            #expect(harness.logs.lines.contains { $0.contains("RPC internal error") && $0.contains(Self.id) })
        }
    }

    @Test("SPC-7, SPC-8: undecodable params", arguments: ["63666f6f", "a1626964 6161", "a0"], TestBackend.available)
    func undecodable(params: String, on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            await #expect(throws: ErrorBody(code: .invalidParams, message: "invalid space create params")) {
                try await client.call(.spaceCreate, hex: params)
            }
        }
    }
}
