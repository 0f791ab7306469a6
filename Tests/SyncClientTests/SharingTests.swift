import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncClient

/// Each call is the request that the contract wants, and its answer is read.
@Suite("Client calls of shared spaces", .timeLimit(.minutes(5)))
struct SharingTests {
    private let space = SpaceID.fixture.wireText

    /// - Parameter call: What makes the client send exactly one request.
    private func expect<Params: WireDecodable & Equatable, Result: Equatable & Sendable>(
        _ method: Method, _ params: Params, answeredBy answer: some WireEncodable, gives result: Result,
        _ server: FakeServer, _ call: @escaping @Sendable () async throws -> Result
    ) async throws {
        let called = Task { try await call() }
        let request = try await server.nextRequest()
        #expect(request.method == method.rawValue)
        #expect(try request.params.decode(as: Params.self) == params)
        server.answer(request.id, answer)
        #expect(try await called.value == result)
    }

    @Test("rpc §7, §8: spaces and members")
    func members() async throws {
        try await FakeServer.withClient { server, client in
            let key = ByteBuffer(repeating: 2, count: 33)
            let created = SpaceCreateResult(id: .fixture, keyGeneration: 1)
            try await self.expect(
                .spaceCreate, SpaceCreateParams(id: self.space, rootPublicKey: key), answeredBy: created,
                gives: created, server
            ) { try await client.createSpace(.fixture, rootPublicKey: key) }

            let entry = MembershipAppendParams(
                space: self.space, ucan: "u", expectedVersion: 1, previousHash: key, entryHash: key, payload: key)
            let appended = MembershipAppendResult(chainSequence: 2, metadataVersion: 2)
            try await self.expect(.membershipAppend, entry, answeredBy: appended, gives: appended, server) {
                try await client.appendMember(entry)
            }

            let log = MembershipListResult(entries: [], metadataVersion: 3)
            try await self.expect(
                .membershipList, MembershipListParams(space: self.space, ucan: "u", sinceSequence: 4), answeredBy: log,
                gives: log, server
            ) { try await client.members(of: .fixture, since: 4, ucan: "u") }

            try await self.expect(
                .membershipRevoke, MembershipRevokeParams(space: self.space, ucan: "u", ucanCID: "c"),
                answeredBy: EmptyMap(), gives: true, server
            ) {
                try await client.revoke("c", in: .fixture, ucan: "u")
                return true
            }
        }
    }

    @Test("rpc §9: invitations")
    func invitations() async throws {
        try await FakeServer.withClient { server, client in
            let item = InvitationResult(id: "i", payload: "p", createdAt: "c", expiresAt: "e")
            try await self.expect(
                .invitationCreate, InvitationCreateParams(mailboxID: "m", payload: "p"), answeredBy: item, gives: item,
                server
            ) { try await client.invite("m", payload: "p") }
            try await self.expect(
                .invitationList, InvitationListParams(limit: 3, after: "a"),
                answeredBy: InvitationListResult(invitations: [item]), gives: [item], server
            ) { try await client.invitations(limit: 3, after: "a") }
            try await self.expect(
                .invitationGet, InvitationIDParams(id: "i"), answeredBy: item, gives: item, server
            ) { try await client.invitation("i") }
            try await self.expect(
                .invitationDelete, InvitationIDParams(id: "i"), answeredBy: EmptyMap(), gives: true, server
            ) {
                try await client.deleteInvitation("i")
                return true
            }
        }
    }

    @Test("rpc §12, §13: presence and events are notifications without an answer")
    func presence() async throws {
        try await FakeServer.withClient { server, client in
            func expectNotification<Params: WireDecodable & Equatable>(_ method: Method, _ params: Params) async throws
            {
                let message = try #require(await server.nextMessage())
                guard case .notification(let notification) = try FrameDecoder.decodeClientFrame(message) else {
                    throw FakeServer.UnexpectedFrame()
                }
                #expect(notification.method == method.rawValue)
                #expect(try notification.params.decode(as: Params.self) == params)
            }
            let data = ByteBuffer(bytes: [9])
            try await client.setPresence(data, in: .fixture)
            try await expectNotification(.presenceSet, PresenceParams(space: self.space, data: data))
            try await client.clearPresence(in: .fixture)
            try await expectNotification(.presenceClear, PresenceClearParams(space: self.space))
            try await client.sendEvent(data, to: .fixture)
            try await expectNotification(.eventSend, PresenceParams(space: self.space, data: data))
        }
    }
}
