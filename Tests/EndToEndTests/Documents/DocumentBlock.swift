import Foundation

/// A fenced block of a document of this repository.
struct DocumentBlock: Sendable, Equatable {
    /// Relative to the repository, such as `docs/operations.md`.
    let document: String
    /// Of its first fence, counted from 1.
    let line: Int
    /// The info string: `sh` for commands, `output` for what the commands before it print, else the name of a language.
    let language: String
    /// Ends with a line feed.
    let text: String

    var place: String { "\(self.document):\(self.line)" }
}

extension DocumentBlock {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().appendingPathComponent("../../..").standardizedFileURL.path

    /// All that tell somebody what to type. The contract is the specification, and is checked by its scenarios.
    static func documents() throws -> [String] {
        let folders = ["", "docs", "docs/decisions", "deploy"]
        return try folders.flatMap { folder in
            let names = try FileManager.default.contentsOfDirectory(atPath: "\(Self.root)/\(folder)")
            return names.filter { $0.hasSuffix(".md") }.map { folder.isEmpty ? $0 : "\(folder)/\($0)" }
        }.sorted()
    }

    static func blocks(of document: String) throws -> [DocumentBlock] {
        Self.blocks(
            in: try String(contentsOfFile: "\(Self.root)/\(document)", encoding: .utf8), of: document)
    }

    /// A fence is a line of three backticks, perhaps with spaces before it and an info string behind.
    static func blocks(in text: String, of document: String) -> [DocumentBlock] {
        var blocks: [DocumentBlock] = []
        var open: (line: Int, language: String, text: String)?
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let trimmed = line.trimmingCharacters(in: .whitespaces)
            guard trimmed.hasPrefix("```") else {
                open?.text += line + "\n"
                continue
            }
            if let block = open {
                blocks.append(
                    DocumentBlock(document: document, line: block.line, language: block.language, text: block.text))
                open = nil
            } else {
                open = (index + 1, String(trimmed.dropFirst(3)), "")
            }
        }
        return blocks
    }
}
