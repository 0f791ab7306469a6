import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import SyncTesting
import Synchronization
import Testing

@testable import SyncTransport

/// Answers every request with the pieces it was made with, each as an event of its own.
private final class DownloadApplication: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// How each piece of a connection ended, in order.
    final class Outcomes: Sendable {
        private let outcomes = Mutex<[Bool]>([])

        func add(_ isSent: Bool) { self.outcomes.withLock { $0.append(isSent) } }

        var all: [Bool] { self.outcomes.withLock { $0 } }
    }

    private let pieces: [IOData]
    private let outcomes: Outcomes

    init(_ pieces: [IOData], _ outcomes: Outcomes) {
        self.pieces = pieces
        self.outcomes = outcomes
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = self.unwrapInboundIn(data) else { return }
        let length = self.pieces.reduce(0) { $0 + $1.readableBytes }
        let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: ["Content-Length": String(length)])
        context.writeAndFlush(self.wrapOutboundOut(.head(head)), promise: nil)
        for piece in self.pieces {
            let sent = context.eventLoop.makePromise(of: Void.self)
            let outcomes = self.outcomes
            sent.futureResult.whenComplete { outcomes.add((try? $0.get()) != nil) }
            context.channel.triggerUserOutboundEvent(HTTPBodyEvent(piece), promise: sent)
        }
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
    }
}

@Suite("Bodies of responses as events", .timeLimit(.minutes(5)))
struct ResponseBodyTests {
    private func run(
        _ pieces: [IOData], progress: TimeAmount = .seconds(60),
        _ body: (TestServer, DownloadApplication.Outcomes) async throws -> Void
    ) async throws {
        let outcomes = DownloadApplication.Outcomes()
        try await TestServer.run {
            $0.timeouts.progress = progress
        } application: { channel in
            try channel.pipeline.syncOperations.addHandler(DownloadApplication(pieces, outcomes))
        } _: { server in
            try await body(server, outcomes)
        }
    }

    private static let request = "GET /app HTTP/1.1\r\nHost: x\r\n\r\n"

    @Test("regions of a file and buffers follow the head in order, and the connection goes on")
    func pieces() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/file"
            try Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 1_000) }).write(to: URL(fileURLWithPath: path))
            let descriptor = open(path, O_RDONLY)
            let handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
            defer { try? handle.close() }
            let pieces: [IOData] = [
                .fileRegion(FileRegion(fileHandle: handle, readerIndex: 1_000, endIndex: 201_000)),
                .byteBuffer(ByteBuffer(string: "between")),
                .fileRegion(FileRegion(fileHandle: handle, readerIndex: 299_999, endIndex: 300_000)),
            ]
            try await self.run(pieces) { server, outcomes in
                let client = try await RawClient.connect(port: server.port)
                for round in 1...2 {
                    try await client.send(Self.request)
                    let expected =
                        Data((1_000..<201_000).map { UInt8(truncatingIfNeeded: $0 / 1_000) })
                        + Data("between".utf8) + [UInt8(truncatingIfNeeded: 299)]
                    let received = await client.wait { $0.readableBytes >= round * (200_008 + 40) }
                    #expect(Data(received.readableBytesView.suffix(expected.count)) == expected)
                    #expect(String(buffer: received).hasPrefix("HTTP/1.1 200 OK\r\n"))
                }
                #expect(outcomes.all == Array(repeating: true, count: 6))
                await client.close()
            }
        }
    }

    @Test("a client that takes nothing is given up, and whoever sends hears of it")
    func stalled() async throws {
        let piece = ByteBuffer(repeating: 1, count: 32_000_000)
        try await self.run([.byteBuffer(piece)], progress: .milliseconds(100)) { server, outcomes in
            let client = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelOption(.autoRead, value: false)
                .connect(host: "127.0.0.1", port: server.port).get()
            try await client.writeAndFlush(ByteBuffer(string: Self.request))
            while outcomes.all.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
            #expect(outcomes.all == [false])
            try? await client.close()
        }
    }

    @Test("a body for a response that is over fails")
    func late() async throws {
        try await self.run([.byteBuffer(ByteBuffer(string: "x"))]) { server, outcomes in
            let client = try await RawClient.connect(port: server.port)
            try await client.send("GET /app HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            let text = await client.text()
            #expect(text.hasSuffix("\r\n\r\nx"))
            #expect(outcomes.all == [true])
        }
    }
}
