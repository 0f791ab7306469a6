import FoundationEssentials
import Glibc

@testable import SyncClient

/// A folder on disk for one test.
struct TemporaryFolder {
    let path: String

    static func with<Result>(_ body: (TemporaryFolder) async throws -> Result) async throws -> Result {
        let url = FileManager.default.temporaryDirectory.appending(path: "less-sync-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: url) }
        return try await body(TemporaryFolder(path: url.path(percentEncoded: false)))
    }

    func write(_ name: String, _ bytes: [UInt8] = []) throws {
        let file = URL(filePath: "\(self.path)/\(name)")
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
    }

    func makeFolder(_ name: String) throws {
        try FileManager.default.createDirectory(
            at: URL(filePath: "\(self.path)/\(name)"), withIntermediateDirectories: true)
    }

    /// Bytes as they are, which need not be UTF-8.
    func create(nameBytes: [UInt8]) throws {
        let path = Array(self.path.utf8) + [UInt8(ascii: "/")] + nameBytes + [0]
        let descriptor = path.withUnsafeBytes {
            open($0.bindMemory(to: CChar.self).baseAddress!, O_CREAT | O_WRONLY, 0o600)
        }
        guard descriptor >= 0 else { throw SystemError() }
        close(descriptor)
    }
}

extension [UInt8] {
    static func random(_ count: Int, using generator: inout some RandomNumberGenerator) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }
}
