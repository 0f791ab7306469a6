import NIOCore
import NIOEmbedded
import SyncProtocol
import Testing

@testable import SyncTransport

@Suite("Wake-ups", .timeLimit(.minutes(1)))
struct WakeUpsTests {
    /// Connections of one event loop, each with a channel of its own.
    private func connect(_ count: Int, _ loop: NIOAsyncTestingEventLoop) async throws
        -> [(WebSocketConnection, NIOAsyncTestingChannel)]
    {
        let wakeUps = WakeUps(loop)
        var connections: [(WebSocketConnection, NIOAsyncTestingChannel)] = []
        for port in 1...count {
            let channel = NIOAsyncTestingChannel(loop: loop)
            try await channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: port)).get()
            let pipeline = channel.pipeline
            let connection = try await loop.executeInContext {
                let handler = WebSocketHandler(configuration: .server, wakeUps: wakeUps)
                try pipeline.syncOperations.addHandler(handler)
                return handler.connection
            }
            connections.append((connection, channel))
        }
        await loop.run()
        return connections
    }

    @Test("W4: a broadcast reaches all connections of an event loop, in order, each frame once")
    func broadcast() async throws {
        let loop = NIOAsyncTestingEventLoop()
        let connections = try await self.connect(20, loop)
        for byte: UInt8 in 1...3 {
            let notification = Broadcast(ByteBuffer(bytes: [byte]))
            for (connection, _) in connections { #expect(connection.offer(notification) == .queued) }
        }
        await loop.run()
        for (connection, channel) in connections {
            var bytes = ByteBuffer()
            while var part = try await channel.readOutbound(as: ByteBuffer.self) { bytes.writeBuffer(&part) }
            #expect(bytes == ByteBuffer(bytes: [0x82, 1, 1, 0x82, 1, 2, 0x82, 1, 3]))
            // The room that a burst took in the list of wake-ups is used again.
            #expect(connection.offer(ByteBuffer(bytes: [9])) == .queued)
        }
        await loop.run()
        for (_, channel) in connections {
            #expect(try await channel.readOutbound(as: ByteBuffer.self) == ByteBuffer(bytes: [0x82, 1, 9]))
        }
    }

    @Test("a connection that ends between a broadcast and its turn is passed over")
    func ended() async throws {
        let loop = NIOAsyncTestingEventLoop()
        let connections = try await self.connect(2, loop)
        let notification = Broadcast(ByteBuffer(bytes: [7]))
        try await loop.executeInContext {
            for (connection, _) in connections { #expect(connection.offer(notification) == .queued) }
            connections[0].1.close(promise: nil)
        }
        await loop.run()
        #expect(try await connections[0].1.readOutbound(as: ByteBuffer.self) == nil)
        #expect(try await connections[1].1.readOutbound(as: ByteBuffer.self) == ByteBuffer(bytes: [0x82, 1, 7]))
        #expect(connections[0].0.offer(notification) == .ended)
    }

    @Test("each event loop has one list of wake-ups, and keeps it")
    func table() {
        let table = WakeUpTable()
        let loops = (NIOAsyncTestingEventLoop(), NIOAsyncTestingEventLoop())
        let first = table.wakeUps(of: loops.0)
        #expect(first.eventLoop === loops.0)
        #expect(table.wakeUps(of: loops.0) === first)
        #expect(table.wakeUps(of: loops.1) !== first)
    }
}
