import Crypto
import FoundationEssentials
package import NIOCore
package import SyncAuth
import SyncProtocol

/// The issuer of `less-sync dev`: whoever asks is given a token for whoever they say (docs/contract/operations.md §1.1).
/// Nothing but `dev` may make one.
package struct DevIssuer: Sendable {
    /// `iss` of every token, whatever the port: personal space ids are derived from it, so data would seem lost if it
    /// changed.
    package static let issuer = "http://localhost:5379/dev"

    package static let requestBytesMax = 65_536

    private let signer: TokenSigner
    private let now: @Sendable () -> UInt64

    /// Takes the key from `directory`, or makes one that stays there, so that tokens survive a restart.
    ///
    /// Reads and writes files, so it belongs to the start of the process.
    ///
    /// - Parameter now: Unix seconds.
    package init(directory: String, now: @escaping @Sendable () -> UInt64 = { UnixTime.now() }) throws {
        self.signer = TokenSigner(privateKey: try DevIssuerKeyFile(directory: directory).readOrCreate())
        self.now = now
    }

    /// The entry of the token validator.
    package var trustedIssuer: TrustedIssuer { TrustedIssuer(Self.issuer) }

    /// Answer of GET `/dev/.well-known/jwks.json`.
    package var jwksDocument: ByteBuffer { ByteBuffer(bytes: self.signer.keySetDocument) }

    /// Fetches the issuer's own key set without a connection, and leaves all others to `other`.
    package func keySetFetcher(otherwise other: any KeySetFetcher) -> some KeySetFetcher {
        DevKeySetFetcher(url: self.trustedIssuer.keySetURL, document: self.signer.keySetDocument, other: other)
    }

    /// Answer of POST `/dev/token`: 200, or 400 with `error`. The content type is JSON either way.
    package func handleTokenRequest(body: ByteBuffer) -> (status: Int, body: ByteBuffer) {
        do {
            let token = try self.issueToken(DevTokenRequest(json: body))
            return (200, try Self.encode(token))
        } catch let error as DevTokenRequest.Refusal {
            return (400, (try? Self.encode(["error": error.message])) ?? ByteBuffer())
        } catch {
            return (500, ByteBuffer(string: #"{"error":"internal error"}"#))
        }
    }

    package func issueToken(_ request: DevTokenRequest) throws -> DevToken {
        let space = PersonalSpace.derive(
            issuer: Self.issuer, userID: request.user, clientID: request.client, family: .less)
        var claims = TokenClaims(issuer: Self.issuer, subject: request.user, clientID: request.client)
        claims.scope = request.scopes.joined(separator: " ")
        claims.personalSpaceID = space.rawValue.uuidString.lowercased()
        claims.did = request.did
        claims.mailboxID = request.mailboxID
        let expiresAt = self.now() + request.lifetimeSeconds
        claims.expiresAt = expiresAt
        return DevToken(
            token: try self.signer.sign(claims), personalSpaceID: claims.personalSpaceID, expiresAt: expiresAt)
    }

    private static func encode(_ value: some Encodable) throws -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return ByteBuffer(bytes: try encoder.encode(value))
    }
}

package struct DevToken: Hashable, Sendable, Encodable {
    package let token: String
    package let personalSpaceID: String
    /// Unix seconds.
    package let expiresAt: UInt64

    private enum CodingKeys: String, CodingKey {
        case token
        case personalSpaceID = "personal_space_id"
        case expiresAt = "expires_at"
    }
}

private struct DevKeySetFetcher: KeySetFetcher {
    let url: String
    let document: [UInt8]
    let other: any KeySetFetcher

    func fetch(_ url: String) async throws -> [UInt8] {
        url == self.url ? self.document : try await self.other.fetch(url)
    }
}
