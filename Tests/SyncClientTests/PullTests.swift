import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncClient

@Suite("Client pulls", .timeLimit(.minutes(5)))
struct PullTests {
    private static let space = SpaceID.fixture.wireText
    private static let begin = PullBegin(space: space, prev: 0, cursor: 2, keyGeneration: 1, rewrapEpoch: nil)

    private static func record(_ number: Int) -> RecordEntry {
        RecordEntry(
            space: self.space, id: .fixture(number), blob: ByteBuffer(string: "blob"), cursor: Int64(number), dek: nil,
            deleted: false)
    }

    private static func commit(count: Int64) -> PullCommit {
        PullCommit(space: self.space, prev: 0, cursor: 2, count: count)
    }

    /// Starts a pull whose request the server has seen.
    private func pull(
        _ body: (FakeServer, SyncClient, String, Task<[PullChunk], any Error>) async throws -> Void
    ) async throws {
        try await FakeServer.withClient { server, client in
            let pull = Task {
                var chunks: [PullChunk] = []
                try await client.pull([.init(id: Self.space, since: 0)]) { chunks.append($0) }
                return chunks
            }
            let request = try await server.nextRequest()
            #expect(
                try request.params.decode(as: PullParams.self) == PullParams(spaces: [.init(id: Self.space, since: 0)]))
            try await body(server, client, request.id, pull)
        }
    }

    @Test("PUL-1: chunks arrive in order and the counts are checked")
    func wholePull() async throws {
        try await self.pull { server, _, id, pull in
            server.chunk(id, .pullBegin, Self.begin)
            server.chunk(id, .pullRecord, Self.record(1))
            server.chunk(id, .pullRecord, Self.record(2))
            server.chunk(id, .pullCommit, Self.commit(count: 2))
            server.answer(id, ChunkCount(chunks: 4))
            let expected: [PullChunk] = [
                .begin(Self.begin), .record(Self.record(1)), .record(Self.record(2)), .commit(Self.commit(count: 2)),
            ]
            let chunks = try await pull.value
            #expect(chunks == expected)
        }
    }

    @Test("wire §17.2: a chunk that got lost fails the pull")
    func lostChunk() async throws {
        try await self.pull { server, _, id, pull in
            server.chunk(id, .pullBegin, Self.begin)
            server.answer(id, ChunkCount(chunks: 4))
            await #expect(throws: SyncClientError.protocolViolation("1 chunks instead of 4")) { try await pull.value }
        }
    }

    @Test("rpc §5: a commit whose count is not that of the entries fails the pull, before it reaches the consumer")
    func wrongCommit() async throws {
        try await self.pull { server, client, id, pull in
            server.chunk(id, .pullBegin, Self.begin)
            server.chunk(id, .pullRecord, Self.record(1))
            server.chunk(id, .pullCommit, Self.commit(count: 2))
            await #expect(throws: SyncClientError.protocolViolation("1 entries instead of 2")) { try await pull.value }
            // The rest of the pull is nobody's any more.
            server.answer(id, ChunkCount(chunks: 3))
            let pushed = Task { try await client.push(.fixture) }
            server.answer(try await server.nextRequest().id, PushResult.accepted(cursor: 1))
            #expect(try await pushed.value == .accepted(cursor: 1))
        }
    }

    @Test("PUL-12: an error in the middle fails the pull after the chunks that came")
    func errorInTheMiddle() async throws {
        try await self.pull { server, _, id, pull in
            server.chunk(id, .pullBegin, Self.begin)
            server.connection.send(FrameEncoder.error(id: id, code: .internal, message: "pull stream failed"))
            await #expect(throws: SyncClientError.refused(code: "internal", message: "pull stream failed")) {
                try await pull.value
            }
        }
    }

    @Test("a chunk of an unknown name fails the pull")
    func unknownChunk() async throws {
        try await self.pull { server, _, id, pull in
            server.connection.send(
                CBORWriter.chunkFrame(id: id, name: "pull.surprise"))
            await #expect(throws: SyncClientError.protocolViolation("chunk pull.surprise")) { try await pull.value }
        }
    }

    @Test("wire §17.1: each chunk starts the timeout anew")
    func chunksRestartTheTimeout() async throws {
        try await self.pull { server, client, id, pull in
            for number in 0..<3 {
                server.chunk(id, number == 0 ? .pullBegin : .pullRecord, Self.begin.asChunk(number))
                // A round trip: the chunk has been taken.
                let pushed = Task { try await client.push(.fixture) }
                server.answer(try await server.nextRequest().id, PushResult.accepted(cursor: 1))
                _ = try await pushed.value
                for _ in 0..<20 {
                    await server.clock.waitForSleepers(1)
                    server.clock.advance(by: .seconds(1))
                }
            }
            server.chunk(id, .pullCommit, Self.commit(count: 2))
            server.answer(id, ChunkCount(chunks: 4))
            #expect(try await pull.value.count == 4)
        }
    }

    @Test("a consumer that throws ends the pull; other calls go on")
    func throwingConsumer() async throws {
        struct Enough: Error {}
        try await FakeServer.withClient { server, client in
            let pull = Task { try await client.pull([.init(id: Self.space, since: 0)]) { _ in throw Enough() } }
            let id = try await server.nextRequest().id
            server.chunk(id, .pullBegin, Self.begin)
            await #expect(throws: Enough.self) { try await pull.value }
            for number in 1...200 { server.chunk(id, .pullRecord, Self.record(number)) }
            let pushed = Task { try await client.push(.fixture) }
            server.answer(try await server.nextRequest().id, PushResult.accepted(cursor: 1))
            #expect(try await pushed.value == .accepted(cursor: 1))
        }
    }

    @Test("a cancelled pull ends although its consumer waits for a chunk")
    func cancelledPull() async throws {
        try await self.pull { server, _, id, pull in
            server.chunk(id, .pullBegin, Self.begin)
            pull.cancel()
            await #expect(throws: SyncClientError.cancelled) { try await pull.value }
        }
    }

    @Test("a slow consumer stops the connection from being read: 64 chunks wait, not more")
    func backPressure() async throws {
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        try await FakeServer.withClient { server, client in
            let pull = Task {
                var count = 0
                try await client.pull([.init(id: Self.space, since: 0)]) { _ in
                    if count == 0 { for await _ in gate { break } }
                    count += 1
                }
                return count
            }
            let id = try await server.nextRequest().id
            server.chunk(id, .pullBegin, Self.begin)
            for number in 1...300 { server.chunk(id, .pullRecord, Self.record(number)) }
            server.chunk(id, .pullCommit, Self.commit(count: 300))
            server.answer(id, ChunkCount(chunks: 302))
            // 303 messages, of which one is at the consumer, 64 wait in the channel and one is being handed over at most.
            try await eventually("64 chunks are received") { server.connection.unreceivedMessages <= 303 - 64 }
            for _ in 0..<1_000 { await Task.yield() }
            #expect(server.connection.unreceivedMessages >= 303 - 66)
            open.yield()
            #expect(try await pull.value == 302)
        }
    }
}

extension PullBegin {
    /// Itself first, then records.
    fileprivate func asChunk(_ number: Int) -> PullTestChunk {
        number == 0
            ? .begin(self)
            : .record(
                RecordEntry(
                    space: self.space, id: .fixture(number), blob: ByteBuffer(), cursor: 1, dek: nil, deleted: false))
    }
}

private enum PullTestChunk: WireEncodable {
    case begin(PullBegin)
    case record(RecordEntry)

    func encode(to writer: inout CBORWriter) {
        switch self {
        case .begin(let begin): begin.encode(to: &writer)
        case .record(let record): record.encode(to: &writer)
        }
    }
}

extension CBORWriter {
    /// A chunk with an empty map as its data.
    fileprivate static func chunkFrame(id: String, name: String) -> ByteBuffer {
        var writer = CBORWriter()
        writer.writeMap(4)
        writer.write(key: "type")
        writer.write(Int32(3))
        writer.write(key: "id")
        writer.write(id)
        writer.write(key: "name")
        writer.write(name)
        writer.write(key: "data")
        writer.writeMap(0)
        return writer.buffer
    }
}
