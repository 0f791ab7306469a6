import Crypto
import FoundationEssentials
import Glibc

/// The private key of the development issuer: `dev-issuer-key.pem` in the data directory, readable by its owner only.
struct DevIssuerKeyFile {
    enum FileError: Error, Hashable, CustomStringConvertible {
        case system(operation: String, path: String, code: Int32)
        case notAKey(path: String)

        var description: String {
            switch self {
            case .system(let operation, let path, let code):
                "cannot \(operation) \(path): \(String(cString: strerror(code)))"
            case .notAKey(let path): "\(path) holds no P-256 private key; remove it to have another one made"
            }
        }
    }

    private let directory: String

    var path: String { self.directory + "/dev-issuer-key.pem" }

    init(directory: String) { self.directory = directory }

    /// Two processes that start at once end with the same key.
    func readOrCreate() throws -> P256.Signing.PrivateKey {
        if access(self.path, F_OK) != 0 { try self.create() }
        guard let content = FileManager.default.contents(atPath: self.path) else {
            throw FileError.system(operation: "read", path: self.path, code: errno)
        }
        guard let key = try? P256.Signing.PrivateKey(pemRepresentation: String(decoding: content, as: UTF8.self)) else {
            throw FileError.notAKey(path: self.path)
        }
        return key
    }

    /// Writes a file of another name and links it, so that the real name never shows half a key and never loses one.
    private func create() throws {
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: true)
        let temporaryPath = self.path + "." + UUID().uuidString
        let pem = P256.Signing.PrivateKey().pemRepresentation + "\n"
        try Self.write(Array(pem.utf8), to: temporaryPath)
        defer { unlink(temporaryPath) }
        guard link(temporaryPath, self.path) == 0 || errno == EEXIST else {
            throw FileError.system(operation: "create", path: self.path, code: errno)
        }
        try Self.synchronize(self.directory)
    }

    private static func write(_ bytes: [UInt8], to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileError.system(operation: "create", path: path, code: errno) }
        defer { close(descriptor) }
        var remaining = bytes[...]
        while !remaining.isEmpty {
            let count = remaining.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { throw FileError.system(operation: "write", path: path, code: errno) }
            remaining = remaining.dropFirst(count)
        }
        guard fsync(descriptor) == 0 else { throw FileError.system(operation: "write", path: path, code: errno) }
    }

    private static func synchronize(_ directory: String) throws {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError.system(operation: "open", path: directory, code: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else {
            throw FileError.system(operation: "synchronize", path: directory, code: errno)
        }
    }
}
