import Foundation
import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncServer
import SyncStorage
import SyncTesting

/// File requests of one user, each on a connection of its own.
struct FileClient: Sendable {
    let port: Int
    let token: String
    var space: SpaceID
    /// For a shared space.
    var ucan: String?

    func path(_ file: FileID) -> String { "/api/v1/spaces/\(self.space.wireText)/files/\(file.wireText)" }

    var credentials: [(String, String)] {
        [("Authorization", "Bearer \(self.token)")] + (self.ucan.map { [("X-UCAN", $0)] } ?? [])
    }

    /// Headers of an upload that passes.
    func uploadHeaders(
        _ length: Int, record: RecordID = .fixture(1), dek: ByteBuffer = .wrappedDEK(epoch: 1)
    ) -> [(String, String)] {
        self.credentials + [
            ("X-Record-ID", record.wireText), ("X-Wrapped-DEK", dek.base64), ("Content-Length", String(length)),
        ]
    }

    @discardableResult
    func put(
        _ file: FileID, _ bytes: ByteBuffer, record: RecordID = .fixture(1), dek: ByteBuffer = .wrappedDEK(epoch: 1)
    ) async throws -> HTTPAnswer {
        try await self.request(
            "PUT", self.path(file), self.uploadHeaders(bytes.readableBytes, record: record, dek: dek), bytes)
    }

    func get(_ file: FileID, _ headers: (String, String)...) async throws -> HTTPAnswer {
        try await self.request("GET", self.path(file), self.credentials + headers)
    }

    func head(_ file: FileID, _ headers: (String, String)...) async throws -> HTTPAnswer {
        try await self.request("HEAD", self.path(file), self.credentials + headers)
    }

    func request(
        _ method: String, _ path: String, _ headers: [(String, String)], _ body: ByteBuffer = ByteBuffer()
    ) async throws -> HTTPAnswer {
        let socket = try await HTTPSocket.connect(port: self.port)
        try await socket.sendHead(method, path, headers)
        // A refusal may come, and the connection end, before the whole body has been sent.
        if body.readableBytes > 0 { try? await socket.send(body) }
        let answer = try await socket.response(to: method)
        await socket.close()
        return answer
    }
}

extension ByteBuffer {
    var base64: String { Data(self.readableBytesView).base64EncodedString() }

    /// Bytes that repeat only after a while.
    static func pattern(_ count: Int, seed: Int = 0) -> ByteBuffer {
        let period = ByteBuffer(bytes: (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ seed) })
        var bytes = ByteBuffer()
        bytes.reserveCapacity(count + period.readableBytes)
        while bytes.readableBytes < count { bytes.writeImmutableBuffer(period) }
        bytes.moveWriterIndex(to: count)
        return bytes
    }
}

extension Principal {
    /// A user of files, with a key of the same name.
    static func fileUser(_ name: String = "alice", scopes: Set<String> = ["sync", "files"]) -> Principal {
        var user = Principal.fixture(name, scopes: scopes)
        user.did = TestDelegation.did(name)
        return user
    }
}

/// A server with files, as a test sees it.
struct FileServer: Sendable {
    let server: InProcessServer.Running
    /// Where a local store keeps them.
    let directory: String

    func client(_ user: Principal, in space: SpaceID? = nil, ucan: String? = nil) throws -> FileClient {
        guard let space = space ?? user.personalSpace else { throw ConditionNotMet(what: "a space of the user") }
        return FileClient(port: self.server.port, token: self.server.tokens.issue(user), space: space, ucan: ucan)
    }

    /// A user with record 1 in their personal space, and their file requests.
    func withRecord(
        _ user: Principal = .fileUser(), _ body: (FileClient, SyncClient) async throws -> Void
    ) async throws {
        let client = try self.client(user)
        try await self.server.withClient(user) { device in
            let pushed = try await device.push(PushParams(space: client.space.wireText, changes: [.fixture(1)]))
            guard case .accepted = pushed else { throw ConditionNotMet(what: "a record") }
            try await body(client, device)
        }
    }

    /// Paths of all files of the store, relative and sorted; those in the making included.
    var objects: [String] {
        let names = FileManager.default.enumerator(atPath: self.directory)?.compactMap { $0 as? String } ?? []
        return names.filter { name in
            var isDirectory: ObjCBool = false
            let exists = FileManager.default.fileExists(
                atPath: "\(self.directory)/\(name)", isDirectory: &isDirectory)
            return exists && !isDirectory.boolValue
        }.sorted()
    }

    static func object(_ file: FileID, of space: SpaceID) -> String {
        "spaces/\(space.wireText)/files/\(file.wireText)"
    }
}

/// Where files are kept in a test.
enum TestFileStore: String, CaseIterable, Sendable {
    case local

    static let available = TestFileStore.allCases
}

/// A database and a file store.
struct FileSetting: Sendable, CustomStringConvertible {
    let backend: TestBackend
    let store: TestFileStore

    static let all = TestBackend.available.flatMap { backend in
        TestFileStore.available.map { FileSetting(backend: backend, store: $0) }
    }

    var description: String { "\(self.backend.rawValue), \(self.store.rawValue)" }

    func withServer(
        fileBytesMax: Int = 1_048_576, _ change: (inout InProcessServer) -> Void = { _ in },
        _ body: (FileServer, TestDatabaseURL) async throws -> Void
    ) async throws {
        try await TestDatabaseURL.with(self.backend) { database in
            try await withTemporaryDirectory { directory in
                var server = try InProcessServer(database) { configuration in
                    configuration.fileBytesMax = fileBytesMax
                    configuration.fileStorage = .local
                    configuration.fileStoragePath = directory + "/files"
                }
                change(&server)
                try await server.run { running in
                    try await body(FileServer(server: running, directory: directory + "/files"), database)
                }
            }
        }
    }

    func withServer(fileBytesMax: Int = 1_048_576, _ body: (FileServer) async throws -> Void) async throws {
        try await self.withServer(fileBytesMax: fileBytesMax) { server, _ in try await body(server) }
    }
}
