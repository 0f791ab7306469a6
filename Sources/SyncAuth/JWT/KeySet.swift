package import Crypto
import FoundationEssentials

/// The usable keys of a JSON Web Key Set (RFC 7517; docs/contract/auth.md §2.4).
package struct KeySet: Sendable {
    /// By `kid`; of several usable keys with one `kid` the last.
    package private(set) var keys: [ExactText: P256.Signing.PublicKey] = [:]

    /// Why keys of the document were left out, in its order. One key that we cannot use never spoils the others.
    package private(set) var skipped: [SkippedKey] = []

    package enum SkippedKey: String, Error, Hashable, Sendable {
        /// Not an object, or a member is missing, is not text, or occurs twice.
        case incomplete = "incomplete key"
        case unsupportedKeyType = "unsupported key type"
        case unsupportedCurve = "unsupported curve"
        /// `x` or `y` is not base64url of at most 32 bytes.
        case invalidCoordinate = "invalid coordinate"
        case notOnCurve = "not on curve"
    }

    package init() {}

    /// - Throws: when `document` is not a JSON object with one array `keys`.
    package init(document: [UInt8]) throws(JSONError) {
        let members = try JSONObject(document, keeping: ["keys"])
        guard members.duplicates.isEmpty, let keys = members["keys"]?.elements else { throw .malformed }
        for key in keys {
            do {
                let (keyID, publicKey) = try Self.read(key)
                self.keys[ExactText(keyID)] = publicKey
            } catch {
                self.skipped.append(error)
            }
        }
    }

    private static func read(_ key: JSONValue) throws(SkippedKey) -> (String, P256.Signing.PublicKey) {
        guard case .object(let source) = key,
            let members = try? JSONObject(source, keeping: ["kty", "crv", "x", "y", "kid"]),
            members.duplicates.isEmpty
        else { throw .incomplete }
        func text(_ name: String) throws(SkippedKey) -> String {
            guard let text = members[name]?.text else { throw .incomplete }
            return text
        }
        guard try text("kty") == "EC" else { throw .unsupportedKeyType }
        guard try text("crv") == "P-256" else { throw .unsupportedCurve }
        let x = try Self.coordinate(try text("x"))
        let y = try Self.coordinate(try text("y"))
        let keyID = try text("kid")
        guard let publicKey = try? P256.Signing.PublicKey(rawRepresentation: x + y) else { throw .notOnCurve }
        return (keyID, publicKey)
    }

    /// Big-endian, 32 bytes: shorter ones are padded on the left.
    private static func coordinate(_ text: String) throws(SkippedKey) -> [UInt8] {
        guard let bytes = Base64URL.decode(text), bytes.count <= 32 else { throw .invalidCoordinate }
        return Array(repeating: 0, count: 32 - bytes.count) + bytes
    }
}
