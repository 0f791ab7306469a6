import Foundation
import NIOCore
import SyncAuth
import SyncProtocol
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
