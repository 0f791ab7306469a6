import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncServer
import SyncStorage
import SyncTesting

extension InProcessServer.Running {
    /// File requests of `user`, in their personal space unless another one is named.
    func fileClient(_ user: Principal, in space: SpaceID? = nil, ucan: String? = nil) throws -> FileClient {
        guard let space = space ?? user.personalSpace else { throw ConditionNotMet(what: "a space of the user") }
        return FileClient(port: self.port, token: self.tokens.issue(user), space: space, ucan: ucan)
    }
}

/// A server with files, as a test sees it.
struct FileServer: Sendable {
    let server: InProcessServer.Running
    let location: TestFileLocation
    let watch: WatchedBlobStore.Watch

    func client(_ user: Principal, in space: SpaceID? = nil, ucan: String? = nil) throws -> FileClient {
        try self.server.fileClient(user, in: space, ucan: ucan)
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

    /// Everything that the store keeps, what is in the making and unfinished uploads included.
    var objects: [String] {
        get async throws { try await self.location.objects }
    }

    /// Objects that uploads have begun and neither published nor abandoned.
    var inTheMaking: Int { self.watch.inTheMaking }

    /// Puts an object where the server expects one, without its knowledge.
    func plant(_ bytes: ByteBuffer, as file: FileID, of space: SpaceID) async throws {
        let writer = try await self.location.store.begin(
            FileKey(space: space, file: file), length: Int64(bytes.readableBytes))
        try await writer.append(bytes)
        _ = try await writer.publish(.replacing)
    }

    static func object(_ file: FileID, of space: SpaceID) -> String { FileKey(space: space, file: file).path }
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
            try await self.store.with(fileBytesMax: fileBytesMax) { location in
                try await location.withServer(on: database, change) { try await body($0, database) }
            }
        }
    }

    func withServer(fileBytesMax: Int = 1_048_576, _ body: (FileServer) async throws -> Void) async throws {
        try await self.withServer(fileBytesMax: fileBytesMax) { server, _ in try await body(server) }
    }
}
