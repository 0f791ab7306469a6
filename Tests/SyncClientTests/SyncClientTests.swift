import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncClient

@Suite("Client calls", .timeLimit(.minutes(5)))
struct SyncClientTests {
    @Test("wire §4: requests follow the auth frame at once, each with an id of its own; answers find their callers")
    func answersFindTheirCallers() async throws {
        try await FakeServer.withClient { server, client in
            let first = Task { try await client.push(.fixture) }
            let firstRequest = try await server.nextRequest()
            let second = Task { try await client.push(.fixture) }
            let secondRequest = try await server.nextRequest()
            #expect(firstRequest.method == "push" && firstRequest.id != secondRequest.id)
            #expect(try firstRequest.params.decode(as: PushParams.self) == .fixture)
            server.answer(secondRequest.id, PushResult.accepted(cursor: 2))
            server.answer(firstRequest.id, PushResult.refused(.conflict))
            #expect(try await first.value == .refused(.conflict))
            #expect(try await second.value == .accepted(cursor: 2))
        }
    }

    @Test("rpc §3: subscribe returns entries and errors, unsubscribe sends one notification and waits for nothing")
    func subscribing() async throws {
        try await FakeServer.withClient { server, client in
            let subscribed = Task { try await client.subscribe([.init(id: "not-a-uuid")]) }
            let request = try await server.nextRequest()
            let result = SubscribeResult(spaces: [], errors: [.init(space: "not-a-uuid", error: .badRequest)])
            server.answer(request.id, result)
            #expect(try await subscribed.value == result)
            try await client.unsubscribe([.fixture])
            let message = try #require(await server.nextMessage())
            guard case .notification(let notification) = try FrameDecoder.decodeClientFrame(message) else {
                throw FakeServer.UnexpectedFrame()
            }
            #expect(notification.method == "unsubscribe")
            #expect(
                try notification.params.decode(as: UnsubscribeParams.self)
                    == UnsubscribeParams(spaces: [SpaceID.fixture.wireText]))
        }
    }

    @Test("wire §17.3: an error response is a failure with its code and text, and the connection stays usable")
    func refusal() async throws {
        try await FakeServer.withClient { server, client in
            let pushed = Task { try await client.push(.fixture) }
            let request = try await server.nextRequest()
            server.connection.send(FrameEncoder.error(id: request.id, code: .internal, message: "internal"))
            await #expect(throws: SyncClientError.refused(code: "internal", message: "internal")) {
                try await pushed.value
            }
            let again = Task { try await client.push(.fixture) }
            server.answer(try await server.nextRequest().id, PushResult.accepted(cursor: 1))
            #expect(try await again.value == .accepted(cursor: 1))
        }
    }

    @Test("TOK-1: a refused refresh fails with the server's text, an accepted one just returns")
    func refreshing() async throws {
        try await FakeServer.withClient { server, client in
            let refused = Task { try await client.refreshToken("bad") }
            let request = try await server.nextRequest()
            #expect(request.method == "token.refresh")
            server.answer(request.id, TokenRefreshResult(error: "invalid auth token"))
            await #expect(throws: SyncClientError.refused(code: "forbidden", message: "invalid auth token")) {
                try await refused.value
            }
            let accepted = Task { try await client.refreshToken("good") }
            server.answer(try await server.nextRequest().id, TokenRefreshResult())
            try await accepted.value
        }
    }

    @Test("wire §17.1: without an answer for the timeout a call fails, and its late answer is ignored")
    func timeout() async throws {
        try await FakeServer.withClient { server, client in
            let pushed = Task { try await client.push(.fixture) }
            let request = try await server.nextRequest()
            for _ in 0...30 {
                await server.clock.waitForSleepers(1)
                server.clock.advance(by: .seconds(1))
            }
            await #expect(throws: SyncClientError.timedOut) { try await pushed.value }
            server.answer(request.id, PushResult.accepted(cursor: 1))
            let again = Task { try await client.push(.fixture) }
            server.answer(try await server.nextRequest().id, PushResult.accepted(cursor: 2))
            #expect(try await again.value == .accepted(cursor: 2))
        }
    }

    @Test("wire §10: the end of the connection fails every call in progress and every later one")
    func connectionLost() async throws {
        try await FakeServer.withClient { server, client in
            let first = Task { try await client.push(.fixture) }
            let pulled = Task { try await client.pull([.init(id: "x", since: 0)]) { _ in } }
            _ = try await server.nextRequest()
            _ = try await server.nextRequest()
            server.connection.fail()
            await #expect(throws: SyncClientError.disconnected(nil)) { try await first.value }
            await #expect(throws: SyncClientError.disconnected(nil)) { try await pulled.value }
            await #expect(throws: SyncClientError.disconnected(nil)) { try await client.push(.fixture) }
            #expect(await client.nextEvent() == nil)
        }
    }

    @Test("wire §10: closing sends 1000 `client close`, and calls in progress fail")
    func closing() async throws {
        try await FakeServer.withClient { server, client in
            let pushed = Task { try await client.push(.fixture) }
            _ = try await server.nextRequest()
            await client.close()
            await #expect(throws: SyncClientError.disconnected(nil)) { try await pushed.value }
            #expect(await server.connection.next() == .close(CloseFrame(code: 1000, reason: "client close")))
        }
    }

    @Test("an undecodable frame ends the connection with 1002, since nothing after it can be trusted")
    func undecodableFrame() async throws {
        try await FakeServer.withClient { server, client in
            let pushed = Task { try await client.push(.fixture) }
            _ = try await server.nextRequest()
            server.connection.send(ByteBuffer(bytes: [0xFF, 0xFF, 0xFF]))
            await #expect(throws: SyncClientError.protocolViolation("undecodable frame")) { try await pushed.value }
            #expect(await server.connection.next() == .close(CloseFrame(code: 1002, reason: "undecodable frame")))
        }
    }

    @Test("W-34: keepalives and text are no answer to anything")
    func keepalive() async throws {
        try await FakeServer.withClient { server, client in
            let pushed = Task { try await client.push(.fixture) }
            let request = try await server.nextRequest()
            server.connection.send(FrameEncoder.keepalive)
            server.connection.sendText()
            server.answer("rpc-unknown", PushResult.accepted(cursor: 9))
            server.answer(request.id, PushResult.accepted(cursor: 1))
            #expect(try await pushed.value == .accepted(cursor: 1))
        }
    }

    @Test("a cancelled call ends at once and leaves the connection usable")
    func cancelledCall() async throws {
        try await FakeServer.withClient { server, client in
            let call = Task { try await client.push(.fixture) }
            let request = try await server.nextRequest()
            call.cancel()
            await #expect(throws: SyncClientError.cancelled) { try await call.value }
            server.answer(request.id, PushResult.accepted(cursor: 1))
            let again = Task { try await client.push(.fixture) }
            server.answer(try await server.nextRequest().id, PushResult.accepted(cursor: 2))
            #expect(try await again.value == .accepted(cursor: 2))
        }
    }

    @Test("a call of a task that is cancelled already sends nothing")
    func cancelledBefore() async throws {
        try await FakeServer.withClient { server, client in
            let call = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await client.push(.fixture)
            }
            await #expect(throws: SyncClientError.cancelled) { try await call.value }
            let again = Task { try await client.push(.fixture) }
            server.answer(try await server.nextRequest().id, PushResult.accepted(cursor: 2))
            #expect(try await again.value == .accepted(cursor: 2))
        }
    }
}
