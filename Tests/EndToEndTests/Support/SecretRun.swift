import Foundation
import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncTesting
import Testing

/// Everything that clients do with a server, with contents that can be told from anything else.
struct SecretRun {
    var secrets: [Secret] = []
    let hashKey: String
    let federationSecret = "federation secret " + UUID().uuidString
    private let issuer: TestIssuerServer

    init(issuer: TestIssuerServer) {
        self.issuer = issuer
        let key = Self.random(32)
        self.hashKey = key.readableBytesView.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        self.secrets = [
            Secret("identity hash key", key), Secret("federation secret", self.federationSecret),
        ]
    }

    private static func random(_ count: Int) -> ByteBuffer {
        ByteBuffer(bytes: (0..<count).map { _ in UInt8.random(in: 0...255) })
    }

    private static func dek(epoch: UInt32) -> ByteBuffer {
        var dek = ByteBuffer(integer: epoch)
        dek.writeImmutableBuffer(Self.random(40))
        return dek
    }

    private mutating func secret(_ name: String, _ bytes: ByteBuffer) -> ByteBuffer {
        self.secrets.append(Secret(name, bytes))
        return bytes
    }

    private mutating func secret(_ name: String, _ text: String) -> String {
        self.secrets.append(Secret(name, text))
        return text
    }

    private mutating func person(_ name: String) -> Principal {
        var person = self.issuer.user(name)
        person.did = TestDelegation.did(name)
        person.scopes = ["sync", "files"]
        person.mailboxID = self.secret(
            "mailbox of \(name)", (0..<64).map { _ in String(Int.random(in: 0..<16), radix: 16) }.joined())
        return person
    }

    private mutating func token(_ person: Principal) throws -> String {
        let token = try self.issuer.token(person)
        // The head of a token is no secret: it is the same for all of them.
        let parts = token.split(separator: ".")
        self.secrets += parts.dropFirst().map { Secret("token of \(person.userID)", String($0)) }
        return token
    }

    private mutating func ucan(_ name: String, _ text: String) -> String {
        self.secrets += text.split(separator: ".").dropFirst().map { Secret(name, String($0)) }
        return text
    }

    // MARK: - The run

    /// A request of somebody without a token.
    func request(_ port: Int, _ path: String) async throws -> HTTPAnswer {
        try await FileClient(port: port, token: "", space: .random()).request("GET", path, [])
    }

    mutating func run(port: Int) async throws {
        let url = "ws://127.0.0.1:\(port)/api/v1/ws"
        let alice = self.person("alice")
        let bob = self.person("bob")
        let aliceToken = try self.token(alice)
        let first = try await SyncClient.connect(to: url, token: aliceToken)
        let second = try await SyncClient.connect(to: url, token: try self.token(bob))
        try await self.rotateKeys(first, alice)
        try await self.share(first, second, bob)
        try await self.transferFiles(port, first, alice)
        try await first.refreshToken(try self.token(alice))
        await #expect(throws: SyncClientError.self) { try await first.refreshToken("\(aliceToken)x") }
        await first.close()
        await second.close()
        try await self.misbehave(url, aliceToken)
    }

    /// Push, pull, epoch and DEKs of a personal space.
    private mutating func rotateKeys(_ client: SyncClient, _ user: Principal) async throws {
        let space = try #require(user.personalSpace)
        let record = RecordID.random()
        let blob = self.secret("blob", Self.random(3_000))
        let change = PushParams.Change(
            id: record.wireText, blob: blob, expectedCursor: 0, dek: self.secret("dek", Self.dek(epoch: 1)))
        #expect(try await client.push(PushParams(space: space.wireText, changes: [change])) == .accepted(cursor: 1))
        #expect(try await client.push(PushParams(space: space.wireText, changes: [change])) != .accepted(cursor: 2))
        try await client.pull([.init(id: space.wireText, since: 0)]) { _ in }
        _ = try await client.beginEpoch(2, in: space)
        #expect(try await client.recordDEKs(of: space).count == 1)
        let rewrapped = self.secret("rewrapped dek", Self.dek(epoch: 2))
        try await client.rewrapRecordDEKs([(record, rewrapped)], in: space)
        let late = self.secret("dek of an old epoch", Self.dek(epoch: 1))
        await #expect(throws: SyncClientError.self) { try await client.rewrapRecordDEKs([(record, late)], in: space) }
        try await client.completeEpoch(2, in: space)
    }

    /// Spaces, members, invitations, presence, events and a revocation.
    private mutating func share(_ alice: SyncClient, _ bob: SyncClient, _ bobUser: Principal) async throws {
        let space = SpaceID.random()
        _ = try await alice.createSpace(space, rootPublicKey: TestDelegation.rootKey("alice"))
        let own = self.ucan("ucan", TestDelegation.chain(["alice", "alice"], .admin, over: space))
        let chain = self.ucan(
            "delegated ucan", TestDelegation.delegate(from: "alice", to: "bob", .write, over: space, proof: own))
        let member = self.secret("membership payload", Self.random(64))
        let hash = member.withUnsafeReadableBytes { ByteBuffer(bytes: ContentHash.sha256($0)) }
        let entry = MembershipAppendParams(
            space: space.wireText, ucan: own, expectedVersion: 0, previousHash: nil, entryHash: hash, payload: member)
        _ = try await alice.appendMember(entry)
        await #expect(throws: SyncClientError.self) { try await alice.appendMember(entry) }
        _ = try await alice.members(of: space, ucan: own)

        let payload = self.secret("invitation payload", "an invitation " + UUID().uuidString)
        let sent = try await alice.invite(bobUser.mailboxID, payload: payload)
        #expect(try await bob.invitations().map(\.payload) == [payload])
        #expect(try await bob.invitation(sent.id).payload == payload)
        try await bob.deleteInvitation(sent.id)
        await #expect(throws: SyncClientError.self) { try await bob.invitation(sent.id) }

        _ = try await alice.subscribe([.init(id: space.wireText, ucan: own, presence: true)])
        _ = try await bob.subscribe([.init(id: space.wireText, ucan: chain, presence: true)])
        try await alice.setPresence(self.secret("presence", Self.random(48)), in: space)
        try await bob.sendEvent(self.secret("event", Self.random(48)), to: space)
        let shared = PushParams(space: space.wireText, ucan: chain, changes: [.fixture(1)])
        guard case .accepted = try await bob.push(shared) else { throw ConditionNotMet(what: "bob may write") }
        try await alice.revoke(TestDelegation.cid(of: chain), in: space, ucan: own)
        await #expect(throws: SyncClientError.self) { try await bob.members(of: space, ucan: chain) }
        try await alice.clearPresence(in: space)
    }

    /// Files of the personal space and of a shared one, whole and in pieces, and requests that are refused.
    private mutating func transferFiles(_ port: Int, _ client: SyncClient, _ user: Principal) async throws {
        let space = try #require(user.personalSpace)
        let record = RecordID.random()
        let push = PushParams(
            space: space.wireText,
            changes: [
                PushParams.Change(id: record.wireText, blob: Self.random(9), expectedCursor: 0, dek: Self.dek(epoch: 2))
            ])
        guard case .accepted = try await client.push(push) else { throw ConditionNotMet(what: "a record of files") }
        let files = FileClient(port: port, token: try self.token(user), space: space)
        let file = FileID.random()
        let bytes = self.secret("file", Self.random(5_000))
        let dek = self.secret("file dek", Self.dek(epoch: 2))
        #expect(try await files.put(file, bytes, record: record, dek: dek).status == 201)
        #expect(try await files.get(file).body == bytes)
        #expect(try await files.get(file, ("Range", "bytes=10-99")).status == 206)
        #expect(try await files.head(file).status == 200)
        let wrong = self.secret("dek of a wrong length", Self.random(43))
        #expect(try await files.put(.random(), bytes, record: record, dek: wrong).status == 400)
        let untrusted = FileClient(port: port, token: files.token + "x", space: space)
        #expect(try await untrusted.get(file).status == 401)

        let pieces = self.secret("resumable file", Self.random(6_000))
        let piecesDEK = self.secret("dek of a resumable file", Self.dek(epoch: 2))
        let created = try await files.createUpload(.random(), length: 6_000, record: record, dek: piecesDEK)
        let upload = try #require(created.headers["location"])
        #expect(try await files.append(upload, pieces, 0..<3_000).status == 204)
        #expect(try await files.append(upload, pieces, 0..<3_000).status == 409)
        #expect(try await files.append(upload, pieces, 3_000..<6_000, completes: true).status == 201)

        let shared = SpaceID.random()
        _ = try await client.createSpace(shared, rootPublicKey: TestDelegation.rootKey("alice"))
        var inShared = files
        inShared.space = shared
        inShared.ucan = self.ucan("ucan of files", TestDelegation.chain(["alice", "alice"], .admin, over: shared))
        #expect(try await inShared.get(.random()).status == 404)
        inShared.ucan = self.ucan("other ucan", TestDelegation.chain(["alice", "bob"], .admin, over: shared))
        #expect(try await inShared.get(.random()).status == 403)
    }

    /// What is refused is not logged either: wrong tokens, and frames and parameters that cannot be decoded.
    private mutating func misbehave(_ url: String, _ token: String) async throws {
        let offered = [ProtocolFamily.less.subprotocol]
        let liar = try await WireClient.connect(to: url, offering: offered)
        liar.send(FrameEncoder.auth(token: token + "x"))
        #expect(await liar.closeFrame()?.code == 4000)

        let client = try await WireClient.connect(to: url, offering: offered)
        client.send(FrameEncoder.auth(token: token))
        let key = self.secret("undecodable params", Self.random(300))
        client.request("wrong", .push, SpaceCreateParams(id: "no space", rootPublicKey: key))
        try await client.settle()
        var garbage = ByteBuffer(bytes: [0xA1, 0x59, 0x01, 0x2C])
        garbage.writeImmutableBuffer(self.secret("undecodable frame", Self.random(300)))
        client.send(garbage)
        #expect(await client.closeFrame()?.code == 4005)
    }
}
