import Crypto
import FoundationEssentials
package import SyncProtocol

/// Personal space ids (docs/contract/auth.md §4).
package enum PersonalSpace {
    /// The id for one user of one app: UUIDv5 over `iss`, `sub` and `client_id`, separated by zero bytes.
    ///
    /// Issuers derive it; the server takes the claim as it is and never compares. The issuer goes in as it writes itself,
    /// without normalization.
    package static func derive(
        issuer: String, userID: String, clientID: String, family: ProtocolFamily
    ) -> SpaceID {
        let name = [issuer, userID, clientID].map { Array($0.utf8) }.joined(separator: [0])
        return SpaceID(.version5(namespace: Self.namespace(of: family), name: Array(name)))
    }

    static func namespace(of family: ProtocolFamily) -> UUID {
        switch family {
        case .less: .version5(namespace: .dnsNamespace, name: Array("less.so".utf8))
        case .betterbase: .version5(namespace: .dnsNamespace, name: Array("betterbase.dev".utf8))
        }
    }

    /// The id in claim `personal_space_id`, compared as UUID: 32 hexadecimal digits of any case, plain, hyphenated,
    /// hyphenated in braces or after `urn:uuid:`. `nil` for anything else: such a token owns no personal space (PSP-3).
    package static func parse(_ claim: String) -> SpaceID? {
        var text = Array(claim.utf8)[...]
        if text.first == UInt8(ascii: "{"), text.last == UInt8(ascii: "}"), text.count == 38 {
            text = text.dropFirst().dropLast()
        } else if text.count == 45, text.starts(with: Array("urn:uuid:".utf8)) {
            text = text.dropFirst(9)
        }
        if text.count == 36 {
            let hyphens = [8, 13, 18, 23].map { text.startIndex + $0 }
            guard hyphens.allSatisfy({ text[$0] == UInt8(ascii: "-") }) else { return nil }
            text = text.indices.filter { !hyphens.contains($0) }.map { text[$0] }[...]
        } else if text.count != claim.utf8.count {
            return nil
        }
        let digits = text.compactMap { UInt8(exactly: Character(Unicode.Scalar($0)).hexDigitValue ?? -1) }
        guard digits.count == 32, text.count == 32 else { return nil }
        let bytes = stride(from: 0, to: 32, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
        return SpaceID(UUID(bytes: bytes))
    }
}
