import Crypto
import FoundationEssentials
import NIOCore
import SyncProtocol

/// What a person needs to enter a shared space, and how it travels: sealed for the invited person alone, so that the server
/// carries a text that it cannot read.
///
/// HPKE (RFC 9180) with P-256, HKDF-SHA-256 and AES-256-GCM; base64 of the encapsulated key (65 bytes) and the ciphertext.
struct DemoInvitation: Hashable, Codable {
    var space: String
    /// Text of the delegation chain.
    var delegation: String
    /// Of the records, 32 bytes.
    var key: Data

    private static let suite = HPKE.Ciphersuite.P256_SHA256_AES_GCM_256
    private static let info = Data("less-sync demo invitation".utf8)
    private static let encapsulatedKeyBytes = 65

    func sealed(for recipient: P256.KeyAgreement.PublicKey) throws -> String {
        var sender = try HPKE.Sender(recipientKey: recipient, ciphersuite: Self.suite, info: Self.info)
        let ciphertext = try sender.seal(JSONEncoder().encode(self))
        return (sender.encapsulatedKey + ciphertext).base64EncodedString()
    }

    /// - Throws: For everything that was not sealed for this key.
    init(opening text: String, with key: P256.KeyAgreement.PrivateKey) throws {
        guard let bytes = Data(base64Encoded: text), bytes.count > Self.encapsulatedKeyBytes else {
            throw CryptoKitError.incorrectParameterSize
        }
        var recipient = try HPKE.Recipient(
            privateKey: key, ciphersuite: Self.suite, info: Self.info,
            encapsulatedKey: bytes.prefix(Self.encapsulatedKeyBytes))
        let plaintext = try recipient.open(bytes.dropFirst(Self.encapsulatedKeyBytes))
        self = try JSONDecoder().decode(Self.self, from: plaintext)
    }

    init(space: SpaceID, delegation: String, key: SymmetricKey) {
        self.space = space.wireText
        self.delegation = delegation
        self.key = key.withUnsafeBytes { Data($0) }
    }
}
