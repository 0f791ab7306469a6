import NIOCore
import NIOHTTP1
import NIOPosix
import SyncAuth
import SyncProtocol
import Synchronization

/// An issuer with a real HTTP endpoint for its key set, whose keys a test may rotate.
final class TestIssuerServer: Sendable {
    private struct State {
        var signer = TokenSigner(keyID: "key-1")
        var fetches = 0
    }

    private let state = Mutex(State())
    private let port = Mutex(0)

    /// `iss` of the tokens, and the base of the key set's URL.
    var issuer: String { "http://127.0.0.1:\(self.port.withLock { $0 })" }
    var fetches: Int { self.state.withLock { $0.fetches } }

    static func run(_ body: (TestIssuerServer) async throws -> Void) async throws {
        let server = TestIssuerServer()
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler(server: server))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        server.port.withLock { $0 = channel.localAddress?.port ?? 0 }
        do {
            try await body(server)
        } catch {
            try await channel.close()
            throw error
        }
        try await channel.close()
    }

    /// Publishes another key instead of the present one.
    func rotate(to keyID: String) { self.state.withLock { $0.signer = TokenSigner(keyID: keyID) } }

    func user(_ name: String) -> Principal {
        let client = "11111111-1111-1111-1111-111111111111"
        return Principal(
            issuer: self.issuer, userID: name, clientID: client,
            personalSpace: PersonalSpace.derive(issuer: self.issuer, userID: name, clientID: client, family: .less),
            scopes: ["sync"])
    }

    /// A token of `user`, signed with the present key.
    func token(_ user: Principal, audience: String? = nil) throws -> String {
        var claims = TokenClaims(issuer: self.issuer, subject: user.userID, clientID: user.clientID)
        claims.scope = user.scopes.sorted().joined(separator: " ")
        claims.personalSpaceID = user.personalSpace?.wireText ?? ""
        claims.did = user.did
        claims.mailboxID = user.mailboxID
        claims.expiresAt = UnixTime.now() + 3_600
        if let audience { claims.audience = [audience] }
        let signer = self.state.withLock { $0.signer }
        return try signer.sign(claims)
    }

    fileprivate func document(for path: String) -> [UInt8]? {
        guard path == "/.well-known/jwks.json" else { return nil }
        return self.state.withLock { state in
            state.fetches += 1
            return state.signer.keySetDocument
        }
    }
}

private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: TestIssuerServer

    init(server: TestIssuerServer) { self.server = server }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let request) = self.unwrapInboundIn(data) else { return }
        let document = self.server.document(for: request.uri)
        let head = HTTPResponseHead(
            version: .http1_1, status: document == nil ? .notFound : .ok,
            headers: ["Content-Length": "\(document?.count ?? 0)"])
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        if let document {
            context.write(self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: document)))), promise: nil)
        }
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
    }
}
