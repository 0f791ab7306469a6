import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncClient

/// The server's end of a client under test: sees what it sends and answers as the test wants.
struct FakeServer {
    let connection = MemoryConnection()
    let clock = TestClock()

    /// Runs `body` with a client that is authenticated already, and closes it.
    static func withClient(
        _ configuration: SyncClient.Configuration = .init(),
        _ body: (FakeServer, SyncClient) async throws -> Void
    ) async throws {
        let server = FakeServer()
        let client = SyncClient(over: server.connection, token: "T", configuration, clock: server.clock)
        let auth = try #require(await server.nextMessage())
        #expect(try FrameDecoder.decodeAuthToken(auth) == "T")
        do {
            try await body(server, client)
        } catch {
            await client.close()
            throw error
        }
        await client.close()
    }

    func nextMessage() async -> ByteBuffer? {
        guard case .frame(let message) = await self.connection.next() else { return nil }
        return message
    }

    /// The next request; anything else fails the test.
    func nextRequest() async throws -> ClientFrame.Request {
        let message = try #require(await self.nextMessage())
        guard case .request(let request) = try FrameDecoder.decodeClientFrame(message) else {
            throw UnexpectedFrame()
        }
        return request
    }

    func answer(_ id: String, _ result: some WireEncodable) {
        self.connection.send(FrameEncoder.response(id: id, result: result))
    }

    func chunk(_ id: String, _ name: ChunkName, _ data: some WireEncodable) {
        self.connection.send(FrameEncoder.chunk(id: id, name: name, data: data))
    }

    func announce(_ cursor: Int64, blobBytes: Int = 1) {
        let record = RecordEntry(
            space: nil, id: .fixture(1), blob: ByteBuffer(repeating: 1, count: blobBytes), cursor: cursor, dek: nil,
            deleted: false)
        let notification = SyncNotification(
            space: .fixture, prev: cursor - 1, cursor: cursor, keyGeneration: 1, rewrapEpoch: nil, records: [record])
        self.connection.send(FrameEncoder.sync(notification))
    }

    struct UnexpectedFrame: Error {}
}

extension SpaceID {
    static let fixture = SpaceID(bits: 0xcf78_fa75_e714_5073_8972_126a_6625_5b39)
}

extension PushParams {
    static let fixture = PushParams(space: SpaceID.fixture.wireText, changes: [.fixture(1)])
}
