import Foundation
import NIOCore
import SyncAuth
import SyncProtocol
import Testing

@testable import SyncServer

@Suite("Development issuer", .timeLimit(.minutes(1)))
struct DevIssuerTests {
    private static let now: UInt64 = 1_767_225_600

    private func withDirectory(_ body: (String) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.path + "/dev-issuer-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await body(directory)
    }

    private func issuer(in directory: String) throws -> DevIssuer {
        try DevIssuer(directory: directory, now: { Self.now })
    }

    private func answer(_ issuer: DevIssuer, _ json: String) throws -> (Int, [String: Any]) {
        let (status, body) = issuer.handleTokenRequest(body: ByteBuffer(string: json))
        let members = try JSONSerialization.jsonObject(with: Data(body.readableBytesView)) as? [String: Any]
        return (status, try #require(members))
    }

    private func validator(for issuer: DevIssuer) -> JWTValidator {
        JWTValidator(
            issuers: [issuer.trustedIssuer], audiences: [], fetcher: issuer.keySetFetcher(otherwise: NoFetcher()),
            now: { Self.now })
    }

    @Test("A user is all it takes; the token validates without a connection")
    func defaults() async throws {
        try await self.withDirectory { directory in
            let issuer = try self.issuer(in: directory + "/data")
            let (status, answer) = try self.answer(issuer, #"{"user":"alice"}"#)
            #expect(status == 200)
            #expect(Set(answer.keys) == ["token", "personal_space_id", "expires_at"])
            #expect(answer["expires_at"] as? UInt64 == Self.now + 86_400)
            let principal = try await self.validator(for: issuer).validate(try #require(answer["token"] as? String))
            let space = PersonalSpace.derive(
                issuer: "http://localhost:5379/dev", userID: "alice", clientID: "dev", family: .less)
            #expect(
                principal
                    == Principal(
                        issuer: "http://localhost:5379/dev", userID: "alice", clientID: "dev", personalSpace: space,
                        scopes: ["sync", "files"], expiresAt: Self.now + 86_400))
            #expect(answer["personal_space_id"] as? String == space.rawValue.uuidString.lowercased())
        }
    }

    @Test("Every wish arrives in the token")
    func allMembers() async throws {
        try await self.withDirectory { directory in
            let issuer = try self.issuer(in: directory)
            let (status, answer) = try self.answer(
                issuer,
                #"{"user":"ä","client":"app","scopes":["sync"],"did":"did:key:z","mailbox_id":"ab","ttl_seconds":1}"#)
            #expect(status == 200)
            let principal = try await self.validator(for: issuer).validate(try #require(answer["token"] as? String))
            #expect(principal.userID == "ä")
            #expect(principal.clientID == "app")
            #expect(principal.scopes == ["sync"])
            #expect(principal.did == "did:key:z")
            #expect(principal.mailboxID == "ab")
            #expect(principal.expiresAt == Self.now + 1)
        }
    }

    @Test(
        "A request that is not exactly right is refused with a reason",
        arguments: [
            ("", "body must be a JSON object"), ("[]", "body must be a JSON object"), ("{}", "user is required"),
            (#"{"user":""}"#, "user is required"), (#"{"user":1}"#, "user must be text"),
            (#"{"user":null}"#, "user must be text"), (#"{"user":"a","name":1}"#, #"unknown member "name""#),
            (#"{"user":"a","user":"b"}"#, "a member occurs twice"),
            (#"{"user":"a","client":""}"#, "client must not be empty"),
            (#"{"user":"a","client":null}"#, "client must be text"),
            (#"{"user":"a","scopes":"sync"}"#, "scopes must be a list of words"),
            (#"{"user":"a","scopes":["sync files"]}"#, "scopes must be a list of words"),
            (#"{"user":"a","scopes":[1]}"#, "scopes must be a list of words"),
            (#"{"user":"a","did":1}"#, "did must be text"),
            (#"{"user":"a","mailbox_id":[]}"#, "mailbox_id must be text"),
            (#"{"user":"a","ttl_seconds":0}"#, "ttl_seconds must be an integer from 1 to 315360000"),
            (#"{"user":"a","ttl_seconds":315360001}"#, "ttl_seconds must be an integer from 1 to 315360000"),
            (#"{"user":"a","ttl_seconds":"60"}"#, "ttl_seconds must be an integer from 1 to 315360000"),
        ])
    func refusals(json: String, message: String) async throws {
        try await self.withDirectory { directory in
            let (status, answer) = try self.answer(self.issuer(in: directory), json)
            #expect(status == 400)
            #expect(answer as? [String: String] == ["error": message])
        }
    }

    @Test("A request of more than 64 KiB is refused")
    func tooLarge() async throws {
        try await self.refusals(
            json: #"{"user":"\#(String(repeating: "a", count: 65_536))"}"#, message: "request too large")
    }

    @Test("The key stays: tokens of before a restart are valid after it")
    func restart() async throws {
        try await self.withDirectory { directory in
            let first = try self.issuer(in: directory)
            let token = try first.issueToken(DevTokenRequest(user: "alice")).token
            let second = try self.issuer(in: directory)
            #expect(first.jwksDocument == second.jwksDocument)
            #expect(try await self.validator(for: second).validate(token).userID == "alice")
        }
    }

    @Test("The key file is readable by its owner only, and nothing else is left beside it")
    func keyFile() async throws {
        try await self.withDirectory { directory in
            _ = try self.issuer(in: directory)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["dev-issuer-key.pem"])
            let attributes = try FileManager.default.attributesOfItem(atPath: directory + "/dev-issuer-key.pem")
            #expect(attributes[.posixPermissions] as? Int == 0o600)
        }
    }

    @Test("Issuers that start at once in one directory end with one key")
    func concurrentStart() async throws {
        try await self.withDirectory { directory in
            let documents = try await withThrowingTaskGroup(of: ByteBuffer.self) { group in
                for _ in 0..<8 { group.addTask { try self.issuer(in: directory).jwksDocument } }
                return try await group.reduce(into: Set<ByteBuffer>()) { $0.insert($1) }
            }
            #expect(documents.count == 1)
        }
    }

    @Test("A file that holds no key is an error that names it, and is kept")
    func brokenKeyFile() async throws {
        try await self.withDirectory { directory in
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            let path = directory + "/dev-issuer-key.pem"
            try Data("nonsense".utf8).write(to: URL(fileURLWithPath: path))
            let error = #expect(throws: DevIssuerKeyFile.FileError.self) { try self.issuer(in: directory) }
            #expect(error == .notAKey(path: path))
            #expect(error?.description == "\(path) holds no P-256 private key; remove it to have another one made")
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data("nonsense".utf8))
        }
    }

    @Test("A directory that cannot be made is an error")
    func impossibleDirectory() {
        #expect(throws: (any Error).self) { try self.issuer(in: "/dev/null/data") }
    }

    @Test("The key sets of other issuers are left to the other fetcher")
    func otherIssuers() async throws {
        try await self.withDirectory { directory in
            let fetcher = try self.issuer(in: directory).keySetFetcher(otherwise: NoFetcher())
            await #expect(throws: NoFetcher.Asked(url: "https://a/keys")) { try await fetcher.fetch("https://a/keys") }
        }
    }
}

private struct NoFetcher: KeySetFetcher {
    struct Asked: Error, Hashable { let url: String }

    func fetch(_ url: String) async throws -> [UInt8] { throw Asked(url: url) }
}
