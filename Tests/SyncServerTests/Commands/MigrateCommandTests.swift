import Foundation
import Testing

@testable import SyncServer

@Suite("less-sync migrate", .timeLimit(.minutes(5)))
struct MigrateCommandTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "less-sync-migrate-\(UUID())")

    private func lines(_ action: MigrateCommand.Action) async throws -> [String] {
        try await MigrateCommand(environment: ["DATABASE_URL": "sqlite:\(self.directory.path)/a.db"])
            .lines(of: action, databaseURL: nil)
    }

    @Test("OM4: down without --yes refuses and changes nothing")
    func unconfirmed() async throws {
        defer { try? FileManager.default.removeItem(at: self.directory) }
        _ = try await self.lines(.up)
        await #expect {
            try await self.lines(.down(count: 99, isConfirmed: false))
        } throws: { error in
            "\(error)" == "migrate down loses data; confirm it with --yes"
        }
        await #expect {
            try await self.lines(.down(count: 0, isConfirmed: true))
        } throws: { error in
            "\(error)" == "the number of versions must be 1 or more"
        }
        #expect(try await self.lines(.version) == ["\(DatabaseSchema.latestVersion)"])
    }

    @Test("OM2: looking at a database that does not exist makes nothing")
    func looking() async throws {
        #expect(try await self.lines(.version) == ["0"])
        let status = try await self.lines(.status)
        #expect(status.count == DatabaseSchema.latestVersion)
        #expect(status.allSatisfy { $0.hasSuffix("  pending") })
        #expect(!FileManager.default.fileExists(atPath: self.directory.path))
    }

    @Test("OM3: SQLite goes down to nothing at once, and up again")
    func sqlite() async throws {
        defer { try? FileManager.default.removeItem(at: self.directory) }
        _ = try await self.lines(.up)
        let all = DatabaseSchema.latestVersion
        await #expect {
            try await self.lines(.down(count: 1, isConfirmed: true))
        } throws: { error in
            "\(error)".contains("SQLite can only undo all \(all) versions at once")
        }
        #expect(try await self.lines(.version) == ["\(all)"])
        let undone = try await self.lines(.down(count: all, isConfirmed: true))
        #expect(undone.count == all && undone.last == "001 initial")
        #expect(try await self.lines(.version) == ["0"])
        #expect(try await self.lines(.up).last == "migrations complete")
        #expect(try await self.lines(.version) == ["\(all)"])
    }

    @Test("create writes the skeleton of the next version, once")
    func create() async throws {
        defer { try? FileManager.default.removeItem(at: self.directory) }
        try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
        let number = DatabaseSchema.latestVersion + 1
        let create = MigrateCommand.Action.create(name: "add_some_column2", directory: self.directory.path)
        let path = try #require(try await self.lines(create).first)
        #expect(path == "\(self.directory.path)/Migration+0\(number).swift")
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(text.contains("static let addSomeColumn2 = Migration("))
        #expect(text.contains(#"version: \#(number), name: "add_some_column2","#))
        await #expect {
            try await self.lines(create)
        } throws: { error in
            "\(error)" == "\(path) exists"
        }
    }

    @Test("create refuses other names, and other directories", arguments: ["", "A", "a-b", "../x", "ä"])
    func createRefuses(name: String) async {
        await #expect {
            try await self.lines(.create(name: name, directory: "/"))
        } throws: { error in
            "\(error)" == "NAME may have the characters a-z, 0-9 and _ only"
        }
        await #expect {
            try await self.lines(.create(name: "x", directory: "/no/such/directory"))
        } throws: { error in
            "\(error)" == "there is no directory /no/such/directory; run this in a clone of the repository"
        }
    }
}
