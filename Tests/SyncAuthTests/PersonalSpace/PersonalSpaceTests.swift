import Foundation
import SyncAuth
import SyncProtocol
import Testing

@Suite("Personal spaces", .timeLimit(.minutes(1)))
struct PersonalSpaceTests {
    private let issuer = TestIssuer()

    @Test("PSP-1: ids derived for both families match the vectors")
    func vectors() throws {
        let rows = try Fixture.load("personal-spaces", as: PersonalSpaceVectors.self).rows
        #expect(rows.count == 5)
        for row in rows {
            for (family, expected) in [(ProtocolFamily.less, row.less), (.betterbase, row.betterbase)] {
                let id = PersonalSpace.derive(
                    issuer: row.issuer, userID: row.userID, clientID: row.clientID, family: family)
                #expect(id.rawValue == UUID(uuidString: expected), "\(row) \(family)")
            }
        }
    }

    @Test("The id of a peer server's identity")
    func peerIdentity() {
        let id = UUID.version5(namespace: .dnsNamespace, name: Array("federation:peer.example.com".utf8))
        #expect(id == UUID(uuidString: "d01b5632-a05c-5859-85af-01b290925014"))
    }

    @Test(
        "PSP-2: the claim is compared as UUID, however it is written",
        arguments: [
            "cf78fa75-e714-5073-8972-126a66255b39", "CF78FA75-E714-5073-8972-126A66255B39",
            "{cf78fa75-e714-5073-8972-126a66255b39}", "urn:uuid:cf78fa75-e714-5073-8972-126a66255b39",
            "cf78fa75e71450738972126a66255b39",
        ])
    func spellings(claim: String) async throws {
        let principal = try await self.issuer.validator().validate(self.issuer.token(["personal_space_id": claim]))
        #expect(principal.personalSpace?.rawValue == UUID(uuidString: "cf78fa75-e714-5073-8972-126a66255b39"))
    }

    @Test(
        "PSP-3: a claim that is no UUID owns no personal space, and nothing else fails",
        arguments: [
            "", "not-a-uuid", "cf78fa75-e714-5073-8972-126a66255b3", "cf78fa75-e714-5073-8972-126a66255b390",
            "cf78fa75-e714-5073-8972-126a66255b3g", "cf78fa75e-714-5073-8972-126a66255b39",
            "(cf78fa75-e714-5073-8972-126a66255b39)", "{cf78fa75e71450738972126a66255b39}",
            "{{f78fa75-e714-5073-8972-126a66255b39}", "urn:uuie:cf78fa75-e714-5073-8972-126a66255b39",
            "{cf78fa75-e714-5073-8972-126a66255b3}", "cf78fa75-e714-5073-8972-126a66255b３",
            "--------------------------------",
        ])
    func noPersonalSpace(claim: String) async throws {
        let principal = try await self.issuer.validator().validate(self.issuer.token(["personal_space_id": claim]))
        #expect(principal.personalSpace == nil)
        #expect(principal.userID == "user-1")
    }

    @Test("PSP-4: another user's claim yields another space")
    func otherUser() {
        let ids = ["user-1", "user-2"].map {
            PersonalSpace.derive(issuer: "https://a", userID: $0, clientID: "client", family: .less)
        }
        #expect(ids[0] != ids[1])
    }
}
