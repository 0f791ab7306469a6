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
            "IDENTITY_HASH_KEY": "hunter2",
            "FEDERATION_FST_SECRET_FILE": file.path, "SPACE_SESSION_SECRET": "hunter2",
        ]
        for asJSON in [false, true] {
            let text = try self.output(.show(asJSON: asJSON), environment)
            #expect(!text.contains("hunter2"))
            #expect(text.contains("postgres://db.example:5432/sync"))
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
