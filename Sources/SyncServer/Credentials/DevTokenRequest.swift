import NIOCore
import SyncAuth

/// Whom a development token is for.
package struct DevTokenRequest: Hashable, Sendable {
    /// Not empty.
    package var user: String
    /// Not empty.
    package var client = "dev"
    package var scopes = ["sync", "files"]
    package var did = ""
    package var mailboxID = ""
    package var lifetimeSeconds: UInt64 = 86_400

    package static let lifetimeSecondsMax: UInt64 = 315_360_000

    package init(user: String) { self.user = user }
}

extension DevTokenRequest {
    struct Refusal: Error, Hashable, Sendable {
        let message: String
    }

    /// `{"user": text, "client"?: text, "scopes"?: [text], "did"?: text, "mailbox_id"?: text, "ttl_seconds"?: int}`;
    /// another member, or one of them twice, is an error: a misspelt wish should not be granted as something else.
    init(json: ByteBuffer) throws(Refusal) {
        guard json.readableBytes <= DevIssuer.requestBytesMax else { throw Refusal(message: "request too large") }
        let names: Set<String> = ["user", "client", "scopes", "did", "mailbox_id", "ttl_seconds"]
        guard let members = try? JSONObject(Array(json.readableBytesView), keeping: names) else {
            throw Refusal(message: "body must be a JSON object")
        }
        if let name = members.firstUnknownName { throw Refusal(message: "unknown member \(String(reflecting: name))") }
        guard members.duplicates.isEmpty else { throw Refusal(message: "a member occurs twice") }
        func text(_ name: String, else absent: String) throws(Refusal) -> String {
            guard let value = members[name] else { return absent }
            guard let text = value.text else { throw Refusal(message: "\(name) must be text") }
            return text
        }
        self.init(user: try text("user", else: ""))
        guard !self.user.isEmpty else { throw Refusal(message: "user is required") }
        self.client = try text("client", else: self.client)
        guard !self.client.isEmpty else { throw Refusal(message: "client must not be empty") }
        self.did = try text("did", else: "")
        self.mailboxID = try text("mailbox_id", else: "")
        if let value = members["scopes"] {
            guard let scopes = value.texts, scopes.allSatisfy({ !$0.isEmpty && !$0.contains(where: \.isWhitespace) })
            else {
                throw Refusal(message: "scopes must be a list of words")
            }
            self.scopes = scopes
        }
        if let value = members["ttl_seconds"] {
            guard let seconds = value.unsignedInteger, (1...Self.lifetimeSecondsMax).contains(seconds) else {
                throw Refusal(message: "ttl_seconds must be an integer from 1 to \(Self.lifetimeSecondsMax)")
            }
            self.lifetimeSeconds = seconds
        }
    }
}
