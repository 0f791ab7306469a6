import NIOCore
import NIOPosix
import NIOSSL
import SyncProtocol
import Testing

@testable import SyncTransport

@Suite("WebSocket client over TLS", .timeLimit(.minutes(1)))
struct SecureWebSocketTests {
    /// Self-signed for `localhost`, made for this test alone, valid until 2120.
    private static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBQTCB6KADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCWxvY2FsaG9z
        dDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFDESMBAGA1UEAwwJ
        bG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2pY+87PPy68VB0By
        uYQsmtclr1lgpvTpbHrtxH04tQ9fD1pCW11g5kfzsPxO3nHr3/8IZtoLr2NDWXTB
        50o52aMpMCcwFAYDVR0RBA0wC4IJbG9jYWxob3N0MA8GA1UdEwEB/wQFMAMBAf8w
        CgYIKoZIzj0EAwIDSAAwRQIhALF3TgAl8Gc1li3qCtIdXGwN4PO+kE/OBgkskNKP
        2vzBAiBRzsUcrPIB5gmvNu4l8AfYE6jpByumg6SI3U0+0zhsJA==
        -----END CERTIFICATE-----
        """
    private static let privateKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQge7ve4M7bwDRBdsSn
        vcpazmZX02u0szfRhIhe4BHFT+uhRANCAATalj7zs8/LrxUHQHK5hCya1yWvWWCm
        9Olseu3EfTi1D18PWkJbXWDmR/Ow/E7ecevf/whm2guvY0NZdMHnSjnZ
        -----END PRIVATE KEY-----
        """

    private func withServer(
        _ body: (_ url: String, _ sockets: AsyncStream<WebSocketConnection>) async throws -> Void
    ) async throws {
        let certificate = try NIOSSLCertificate(bytes: Array(Self.certificate.utf8), format: .pem)
        let privateKey = try NIOSSLPrivateKey(bytes: Array(Self.privateKey.utf8), format: .pem)
        let context = try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: [.certificate(certificate)], privateKey: .privateKey(privateKey)))
        let (sockets, continuation) = AsyncStream.makeStream(of: WebSocketConnection.self)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                    let policy = HTTPFrontPolicy<Void> { _ in .upgrade(subprotocol: "less-rpc-v1", ticket: ()) }
                    let events = HTTPFrontEvents<Void>(
                        installApplication: { _ in }, upgraded: { connection, _ in continuation.yield(connection) },
                        ended: {})
                    try HTTPFront.install(on: channel, policy: policy, events: events)
                }
            }
            .bind(host: "localhost", port: 0).get()
        try await body("wss://localhost:\(channel.localAddress?.port ?? 0)/ws", sockets)
        try await channel.close()
    }

    @Test("wss: large messages both ways, then an orderly end")
    func secure() async throws {
        try await withServer { url, sockets in
            var options = WebSocketClient.Options(subprotocols: ["less-rpc-v1"])
            options.tls.trustRoots = .certificates([
                try NIOSSLCertificate(bytes: Array(Self.certificate.utf8), format: .pem)
            ])
            let client = try await WebSocketClient.connect(to: url, options)
            var iterator = sockets.makeAsyncIterator()
            let server = try #require(await iterator.next())
            for count in [0, 1, 100_000, 2_000_000] {
                let message = ByteBuffer(repeating: 5, count: count)
                client.enqueue(message)
                #expect(await server.receive() == .binary(message))
                server.enqueue(message)
                #expect(await client.receive() == .binary(message))
            }
            client.close(.goingAway)
            #expect(await server.receive() == .ended(.peerClosed))
            server.closeEcho()
            await client.waitUntilClosed()
            await server.waitUntilClosed()
            #expect(client.dropReason == nil)
        }
    }

    @Test("wss: a certificate that is not trusted is refused")
    func untrusted() async throws {
        try await withServer { url, _ in
            await #expect {
                _ = try await WebSocketClient.connect(to: url, .init(subprotocols: ["less-rpc-v1"]))
            } throws: { error in
                guard case .unreachable? = error as? WebSocketClientError else { return false }
                return true
            }
        }
    }
}
