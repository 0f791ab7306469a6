import SyncTesting
import Testing

/// Every command that a document shows is run, in its order, with the program of this build.
@Suite("Documents, end to end", .timeLimit(.minutes(4)))
struct DocumentTests {
    /// Languages of blocks that nobody types.
    private static let otherLanguages: Set<String> = ["text", "json", "nginx", "http", "swift"]

    private static func allBlocks() throws -> [DocumentBlock] {
        try DocumentBlock.documents().flatMap(DocumentBlock.blocks)
    }

    private static let documentsWithCommands: [String] = {
        let blocks = (try? Self.allBlocks()) ?? []
        return Set(blocks.filter { $0.language == "sh" }.map(\.document)).sorted()
    }()

    @Test("Blocks of a document are found, with their line and language")
    func parsing() {
        let text = "a\n```sh\none\n\ntwo\n```\n- item\n\n  ```\n  three\n  ```\n"
        #expect(
            DocumentBlock.blocks(in: text, of: "a.md") == [
                DocumentBlock(document: "a.md", line: 2, language: "sh", text: "one\n\ntwo\n"),
                DocumentBlock(document: "a.md", line: 9, language: "", text: "  three\n"),
            ])
    }

    @Test("Each block says whether it holds commands, their output or something else")
    func languages() throws {
        let blocks = try Self.allBlocks()
        for document in ["README.md", "CONTRIBUTING.md", "docs/operations.md"] {
            #expect(Self.documentsWithCommands.contains(document))
        }
        for (previous, block) in zip([nil] + blocks, blocks) {
            switch block.language {
            case "sh": break
            case "output":
                #expect(previous?.language == "sh" && previous?.document == block.document, "\(block.place)")
            default: #expect(Self.otherLanguages.contains(block.language), "\(block.place): '\(block.language)'")
            }
        }
    }

    @Test("Each substitution is needed, and has a reason")
    func substitutions() throws {
        let blocks = try Self.allBlocks().filter { $0.language == "sh" }
        for substitution in DocumentSubstitution.all {
            #expect(blocks.contains(where: substitution.applies), "\(substitution.text)")
            #expect(!substitution.reason.isEmpty)
        }
    }

    @Test(
        "The commands of a document work, and print what it shows",
        .enabled(if: TestBackend.available.contains(.postgres), "the PostgreSQL programs are not installed"),
        arguments: Self.documentsWithCommands)
    func commands(of document: String) async throws {
        let blocks = try DocumentBlock.blocks(of: document)
        try await PostgresTestStorage.withSchema { url in
            let result = try await DocumentSession(document: document, blocks: blocks, postgresURL: url).run()
            #expect(
                result.status == 0,
                "\(result.last):\n\(result.output[result.last] ?? "")\nThe server:\n\(result.serverLog.suffix(2_000))")
            #expect(result.last == blocks.last { $0.language == "sh" }?.place)
            for (commands, output) in zip(blocks, blocks.dropFirst()) where output.language == "output" {
                let printed = result.output[commands.place] ?? ""
                let missing = Self.firstMissing(of: output.text, in: printed)
                #expect(missing == nil, "\(output.place): no '\(missing ?? "")' in\n\(printed)")
            }
        }
    }

    @Test("Shown output is found line by line, and … stands for anything")
    func output() {
        let printed = "one\ntwo 22 ms\nthree\n"
        #expect(Self.firstMissing(of: "one\ntwo … ms\n", in: printed) == nil)
        #expect(Self.firstMissing(of: "two … ms\none\n", in: printed) == "one")
        #expect(Self.firstMissing(of: "two …s\nthree", in: printed) == nil)
        #expect(Self.firstMissing(of: "two … min\n", in: printed) == "two … min")
        #expect(Self.firstMissing(of: "ne\n", in: printed) == "ne")
    }

    /// The first line of `expected` that is not in `printed` behind the lines before it.
    private static func firstMissing(of expected: String, in printed: String) -> String? {
        var rest = printed.split(separator: "\n")[...]
        for line in expected.split(separator: "\n") {
            guard let index = rest.firstIndex(where: { Self.matches($0, line) }) else { return String(line) }
            rest = rest[(index + 1)...]
        }
        return nil
    }

    private static func matches(_ line: Substring, _ pattern: Substring) -> Bool {
        let parts = pattern.split(separator: "…", omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count > 1 else { return line == pattern }
        guard line.hasPrefix(first) else { return false }
        var rest = line.dropFirst(first.count)
        for part in parts.dropFirst() where !part.isEmpty {
            guard let range = rest.firstRange(of: part) else { return false }
            rest = rest[range.upperBound...]
        }
        return parts.last?.isEmpty == true || rest.isEmpty
    }
}
