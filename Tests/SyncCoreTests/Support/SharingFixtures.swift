import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting

@testable import SyncCore

/// Params that are encoded already.
struct RawParams: WireEncodable {
    let item: ByteBuffer

    func encode(to writer: inout CBORWriter) { writer.writeEncoded(self.item) }
}

extension TestClient {
    /// Calls a method with params that no type of ours would write.
    func call(_ method: Method, hex: String) async throws {
        _ = try await self.answer(to: self.request(method, RawParams(item: ByteBuffer(hex: hex))))
    }

    func append(
        _ entry: MembershipAppendParams
    ) async throws -> MembershipAppendResult { try await self.call(.membershipAppend, entry) }

    func members(
        of space: SpaceID, since sequence: Int32 = 0, ucan: String = ""
    ) async throws -> MembershipListResult {
        try await self.call(
            .membershipList, MembershipListParams(space: space.wireText, ucan: ucan, sinceSequence: sequence))
    }

    func revoke(_ cid: String, in space: SpaceID, ucan: String = "") async throws {
        let params = MembershipRevokeParams(space: space.wireText, ucan: ucan, ucanCID: cid)
        _ = try await self.call(.membershipRevoke, params, as: EmptyMap.self)
    }

    func invite(_ mailbox: String, _ payload: String = "ciphertext-1") async throws -> InvitationResult {
        try await self.call(.invitationCreate, InvitationCreateParams(mailboxID: mailbox, payload: payload))
    }

    func invitations(limit: Int32 = 0, after: String = "") async throws -> [InvitationResult] {
        let params = InvitationListParams(limit: limit, after: after)
        return try await self.call(.invitationList, params, as: InvitationListResult.self).invitations
    }
}

extension MembershipAppendParams {
    /// The entry with this payload for a log of `version` entries, of which `previous` is the last.
    static func fixture(
        _ payload: String, to space: SpaceID, version: Int32 = 0, after previous: ByteBuffer? = nil, ucan: String = ""
    ) -> MembershipAppendParams {
        .fixture(ByteBuffer(string: payload), to: space, version: version, after: previous, ucan: ucan)
    }

    static func fixture(
        _ payload: ByteBuffer, to space: SpaceID, version: Int32 = 0, after previous: ByteBuffer? = nil,
        ucan: String = ""
    ) -> MembershipAppendParams {
        let hash = payload.withUnsafeReadableBytes { ContentHash.sha256($0) }
        return MembershipAppendParams(
            space: space.wireText, ucan: ucan, expectedVersion: version, previousHash: previous,
            entryHash: ByteBuffer(bytes: hash), payload: payload)
    }
}

extension RateLimits {
    /// Ten of each an hour, keyed as the vectors of docs/contract/auth.md §10.2.
    static func fixture(invitations: Int = 10, appends: Int = 10) -> RateLimits? {
        RateLimitActors(key: Array("01234567890123456789012345678901".utf8)).map {
            RateLimits(actors: $0, invitationsPerHour: invitations, membershipAppendsPerHour: appends)
        }
    }
}

/// A mailbox id of one repeated digit.
func mailbox(_ digit: Character) -> String { String(repeating: digit, count: 64) }

/// A shared space whose root key is that of `root`, and what its members hold.
struct SharedSpace {
    let id: SpaceID

    /// Creates it under the root key of `TestDelegation`.
    static func create(_ harness: EngineHarness) async throws -> SharedSpace {
        let space = try await harness.storage.createSpace(
            .random(), clientID: "creator", rootPublicKey: TestDelegation.rootKey())
        return SharedSpace(id: space.id)
    }

    /// A chain from the root key over these people; each may do what the last one is to do.
    func chain(_ people: String..., permission: Permission = .write) -> String {
        TestDelegation.chain(["root"] + people, permission, over: self.id)
    }

    /// A user with the key of that name.
    static func principal(_ name: String) -> Principal {
        var principal = Principal.fixture(name)
        principal.did = TestDelegation.did(name)
        return principal
    }
}

extension TestClient {
    /// Subscribes with a delegation; throws when the server does not take it.
    func subscribe(_ space: SpaceID, ucan: String, presence: Bool = false) async throws -> SubscribeResult.Subscribed {
        let entry = SubscribeParams.Entry(id: space.wireText, ucan: ucan, presence: presence)
        let result: SubscribeResult = try await self.call(.subscribe, SubscribeParams(spaces: [entry]))
        guard let subscribed = result.spaces.first else { throw UnexpectedFrame(description: "\(result.errors)") }
        return subscribed
    }

    func push(_ changes: [PushParams.Change], to space: SpaceID, ucan: String) async throws -> PushResult {
        try await self.call(.push, PushParams(space: space.wireText, ucan: ucan, changes: changes))
    }
}

extension TestStorage {
    /// Lets an invitation be as old as its lifetime.
    func expireInvitation(_ id: InvitationID) async throws {
        try await self.execute("UPDATE invitations SET expires_at = created_at WHERE id = $1", [.id(id)])
    }
}
