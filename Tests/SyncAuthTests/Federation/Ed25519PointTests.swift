import Crypto
import SyncAuth
import SyncTesting
import Testing

@Suite("Points of edwards25519")
struct Ed25519PointTests {
    private func encoding(_ y: UInt8, isNegative: Bool = false) -> [UInt8] {
        [y] + [UInt8](repeating: 0, count: 30) + [isNegative ? 0x80 : 0]
    }

    @Test("Small values of y are points exactly where x² has a root", arguments: 0..<20 as Range<UInt8>)
    func small(y: UInt8) {
        let points: Set<UInt8> = [0, 1, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 19]
        #expect(Ed25519Point.isValid(self.encoding(y)) == points.contains(y))
        // Both roots, but for x = 0, which has no sign.
        #expect(Ed25519Point.isValid(self.encoding(y, isNegative: true)) == (points.contains(y) && y != 1))
    }

    @Test("Every public key is a point; about half of all other values are none")
    func keys() {
        for _ in 0..<50 {
            #expect(Ed25519Point.isValid(Curve25519.Signing.PrivateKey().publicKey.rawRepresentation))
        }
        var random = SeededRandom(seed: 25_519)
        let points = (0..<400).count { _ in
            Ed25519Point.isValid((0..<32).map { _ in UInt8.random(in: 0...255, using: &random) })
        }
        #expect((140...260).contains(points))
    }

    @Test("Other lengths, and y of p or more, are refused")
    func malformed() {
        #expect(!Ed25519Point.isValid([]))
        #expect(!Ed25519Point.isValid([UInt8](repeating: 0, count: 31)))
        #expect(!Ed25519Point.isValid([UInt8](repeating: 0, count: 33)))
        let p: [UInt8] = [0xed] + [UInt8](repeating: 0xff, count: 30) + [0x7f]
        #expect(!Ed25519Point.isValid(p))
        var below = p
        below[0] = 0xec
        // y = -1, the point of order 2.
        #expect(Ed25519Point.isValid(below))
        below[31] |= 0x80
        #expect(!Ed25519Point.isValid(below))
        #expect(!Ed25519Point.isValid([UInt8](repeating: 0xff, count: 32)))
    }
}
