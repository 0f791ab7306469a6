import Foundation
import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

/// The byte examples of docs/contract/wire.md §18, sent to a real server and compared with its answers.
@Suite("Wire examples, end to end", .timeLimit(.minutes(1)))
struct WireExampleTests {
    private static let space = "cf78fa75-e714-5073-8972-126a66255b39"
    private static let dek = ByteBuffer(bytes: [0, 0, 0, 1] + Array(repeating: 0xAA, count: 40))

    /// Starts a server on a database with the example space as `prepare` leaves it, and tells it the tokens `T` and `T2`.
    private static func withServer(
        _ backend: TestBackend, cursor: Int64, prepare: (any TestStorage, SpaceID) async throws -> Void,
        _ body: (InProcessServer.Running) async throws -> Void
    ) async throws {
        let space = try #require(SpaceID(wireText: Self.space))
        try await TestDatabaseURL.with(backend) { database in
            try await database.prepare { storage in
                _ = try await storage.storage.createSpace(space, clientID: "client", rootPublicKey: nil)
                try await prepare(storage, space)
                try await storage.execute(
                    "UPDATE spaces SET cursor = $1 WHERE id = $2", [.integer(cursor), .id(space)])
            }
            let server = try InProcessServer(database)
            var user = Principal.fixture(scopes: ["sync", "files"])
            user.personalSpace = space
            server.tokens.issue(user, as: "T")
            server.tokens.issue(user, as: "T2")
            try await server.run(body)
        }
    }

    private static func insertRecord(
        _ number: Int, cursor: Int64, blob: ByteBuffer?, dek: ByteBuffer?, into space: SpaceID,
        _ storage: any TestStorage
    ) async throws {
        try await storage.execute(
            """
            INSERT INTO records (space_id, id, blob, cursor, wrapped_dek, deleted)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            [
                .id(space), .id(RecordID.fixture(number)), .bytes(blob), .integer(cursor), .bytes(dek),
                .boolean(blob == nil),
            ])
    }

    @Test("NTF-1: C1–C5, C7 and C11 on the wire give S3, S4, S5, S13 and S21", arguments: TestBackend.available)
    func push(on backend: TestBackend) async throws {
        try await Self.withServer(backend, cursor: 76) { storage, space in
            try await Self.insertRecord(
                2, cursor: 41, blob: ByteBuffer(bytes: [9]), dek: nil, into: space, storage)
        } _: { server in
            let subscriber = try await server.wire()
            for id in ["C1", "C2", "C3"] { subscriber.send(hex: Example.bytes[id, default: ""]) }
            for id in ["rpc-1", "rpc-2"] {
                let result: SubscribeResult = try await subscriber.result(of: id)
                #expect(result.spaces.map(\.cursor) == [76])
            }

            let pusher = try await server.wire()
            for id in ["C1", "C5"] { pusher.send(hex: Example.bytes[id, default: ""]) }
            #expect(try await pusher.nextBytes().hex == Example.hex("S4"))
            // NTF-1: apart from the key generation, which the example gives as unknown.
            let key = ByteBuffer(string: "key_generation").hex
            #expect(
                try await subscriber.nextBytes().hex
                    == Example.hex("S13").replacing(key + "00", with: key + "01"))
            pusher.send(hex: Example.bytes["C5", default: ""])
            #expect(try await pusher.nextBytes().hex == Example.hex("S5"))
            pusher.send(hex: Example.bytes["C7", default: ""])
            #expect(try await pusher.nextBytes().hex == Example.hex("S21"))
            pusher.send(hex: Example.bytes["C11", default: ""])
            #expect(try await pusher.nextBytes().hex == Example.hex("S3"))

            // After unsubscribing, the next push brings nothing before the answer to the next request.
            subscriber.send(hex: Example.bytes["C4", default: ""])
            try await subscriber.settle()
            pusher.request("more", .push, PushParams(space: Self.space, changes: [.fixture(3)]))
            #expect(try await pusher.result(of: "more", as: PushResult.self) == .accepted(cursor: 78))
            subscriber.send(hex: Example.bytes["C11", default: ""])
            #expect(try await subscriber.nextBytes().hex == Example.hex("S3"))
            await subscriber.close()
            await pusher.close()
        }
    }

    @Test("C6 on the wire gives S6, S7, S10, S11 and S12", arguments: TestBackend.available)
    func pull(on backend: TestBackend) async throws {
        try await Self.withServer(backend, cursor: 78) { storage, space in
            try await Self.insertRecord(
                1, cursor: 77, blob: ByteBuffer(bytes: [1, 2, 3]), dek: Self.dek, into: space, storage)
            let file = try #require(FileID(wireText: "d205899b-b9fb-4d6e-8159-8578661a574c"))
            try await storage.insertFile(
                PulledFile(
                    id: file, recordID: .fixture(1), size: 2_048_576, wrappedDEK: Self.dek, cursor: 78, deleted: false),
                into: space)
        } _: { server in
            let client = try await server.wire()
            for id in ["C1", "C6"] { client.send(hex: Example.bytes[id, default: ""]) }
            for id in ["S6", "S7", "S10", "S11", "S12"] {
                let hex = try await client.nextBytes().hex
                #expect(hex == Example.hex(id), "\(id)")
            }
            await client.close()
        }
    }

    @Test("S8 and S9 on the wire: a deleted record and a member", arguments: TestBackend.available)
    func pullMemberAndTombstone(on backend: TestBackend) async throws {
        try await Self.withServer(backend, cursor: 78) { storage, space in
            try await storage.insertMember(
                PulledMember(
                    chainSequence: 1, cursor: 1, previousHash: ByteBuffer(),
                    entryHash: ByteBuffer(repeating: 0x11, count: 32), payload: ByteBuffer(bytes: [7, 8, 9])),
                into: space)
            try await Self.insertRecord(2, cursor: 77, blob: nil, dek: nil, into: space, storage)
        } _: { server in
            let client = try await server.wire()
            // A first pull brings no tombstones, a later one brings no members that came before.
            for (since, example) in [(Int64(0), "S9"), (1, "S8")] {
                if since == 0 { client.send(hex: Example.bytes["C1", default: ""]) }
                client.request("rpc-4", .pull, PullParams(spaces: [.init(id: Self.space, since: since)]))
                _ = try await client.nextBytes()
                let hex = try await client.nextBytes().hex
                #expect(hex == Example.hex(example), "\(example)")
                let count = try await client.result(of: "rpc-4", as: ChunkCount.self)
                #expect(count.chunks == 3)
            }
            await client.close()
        }
    }

    @Test(
        "C8 and C9 on the wire give S18, S20 and S19; a revocation gives S16 and S26", arguments: TestBackend.available)
    func presenceAndRevocation(on backend: TestBackend) async throws {
        try await Self.withServer(backend, cursor: 42) { _, _ in
        } _: { server in
            let (watcher, speaker) = (try await server.wire(), try await server.wire())
            for client in [watcher, speaker] {
                for id in ["C1", "C2"] { client.send(hex: Example.bytes[id, default: ""]) }
                _ = try await client.result(of: "rpc-1", as: SubscribeResult.self)
            }
            speaker.send(hex: Example.bytes["C8", default: ""])
            let presence = try await watcher.nextBytes()
            guard case .notification("presence", let params) = try FrameDecoder.decodeServerFrame(presence) else {
                Issue.record("no presence")
                return
            }
            // The examples' pseudonym comes from another secret and another connection.
            let peer = ByteBuffer(string: try params.decode(as: PresenceNotification.self).peer).hex
            func example(_ id: String) -> String {
                let pseudonym = ByteBuffer(string: "82914299e281046322b00d59409da960").hex
                return Example.hex(id).replacing(pseudonym, with: peer)
            }
            #expect(peer.count == 64)
            #expect(presence.hex == example("S18"))
            speaker.send(hex: Example.bytes["C9", default: ""])
            #expect(try await watcher.nextBytes().hex == example("S20"))
            speaker.request(
                "rpc-8", .membershipRevoke, MembershipRevokeParams(space: Self.space, ucanCID: "some token"))
            #expect(try await speaker.nextBytes().hex == Example.hex("S26"))
            #expect(try await watcher.nextBytes().hex == Example.hex("S16"))
            await speaker.close()
            #expect(try await watcher.nextBytes().hex == example("S19"))
            await watcher.close()
        }
    }

    @Test(
        "C10 on the wire gives S23 and S27; files give S28, an epoch that cannot be begun S25",
        arguments: TestBackend.available)
    func deks(on backend: TestBackend) async throws {
        try await Self.withServer(backend, cursor: 80) { storage, space in
            try await Self.insertRecord(
                1, cursor: 77, blob: ByteBuffer(bytes: [1, 2, 3]), dek: Self.dek, into: space, storage)
            let file = try #require(FileID(wireText: "d205899b-b9fb-4d6e-8159-8578661a574c"))
            try await storage.insertFile(
                PulledFile(
                    id: file, recordID: .fixture(1), size: 2_048_576, wrappedDEK: Self.dek, cursor: 80, deleted: false),
                into: space)
        } _: { server in
            let client = try await server.wire()
            for id in ["C1", "C10"] { client.send(hex: Example.bytes[id, default: ""]) }
            for id in ["S23", "S27"] {
                let hex = try await client.nextBytes().hex
                #expect(hex == Example.hex(id), "\(id)")
            }
            for method in [Method.deksGetFiles, .fileDEKsGet] {
                client.request("rpc-6", method, DEKsGetParams(space: Self.space))
                #expect(try await client.nextBytes().hex == Example.hex("S28"))
                let result = try await client.result(of: "rpc-6", as: DEKsGetResult<FileDEKEntry>.self)
                #expect(result.deks.count == 1 && result.chunks == 1)
            }
            client.request("rpc-7", .epochBegin, EpochBeginParams(space: Self.space, epoch: 2))
            #expect(try await client.result(of: "rpc-7", as: EpochBeginResult.self) == .begun(epoch: 2))
            client.request("rpc-7", .epochBegin, EpochBeginParams(space: Self.space, epoch: 2))
            #expect(try await client.nextBytes().hex == Example.hex("S25"))
            client.request("rpc-8", .epochComplete, EpochCompleteParams(space: Self.space, epoch: 2))
            #expect(try await client.nextBytes().hex == Example.hex("S26"))
            await client.close()
        }
    }

    @Test("S17 on the wire: an invitation says nothing about itself")
    func invitation() async throws {
        try await Self.withServer(.sqlite, cursor: 0) { _, _ in
        } _: { server in
            var reader = Principal.fixture("reader")
            reader.mailboxID = String(repeating: "e", count: 64)
            let client = try await server.wire(as: reader)
            let sent = ContinuousClock.now
            client.request(
                "rpc-1", .invitationCreate, InvitationCreateParams(mailboxID: reader.mailboxID, payload: "p"))
            _ = try await client.result(of: "rpc-1", as: InvitationResult.self)
            #expect(try await client.nextBytes().hex == Example.hex("S17"))
            #expect(ContinuousClock.now - sent >= .seconds(1))
            await client.close()
        }
    }
}

private enum Example {
    static func hex(_ id: String) -> String { self.bytes[id, default: ""].filter(\.isHexDigit) }

    static let bytes: [String: String] = [
        "C1": """
        a3647479706502666d6574686f64646175746866706172616d73a165746f6b656e6154
        """,
        "C2": """
        a4626964657270632d31647479706500666d6574686f646973756273637269626566706172616d73a16673706163
        657381a3626964782463663738666137352d653731342d353037332d383937322d31323661363632353562333965
        73696e6365006870726573656e6365f5
        """,
        "C3": """
        a4626964657270632d32647479706500666d6574686f646973756273637269626566706172616d73a16673706163
        657381a4626964782463663738666137352d653731342d353037332d383937322d31323661363632353562333964
        7563616ef76573696e6365006870726573656e6365f7
        """,
        "C4": """
        a3647479706502666d6574686f646b756e73756273637269626566706172616d73a1667370616365738178246366
        3738666137352d653731342d353037332d383937322d313236613636323535623339
        """,
        "C5": """
        a4626964657270632d33647479706500666d6574686f64647075736866706172616d73a265737061636578246366
        3738666137352d653731342d353037332d383937322d313236613636323535623339676368616e67657382a46269
        64782430313934303065382d376235642d373030302d383030302d3030303030303030303030316364656b582c00
        000001aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa64626c
        6f62430102036f65787065637465645f637572736f7200a3626964782430313934303065382d376235642d373030
        302d383030302d30303030303030303030303264626c6f62f66f65787065637465645f637572736f721829
        """,
        "C6": """
        a4626964657270632d34647479706500666d6574686f646470756c6c66706172616d73a16673706163657381a262
        6964782463663738666137352d653731342d353037332d383937322d3132366136363235356233396573696e6365
        00
        """,
        "C7": """
        a4626964657270632d35647479706500666d6574686f646d746f6b656e2e7265667265736866706172616d73a165
        746f6b656e625432
        """,
        "C11": """
        a3647479706500666d6574686f64726e6f6e6578697374656e742e6d6574686f6466706172616d73a0
        """,
        "S3": """
        a364747970650162696460656572726f72a264636f6465706d6574686f645f6e6f745f666f756e64676d65737361
        67657822756e6b6e6f776e206d6574686f643a206e6f6e6578697374656e742e6d6574686f64
        """,
        "S4": """
        a3647479706501626964657270632d3366726573756c74a2626f6bf566637572736f72184d
        """,
        "S5": """
        a3647479706501626964657270632d3366726573756c74a2626f6bf4656572726f7268636f6e666c696374
        """,
        "S6": """
        a4647479706503626964657270632d34646e616d656a70756c6c2e626567696e6464617461a46573706163657824
        63663738666137352d653731342d353037332d383937322d31323661363632353562333964707265760066637572
        736f72184e6e6b65795f67656e65726174696f6e01
        """,
        "S7": """
        a4647479706503626964657270632d34646e616d656b70756c6c2e7265636f72646464617461a565737061636578
        2463663738666137352d653731342d353037332d383937322d313236613636323535623339626964782430313934
        303065382d376235642d373030302d383030302d30303030303030303030303164626c6f62430102036663757273
        6f72184d6364656b582c00000001aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaaaaaaaaaa
        """,
        "S8": """
        a4647479706503626964657270632d34646e616d656b70756c6c2e7265636f72646464617461a465737061636578
        2463663738666137352d653731342d353037332d383937322d313236613636323535623339626964782430313934
        303065382d376235642d373030302d383030302d30303030303030303030303266637572736f72184d6764656c65
        746564f5
        """,
        "S9": """
        a4647479706503626964657270632d34646e616d656f70756c6c2e6d656d626572736869706464617461a3657370
        616365782463663738666137352d653731342d353037332d383937322d3132366136363235356233396663757273
        6f720167656e747269657381a369636861696e5f736571016a656e7472795f686173685820111111111111111111
        1111111111111111111111111111111111111111111111677061796c6f616443070809
        """,
        "S10": """
        a4647479706503626964657270632d34646e616d656970756c6c2e66696c656464617461a6657370616365782463
        663738666137352d653731342d353037332d383937322d3132366136363235356233396269647824643230353839
        39622d623966622d346436652d383135392d383537383636316135373463697265636f72645f6964782430313934
        303065382d376235642d373030302d383030302d3030303030303030303030316473697a651a001f42406364656b
        582c00000001aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        66637572736f72184e
        """,
        "S11": """
        a4647479706503626964657270632d34646e616d656b70756c6c2e636f6d6d69746464617461a465737061636578
        2463663738666137352d653731342d353037332d383937322d313236613636323535623339647072657600666375
        72736f72184e65636f756e7402
        """,
        "S12": """
        a3647479706501626964657270632d3466726573756c74a1675f6368756e6b7304
        """,
        "S13": """
        a3647479706502666d6574686f646473796e6366706172616d73a5657370616365782463663738666137352d6537
        31342d353037332d383937322d3132366136363235356233396470726576184c66637572736f72184d6e6b65795f
        67656e65726174696f6e00677265636f72647382a4626964782430313934303065382d376235642d373030302d38
        3030302d30303030303030303030303164626c6f624301020366637572736f72184d6364656b582c00000001aaaa
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa362696478243031
        3934303065382d376235642d373030302d383030302d30303030303030303030303266637572736f72184d676465
        6c65746564f5
        """,
        "S21": """
        a3647479706501626964657270632d3566726573756c74a1626f6bf5
        """,
        "C8": """
        a3647479706502666d6574686f646c70726573656e63652e73657466706172616d73a26464617461430909096573
        70616365782463663738666137352d653731342d353037332d383937322d313236613636323535623339
        """,
        "C9": """
        a3647479706502666d6574686f646a6576656e742e73656e6466706172616d73a264646174614304050665737061
        6365782463663738666137352d653731342d353037332d383937322d313236613636323535623339
        """,
        "C10": """
        a4626964657270632d36647479706500666d6574686f646864656b732e67657466706172616d73a26573696e63650065
        7370616365782463663738666137352d653731342d353037332d383937322d313236613636323535623339
        """,
        "S23": """
        a4647479706503626964657270632d36646e616d656b64656b732e7265636f72646464617461a3626964782430313934
        303065382d376235642d373030302d383030302d3030303030303030303030316364656b582c00000001aaaaaaaaaaaa
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa63736571184d
        """,
        "S25": """
        a3647479706501626964657270632d3766726573756c74a3656572726f7268636f6e666c6963746d63757272656e745f
        65706f6368026c7265777261705f65706f636802
        """,
        "S27": """
        a3647479706501626964657270632d3666726573756c74a26464656b7381a3626964782430313934303065382d376235
        642d373030302d383030302d3030303030303030303030316364656b582c00000001aaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa63736571184d675f6368756e6b7301
        """,
        "S28": """
        a4647479706503626964657270632d36646e616d657164656b732e66696c65732e7265636f72646464617461a3626964
        782464323035383939622d623966622d346436652d383135392d3835373836363161353734636364656b582c00000001
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa66637572736f7218
        50
        """,
        "S16": """
        a3647479706502666d6574686f64677265766f6b656466706172616d73a265737061636578246366373866613735
        2d653731342d353037332d383937322d31323661363632353562333966726561736f6e6c7563616e5f7265766f6b
        6564
        """,
        "S17": """
        a3647479706502666d6574686f646a696e7669746174696f6e66706172616d73a0
        """,
        "S18": """
        a3647479706502666d6574686f646870726573656e636566706172616d73a3657370616365782463663738666137
        352d653731342d353037332d383937322d3132366136363235356233396470656572782038323931343239396532
        38313034363332326230306435393430396461393630646461746143090909
        """,
        "S19": """
        a3647479706502666d6574686f646e70726573656e63652e6c6561766566706172616d73a2657370616365782463
        663738666137352d653731342d353037332d383937322d3132366136363235356233396470656572782038323931
        34323939653238313034363332326230306435393430396461393630
        """,
        "S20": """
        a3647479706502666d6574686f64656576656e7466706172616d73a3657370616365782463663738666137352d65
        3731342d353037332d383937322d3132366136363235356233396470656572782038323931343239396532383130
        34363332326230306435393430396461393630646461746143040506
        """,
        "S26": """
        a3647479706501626964657270632d3866726573756c74a0
        """,
    ]
}
