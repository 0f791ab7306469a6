import NIOCore
import SyncAuth
import SyncProtocol
import SyncTesting
import SyncTransport
import Testing

/// What a client sees on a real socket (docs/contract/wire.md §19).
@Suite("Wire, end to end", .timeLimit(.minutes(1)))
struct WireTests {
    @Test("W-03, W-04: each family's subprotocol is accepted", arguments: ProtocolFamily.allCases)
    func subprotocol(family: ProtocolFamily) async throws {
        try await TestBackend.sqlite.withServer { server in
            let client = try await server.wire(family)
            #expect(client.connection.subprotocol == family.subprotocol)
            await client.close()
        }
    }

    @Test("W-15: a valid token opens the connection, and nothing is sent")
    func auth() async throws {
        try await TestBackend.sqlite.withServer { server in
            let client = try await server.wire(as: .fixture())
            // The first frame that comes is the answer to what is sent next.
            client.request("req-1", .tokenRefresh, TokenParams(token: server.tokens.issue(.fixture())))
            guard case .response(id: "req-1", _) = try await client.next() else {
                Issue.record("another frame came first")
                return
            }
            await client.close()
        }
    }

    @Test("W-16: a token without the scope sync is refused")
    func missingScope() async throws {
        try await TestBackend.sqlite.withServer { server in
            let client = try await server.wire(as: .fixture(scopes: ["files"]))
            #expect(await client.closeFrame() == .authFailed("sync scope required"))
        }
    }

    @Test("W-18: an empty token is refused")
    func emptyToken() async throws {
        try await TestBackend.sqlite.withServer { server in
            let client = try await server.wire()
            client.send(FrameEncoder.auth(token: ""))
            #expect(await client.closeFrame() == .authFailed("empty auth token"))
        }
    }

    @Test("W-19: auth and subscribe back to back are both dealt with")
    func authThenSubscribe() async throws {
        try await TestBackend.sqlite.withServer { server in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            let client = try await server.wire(as: user)
            client.request("req-1", .subscribe, SubscribeParams(spaces: [.init(id: space)]))
            let result: SubscribeResult = try await client.result(of: "req-1")
            #expect(result.spaces.map(\.id) == [space])
            #expect(result.errors.isEmpty)
            await client.close()
        }
    }

    @Test("W-30: text after auth closes with 4005")
    func text() async throws {
        try await TestBackend.sqlite.withServer { server in
            let client = try await server.wire(as: .fixture())
            try await client.settle()
            client.connection.enqueueText(ByteBuffer(string: "hello"))
            #expect(await client.closeFrame()?.code == 4005)
        }
    }

    @Test("W-34: F6 is ignored")
    func keepalive() async throws {
        try await TestBackend.sqlite.withServer { server in
            let client = try await server.wire(as: .fixture())
            client.send(hex: "f6")
            try await client.settle()
            await client.close()
        }
    }

    @Test("W-35: a method that does not exist is answered with method_not_found")
    func unknownMethod() async throws {
        try await TestBackend.sqlite.withServer { server in
            let client = try await server.wire(as: .fixture())
            // {"type": 0, "id": "req-1", "method": "nonexistent.method", "params": {}}
            client.send(
                hex: """
                    a46474797065006269646572 65712d31666d6574686f64726e6f6e6578697374656e742e6d6574686f64
                    66706172616d73a0
                    """)
            let frame = try await client.next()
            #expect(
                frame
                    == .failure(
                        id: "req-1",
                        error: ErrorBody(code: .methodNotFound, message: "unknown method: nonexistent.method")))
            await client.close()
        }
    }

    @Test("W-46: a message of exactly 4,194,304 bytes is accepted")
    func largestMessage() async throws {
        try await TestBackend.sqlite.withServer { server in
            let user = Principal.fixture()
            let client = try await server.wire(as: user)
            client.send(try Self.push(of: 4_194_304, to: user))
            #expect(try await client.result(of: "big", as: PushResult.self) == .accepted(cursor: 1))
            await client.close()
        }
    }

    @Test("W-45: one byte more ends the connection with 1009")
    func messageTooLarge() async throws {
        try await TestBackend.sqlite.withServer { server in
            let user = Principal.fixture()
            let client = try await server.wire(as: user)
            try await client.settle()
            client.send(try Self.push(of: 4_194_305, to: user))
            #expect(await client.closeFrame()?.code == 1009)
        }
    }

    @Test("W-45: a first message of 98,304 bytes is looked at, one byte more ends the connection with 1009")
    func firstMessageTooLarge() async throws {
        try await TestBackend.sqlite.withServer { server in
            for (bytes, frame) in [
                (Limits.firstMessageBytesMax, CloseFrame(code: 4000, reason: "invalid auth frame")),
                (Limits.firstMessageBytesMax + 1, CloseFrame(code: 1009, reason: "message too big")),
            ] {
                let client = try await server.wire()
                client.send(ByteBuffer(repeating: 0xF6, count: bytes))
                #expect(await client.closeFrame() == frame)
            }
        }
    }

    /// A push of two records whose message has so many bytes.
    private static func push(of bytes: Int, to user: Principal) throws -> ByteBuffer {
        let space = try #require(user.personalSpace).wireText
        func message(secondBlobBytes: Int) -> ByteBuffer {
            let changes: [PushParams.Change] = [.large(1, bytes: 2_000_000), .large(2, bytes: secondBlobBytes)]
            return FrameEncoder.request(id: "big", method: .push, params: PushParams(space: space, changes: changes))
        }
        let overhead = message(secondBlobBytes: 2_000_000).readableBytes - 2_000_000
        let push = message(secondBlobBytes: bytes - overhead)
        #expect(push.readableBytes == bytes)
        return push
    }
}
