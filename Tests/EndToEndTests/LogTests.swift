import Foundation
import Logging
import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncTesting
import Testing

/// docs/contract/operations.md §11.
@Suite("Log, end to end", .timeLimit(.minutes(2)))
struct LogTests {
    @Test("A connection ends with one line at info level, with its reason and counts")
    func connectionEnd() async throws {
        let recorder = LogRecorder()
        let user = Principal.fixture()
        let space = try #require(user.personalSpace)
        try await TestBackend.sqlite.withServer {
            $0.logger = recorder.logger(.info)
        } _: { server in
            try await server.withClient(user) { client in
                let push = PushParams(space: space.wireText, changes: [.fixture(1)])
                #expect(try await client.push(push) == .accepted(cursor: 1))
                try await client.pull([.init(id: space.wireText, since: 0)]) { _ in }
            }
            func endings() -> [String] { recorder.lines.filter { $0.hasPrefix("info connection ended ") } }
            try await eventually("the connection's end is logged") { !endings().isEmpty }
            let line = try #require(endings().first)
            // The token, a push and a pull; an answer, then begin, record, commit and answer.
            for pair in ["reason=peer_closed", "requests=2", "messages_in=3", "messages_out=5", "family=less"] {
                #expect(line.contains(" " + pair), "\(pair) in \(line)")
            }
            #expect(endings().count == 1)
        }
    }

    @Test("OX4: a secret is found in every encoding, and so is a piece of it")
    func secrets() {
        let text = "Secrets of +/?~ kinds, longer than one piece"
        let secret = Secret("secret", text)
        let bytes = Array(text.utf8)
        let hex = bytes.map { String($0, radix: 16) }.joined()
        for log in [text, hex, hex.uppercased(), String(text.dropLast(20)), String(text.dropFirst(16))] {
            #expect(secret.isIn("{" + log + "}"), "\(log)")
        }
        for shift in 0..<3 {
            let encoded = Data([UInt8](repeating: 0xFB, count: shift) + bytes).base64EncodedString()
            #expect(secret.isIn(encoded), "\(encoded)")
            let forURLs = encoded.replacingOccurrences(of: "/", with: "_").replacingOccurrences(of: "+", with: "-")
            #expect(secret.isIn(forURLs), "\(forURLs)")
        }
        #expect(!secret.isIn("Secrets of other kinds, none of them in here"))
    }

    @Test(
        "OX4: nothing secret is in the log of a whole run at trace level; without LOG_FORMAT it is JSON",
        arguments: TestBackend.available)
    func wholeRun(on backend: TestBackend) async throws {
        try await TestIssuerServer.run { issuer in
            try await TestDatabaseURL.with(backend) { database in
                var run = SecretRun(issuer: issuer)
                let keygenLog = try await Self.makeFederationKeys(database)
                run.secrets += try await Self.federationSeeds(database)
                var log = keygenLog
                try await withTemporaryDirectory { directory in
                    let program = try Program(
                        ["serve", "--database-url", database.url, "--trusted-issuers", issuer.issuer],
                        environment: [
                            "LOG_LEVEL": "trace", "LISTEN_ADDR": "127.0.0.1:0", "IDENTITY_HASH_KEY": run.hashKey,
                            "FEDERATION_FST_SECRET": run.federationSecret, "FILE_STORAGE_BACKEND": "local",
                            "FILE_STORAGE_PATH": directory + "/files",
                        ])
                    let port = try await program.port()
                    try await run.run(port: port)
                    let keys = try await run.request(port, "/.well-known/jwks.json")
                    #expect(keys.text.contains("https://sync.example.com/.well-known/jwks.json#fed-2"))
                    program.send(SIGTERM)
                    #expect(try await program.waitUntilExit() == 0)
                    log += program.standardOutput + program.standardError
                }
                for method in [
                    "push", "pull", "subscribe", "invitation.create", "membership.append", "membership.revoke",
                    "epoch.begin", "deks.rewrap", "invitation.get", "invitation.delete",
                ] {
                    #expect(log.contains("\"method\":\"\(method)\""), "\(method)")
                }
                #expect(log.contains(#""message":"connection ended""#))
                for secret in run.secrets { #expect(!secret.isIn(log), "\(secret.name)") }
            }
        }
    }

    /// Two keys, the second of them promoted.
    ///
    /// - Returns: what the program said.
    private static func makeFederationKeys(_ database: TestDatabaseURL) async throws -> String {
        var said = ""
        let keygen = ["federation-keygen", "--domain", "sync.example.com"]
        let kid = "https://sync.example.com/.well-known/jwks.json#fed-2"
        for arguments in [
            ["migrate", "up"], keygen + ["--kid", "fed-1"], keygen + ["--kid", "fed-2", "--no-promote"],
            ["federation-keygen", "--promote", kid],
        ] {
            let program = try Program(
                arguments, environment: ["DATABASE_URL": database.url, "LOG_LEVEL": "trace"])
            #expect(try await program.waitUntilExit() == 0, "\(arguments): \(program.standardError)")
            said += program.standardOutput + program.standardError
        }
        return said
    }

    private static func federationSeeds(_ database: TestDatabaseURL) async throws -> [Secret] {
        let rows = try await database.execute("SELECT private_key FROM federation_signing_keys")
        #expect(rows.count == 2)
        return rows.flatMap(\.self).compactMap { value in
            guard case .bytes(let seed) = value, seed.readableBytes == 32 else { return nil }
            return Secret("federation seed", seed)
        }
    }

    @Test("OX4: neither the key of the development issuer nor a database password is in a log")
    func keysAndPasswords() async throws {
        try await withTemporaryDirectory { directory in
            let dev = try Program(
                ["dev", "--data-dir", directory + "/data"],
                environment: ["LOG_LEVEL": "trace", "LISTEN_ADDR": "127.0.0.1:0"])
            _ = try await dev.port()
            dev.send(SIGTERM)
            #expect(try await dev.waitUntilExit() == 0)
            let pem = try String(contentsOfFile: directory + "/data/dev-issuer-key.pem", encoding: .utf8)
            let body = pem.split(separator: "\n").filter { !$0.hasPrefix("-----") }.joined()
            #expect(body.count > 100)
            // The first bytes of such a file are the same for every key.
            let key = Secret("issuer key", String(body.dropFirst(48)))
            #expect(!key.isIn(dev.standardOutput + dev.standardError))
        }
        let password = UUID().uuidString
        let serve = try Program(
            ["serve", "--trusted-issuers", "http://127.0.0.1:1"],
            environment: ["LOG_LEVEL": "trace", "DATABASE_URL": "postgres://user:\(password)@127.0.0.1:1/db"])
        #expect(try await serve.waitUntilExit() == 1)
        #expect(!Secret("password", password).isIn(serve.standardOutput + serve.standardError))
    }
}
