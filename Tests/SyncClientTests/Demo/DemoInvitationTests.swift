import Crypto
import Foundation
import SyncProtocol
import Testing

@testable import SyncClient

@Suite("Demo invitation")
struct DemoInvitationTests {
    private let key = P256.KeyAgreement.PrivateKey()
    private let invitation = DemoInvitation(
        space: .random(), delegation: "a.b.c", key: SymmetricKey(data: Array(repeating: 7, count: 32)))

    @Test("opens for whom it was sealed, differs each time, and names nothing in the clear")
    func roundTrip() throws {
        let sealed = try self.invitation.sealed(for: self.key.publicKey)
        #expect(try DemoInvitation(opening: sealed, with: self.key) == self.invitation)
        #expect(try self.invitation.sealed(for: self.key.publicKey) != sealed)
        let bytes = try #require(Data(base64Encoded: sealed))
        #expect(bytes.range(of: Data("a.b.c".utf8)) == nil)
        #expect(sealed.utf8.count <= Limits.invitationPayloadBytesMax)
    }

    @Test("opens for nobody else, and not after any change")
    func refusals() throws {
        let sealed = try self.invitation.sealed(for: self.key.publicKey)
        #expect(throws: (any Error).self) {
            try DemoInvitation(opening: sealed, with: P256.KeyAgreement.PrivateKey())
        }
        let bytes = try #require(Data(base64Encoded: sealed))
        for index in [0, 64, 65, bytes.count - 1] {
            var changed = bytes
            changed[index] ^= 1
            #expect(throws: (any Error).self) {
                try DemoInvitation(opening: changed.base64EncodedString(), with: self.key)
            }
        }
        for text in ["", "!", bytes.prefix(65).base64EncodedString(), bytes.prefix(70).base64EncodedString()] {
            #expect(throws: (any Error).self) { try DemoInvitation(opening: text, with: self.key) }
        }
    }
}
