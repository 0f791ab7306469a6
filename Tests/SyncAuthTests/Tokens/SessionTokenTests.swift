import Crypto
import Foundation
import SyncAuth
import SyncProtocol
import Testing

@Suite("Session tokens")
struct SessionTokenTests {
    private let now = Double(TokenVectors.now)

    private func vector() throws -> DerivedVectors.Session {
        try Fixture.load("derived", as: DerivedVectors.self).session
    }

    private func codec() throws -> SessionTokenCodec { try SessionTokenCodec(key: Array(self.vector().key.utf8)) }

    private func space() throws -> SpaceID { try #require(SpaceID(wireText: try self.vector().space)) }

    @Test("SES-1: the vector is issued and validated as listed")
    func vectorToken() throws {
        let vector = try self.vector()
        let bytes = try #require([UInt8](hex: vector.token))
        let token = try self.codec().validate(bytes, for: self.space(), at: self.now)
        #expect(token == SessionToken(space: try self.space(), permission: .write, expiresAt: 4_102_444_800))
        let nonce = try #require([UInt8](hex: vector.nonce))
        #expect(try self.codec().issue(token, nonce: nonce) == bytes)
    }

    @Test("SES-2: another space, key, byte, length or version")
    func refused() throws {
        let bytes = try #require([UInt8](hex: try self.vector().token))
        let space = try self.space()
        let codec = try self.codec()
        let other = try #require(SpaceID(wireText: "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"))
        #expect(throws: SessionToken.Failure.invalidSession) { try codec.validate(bytes, for: other, at: self.now) }
        let otherKey = try SessionTokenCodec(key: [UInt8](repeating: 7, count: 32))
        #expect(throws: SessionToken.Failure.invalidSession) { try otherKey.validate(bytes, for: space, at: self.now) }
        for index in bytes.indices {
            var flipped = bytes
            flipped[index] ^= 1
            #expect(throws: SessionToken.Failure.invalidSession, "byte \(index)") {
                try codec.validate(flipped, for: space, at: self.now)
            }
        }
        for wrong in [Array(bytes.prefix(20)), [], Array(bytes.prefix(57)), bytes + [0], [99] + bytes.dropFirst()] {
            #expect(throws: SessionToken.Failure.invalidSession) { try codec.validate(wrong, for: space, at: self.now) }
        }
    }

    @Test("SES-3: over once its second has begun to pass")
    func expired() throws {
        let codec = try self.codec()
        let space = try self.space()
        let token = codec.issue(SessionToken(space: space, permission: .read, expiresAt: TokenVectors.now))
        _ = try codec.validate(token, for: space, at: self.now)
        #expect(throws: SessionToken.Failure.expired) { try codec.validate(token, for: space, at: self.now + 0.005) }
    }

    @Test("SES-4: each permission makes the round trip, and two tokens differ", arguments: Permission.allCases)
    func roundTrip(permission: Permission) throws {
        let codec = try self.codec()
        let token = SessionToken(space: try self.space(), permission: permission, expiresAt: TokenVectors.now + 60)
        let bytes = codec.issue(token)
        #expect(bytes.count == 58)
        #expect(bytes != codec.issue(token))
        #expect(try codec.validate(bytes, for: token.space, at: self.now) == token)
    }

    @Test("An authentic token with an unknown permission or an expiry beyond 2^63 − 1")
    func authenticButWrong() throws {
        let space = try self.space()
        func signed(expiresAt: UInt64, permission: UInt8) throws -> [UInt8] {
            let expiry = withUnsafeBytes(of: expiresAt.bigEndian) { Array($0) }
            let head = [1] + expiry + [permission] + [UInt8](repeating: 0, count: 16)
            let key = SymmetricKey(data: Array(try self.vector().key.utf8))
            let code = HMAC<SHA256>.authenticationCode(for: head + Array(space.wireText.utf8), using: key)
            return head + Array(code)
        }
        for value in [0, 4, 255] as [UInt8] {
            #expect(throws: SessionToken.Failure.invalidPermission(value)) {
                try self.codec().validate(
                    signed(expiresAt: TokenVectors.now, permission: value), for: space, at: self.now)
            }
        }
        #expect(throws: SessionToken.Failure.invalidSession) {
            try self.codec().validate(signed(expiresAt: 1 << 63, permission: 1), for: space, at: self.now)
        }
        _ = try self.codec().validate(signed(expiresAt: 1 << 63 - 1, permission: 1), for: space, at: self.now)
    }

    @Test("SES-5: the key has 32 bytes; each failure has the text of the contract", arguments: [0, 5, 31, 33])
    func keyLength(count: Int) {
        let failure = SessionToken.Failure.invalidKeyLength(count)
        #expect(throws: failure) { try SessionTokenCodec(key: [UInt8](repeating: 0, count: count)) }
        #expect(failure.description == "session HMAC key must be 32 bytes, got \(count)")
        #expect(SessionToken.Failure.invalidSession.description == "invalid session token")
        #expect(SessionToken.Failure.expired.description == "session token expired")
        #expect(
            SessionToken.Failure.invalidPermission(9).description
                == "invalid session permission: unknown permission value 9")
    }
}
