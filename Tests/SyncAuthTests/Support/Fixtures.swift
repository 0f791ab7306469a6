import Crypto
import Foundation
import SyncAuth
import Testing

enum Fixture {
    static func load<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
        let url = try #require(Bundle.module.url(forResource: name, withExtension: "json", subdirectory: "Fixtures"))
        return try JSONDecoder().decode(type, from: Data(contentsOf: url))
    }

    static func tokens() throws -> TokenVectors { try Self.load("tokens") }

    static func key(_ name: String) throws -> KeyVector {
        try #require(try Self.load("keys", as: KeyVectors.self).keys.first { $0.name == name })
    }
}

struct TokenVectors: Decodable {
    let issuer: String
    let keySetDocument: String
    let claims: String
    let j1: String
    let j2: String
    let j3: String
    let j4: String

    /// What the vectors call T0.
    static let now: UInt64 = 1_767_225_600
}

struct KeyVectors: Decodable {
    let keys: [KeyVector]
}

struct KeyVector: Decodable {
    let name: String
    let privateScalar: String
    let compressedPublicKey: String
    let y: String
    let did: String

    func privateKey() throws -> P256.Signing.PrivateKey {
        try P256.Signing.PrivateKey(rawRepresentation: try #require([UInt8](hex: self.privateScalar)))
    }
}

struct DelegationVectors: Decodable {
    let space: String
    let tokens: [Token]

    struct Token: Decodable {
        let name: String
        let cid: String
        let command: String
        let expiresAt: UInt64
        let audience: String
        let text: String
    }
}

struct DerivedVectors: Decodable {
    let session: Session
    let actors: [Actor]
    let pseudonyms: Pseudonyms

    struct Session: Decodable {
        let key: String
        let expiresAt: UInt64
        let permission: UInt8
        let nonce: String
        let space: String
        let token: String
    }

    struct Actor: Decodable {
        let key: String
        let issuer: String
        let userID: String
        let hash: String
    }

    struct Pseudonyms: Decodable {
        let secret: String
        let connection: String
        let peers: [Peer]

        struct Peer: Decodable {
            let space: String
            let peer: String
        }
    }
}

struct PersonalSpaceVectors: Decodable {
    let rows: [Row]

    struct Row: Decodable {
        let issuer: String
        let userID: String
        let clientID: String
        let less: String
        let betterbase: String
    }
}

extension [UInt8] {
    init?(hex: String) {
        let digits = hex.compactMap(\.hexDigitValue)
        guard digits.count == hex.count, digits.count.isMultiple(of: 2) else { return nil }
        self = stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
