import Foundation
import Testing

@testable import SyncServer

@Suite("less-sync config")
struct ConfigurationCommandTests {
    private func output(
        _ action: ConfigurationCommand.Action, _ environment: [String: String] = [:], flags: [String] = []
    ) throws -> String {
        try ConfigurationCommand(environment: environment).output(of: action, flags: flags)
    }

    @Test(
        "The documents in the repository are what the program prints",
        arguments: [("docs/configuration.md", "reference"), (".env.example", "example")])
    func documents(path: String, action: String) throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../..")
        let document = try String(contentsOf: root.appending(path: path), encoding: .utf8)
        let printed = try self.output(action == "reference" ? .reference : .example)
        #expect(document == printed + "\n", "write it anew: less-sync config \(action) > \(path)")
    }

    @Test("The documents name every variable with its default")
    func complete() throws {
        let (reference, example) = (try self.output(.reference), try self.output(.example))
        for variable in ConfigurationVariable.all where !variable.isHidden {
            #expect(reference.contains("| `\(variable.name)`"))
            #expect(
                example.contains("\n#\(variable.name)=\(variable.defaultText ?? "")\n")
                    || example.hasSuffix("\n#\(variable.name)=\(variable.defaultText ?? "")"))
        }
    }

    @Test("check reports warnings and says that all is well")
    func check() throws {
        let text = try self.output(.check, ["TRUSTED_ISSUERS": "https://a"], flags: ["--perf-mode"])
        #expect(
            text == """
                Warning: IDENTITY_HASH_KEY is not set: application rate limits are off
                Warning: PERF_MODE is on: limits are lifted, not for production
                configuration is valid
                """)
    }

    @Test("check refuses a PostgreSQL URL that cannot be read, with the other errors and without the password")
    func malformedURL() {
        for url in ["postgres://u:hun/ter2@h/db", "postgres://h:port/db", "postgresql://h/db?nonsense=1"] {
            #expect {
                try self.output(.check, ["DATABASE_URL": url])
            } throws: { error in
                (error as? ConfigurationErrors)?.errors.map(\.message) == [
                    "DATABASE_URL is not a PostgreSQL URL: is a character of the password not percent-encoded?",
                    "TRUSTED_ISSUERS must be set",
                ]
            }
        }
        let command = ConfigurationCommand(
            environment: [
                "DATABASE_URL": "postgres://u:p%2Fq@h,i:5433/db?sslmode=require", "TRUSTED_ISSUERS": "https://a",
            ])
        #expect(command.run(.check, flags: []) == 0)
    }

    @Test("The help of serve says how a switch that is on is switched off")
    func switches() {
        let help = ServerConfiguration.flagsHelp
        #expect(help.contains("(default: true; --migrate-on-start=false switches it off) [MIGRATE_ON_START]"))
        #expect(!help.contains("--perf-mode=false"))
    }

    @Test(
        "healthcheck asks the address that the server listens on",
        arguments: [
            (nil, "http://127.0.0.1:5379/health"), ("0.0.0.0:8080", "http://127.0.0.1:8080/health"),
            (":80", "http://127.0.0.1:80/health"), ("[::]:81", "http://[::1]:81/health"),
            ("10.0.0.1:82", "http://10.0.0.1:82/health"), ("nonsense", "http://127.0.0.1:5379/health"),
        ] as [(String?, String)])
    func healthCheckAddress(listenAddress: String?, url: String) {
        let environment = listenAddress.map { ["LISTEN_ADDR": $0] } ?? [:]
        #expect(HealthCheckCommand.localURL(environment) == url)
    }

    @Test("check reports everything that is wrong")
    func checkFails() {
        #expect {
            try self.output(.check, ["LOG_FORMAT": "xml"])
        } throws: { error in
            (error as? ConfigurationErrors)?.errors.map(\.message) == [
                #"invalid LOG_FORMAT "xml": expected "text" or "json""#, "TRUSTED_ISSUERS must be set",
            ]
        }
        let command = ConfigurationCommand(environment: [:])
        #expect(command.run(.check, flags: []) == 1)
        #expect(command.run(.check, flags: ["--nope"]) == 64)
        #expect(ConfigurationCommand(environment: ["TRUSTED_ISSUERS": "https://a"]).run(.check, flags: []) == 0)
    }

    @Test("show tells every value and where it comes from")
    func show() throws {
        let lines = try self.output(
            .show(asJSON: false), ["AUDIENCES": "", "FILE_STORAGE": "none", "LOG_LEVEL": "a\nb"],
            flags: ["--listen-addr", ":1"]
        ).split(separator: "\n")
        #expect(lines.count == ConfigurationVariable.all.count { !$0.isHidden })
        func line(_ name: String) -> String? {
            lines.first { $0.hasPrefix(name + " ") }.map { line in
                line.dropFirst(name.count).drop { $0 == " " }.description
            }
        }
        #expect(line("LISTEN_ADDR") == ":1  [flag --listen-addr]")
        #expect(line("AUDIENCES") == "(empty)  [environment AUDIENCES]")
        #expect(line("FILE_STORAGE_BACKEND") == "none  [environment FILE_STORAGE]")
        #expect(line("TRUSTED_ISSUERS") == "(unset)  [default]")
        #expect(line("MAX_CONNECTIONS") == "20000  [default]")
        #expect(line("LOG_LEVEL") == #""a\nb"  [environment LOG_LEVEL]"#)
    }

    @Test("show never shows a secret, in either form")
    func redacted() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "less-sync-\(UUID()).secret")
        try "hunter2\n".write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        let environment = [
            "DATABASE_URL": "postgres://u:hunter2@db.example:5432/sync?password=hunter2",
            "IDENTITY_HASH_KEY": "hunter2", "FILE_S3_ENDPOINT": "https://u:hun/hunter2@s3.example:9000",
            "FEDERATION_FST_SECRET_FILE": file.path, "SPACE_SESSION_SECRET": "hunter2",
        ]
        for asJSON in [false, true] {
            let text = try self.output(.show(asJSON: asJSON), environment)
            #expect(!text.contains("hunter2"))
            #expect(text.contains("postgres://db.example:5432/sync"))
            #expect(text.contains("https://s3.example:9000"))
            #expect(text.contains("<redacted>"))
            #expect(text.contains("file \(file.path)"))
        }
        #expect(try self.output(.show(asJSON: false), ["DATABASE_URL": "hunter2"]).contains("<redacted>  [environment"))
        #expect(try self.output(.show(asJSON: false), ["DATABASE_URL": "sqlite:a.db"]).contains("sqlite:a.db  [env"))
        #expect(try self.output(.show(asJSON: false), ["DATABASE_URL": "sqlite::memory:"]).contains("sqlite::memory:"))
    }

    @Test("show as JSON is a list of name, value and source")
    func json() throws {
        struct Setting: Decodable, Equatable {
            var name: String
            var value: String?
            var source: String
        }
        let text = try self.output(.show(asJSON: true), ["AUDIENCES": "x"])
        let settings = try JSONDecoder().decode([Setting].self, from: Data(text.utf8))
        #expect(settings.contains(Setting(name: "AUDIENCES", value: "x", source: "environment AUDIENCES")))
        #expect(settings.contains(Setting(name: "TRUSTED_ISSUERS", value: nil, source: "default")))
    }

    @Test("An unreadable secret file is an error")
    func unreadable() {
        #expect(throws: ConfigurationErrors.self) {
            try self.output(.show(asJSON: false), ["DATABASE_URL_FILE": "/no/such/file"])
        }
    }
}
