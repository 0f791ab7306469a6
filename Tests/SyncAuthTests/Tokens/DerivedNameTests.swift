import Foundation
import SyncAuth
import SyncProtocol
import Testing

@Suite("Derived names")
struct DerivedNameTests {
    private func vectors() throws -> DerivedVectors { try Fixture.load("derived") }

    @Test("RL1: actors of rate limits as in the vectors")
    func actors() throws {
        let vectors = try self.vectors().actors
        #expect(vectors.count == 8)
        for vector in vectors {
            let actors = try #require(RateLimitActors(key: Array(vector.key.utf8)))
            let actor = actors.actor(issuer: vector.issuer, userID: vector.userID)
            #expect(actor == vector.hash)
            let principal = Principal(
                issuer: vector.issuer, userID: vector.userID, clientID: "any", scopes: [])
            #expect(actors.actor(principal) == vector.hash)
        }
        #expect(Set(vectors.map(\.hash)).count == 8)
    }

    @Test("RL1: the key has 32 bytes", arguments: [0, 31, 33])
    func keyLength(count: Int) {
        #expect(RateLimitActors(key: [UInt8](repeating: 1, count: count)) == nil)
    }

    @Test("PRS-8: pseudonyms as in the vectors, stable, and different in each space and for each process")
    func pseudonyms() throws {
        let vectors = try self.vectors().pseudonyms
        let pseudonyms = PresencePseudonyms(secret: try #require([UInt8](hex: vectors.secret)))
        let connection = try #require(ConnectionID(wireText: vectors.connection))
        for vector in vectors.peers {
            let space = try #require(SpaceID(wireText: vector.space))
            #expect(pseudonyms.peer(connection, in: space) == vector.peer)
            #expect(PresencePseudonyms().peer(connection, in: space) != vector.peer)
            #expect(pseudonyms.peer(ConnectionID(UUID()), in: space) != vector.peer)
        }
        #expect(Set(vectors.peers.map(\.peer)).count == 2)
    }

    @Test("Section 6: read < write < admin, and a command names exactly one level")
    func permissions() {
        #expect(Permission.read < .write)
        #expect(Permission.write < .admin)
        #expect(!(Permission.admin < .admin))
        #expect(Permission.allCases.map(\.command) == ["/space/read", "/space/write", "/space/admin"])
        for permission in Permission.allCases { #expect(Permission(command: permission.command) == permission) }
        #expect(Permission(command: "/space/owner") == nil)
    }
}
