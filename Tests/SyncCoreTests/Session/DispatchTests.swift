import MetricsTestKit
import NIOCore
import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Dispatch of an open connection", .timeLimit(.minutes(5)))
struct DispatchTests {
    @Test("W-30: a text message closes with 4005")
    func text() async throws {
        try await EngineHarness.run { harness in
            let client = harness.connect()
            try await client.settle()
            client.connection.sendText()
            #expect(await client.closeFrame() == .protocolError("expected binary rpc frame"))
            await harness.waitUntilServed(client)
        }
    }

    @Test(
        "W-31, W-32, W-33, W-48: a message that is no frame, or has an id of 513 bytes, closes with 4005",
        arguments: [
            ("ffffff", "invalid cbor frame"), ("a5", "invalid cbor frame"), ("", "empty binary frame"),
            ("a2647479706500626964790201" + String(repeating: "61", count: 513), "invalid cbor frame"),
        ])
    func malformed(hex: String, reason: String) async throws {
        try await EngineHarness.run { harness in
            let client = harness.connect()
            client.send(hex: hex)
            #expect(await client.closeFrame() == .protocolError(reason))
        }
    }

    @Test(
        "W-34, W-37, W-38, W-39, W-40, UNS-3: what has no meaning has no effect, and the next request is answered",
        arguments: [
            "f6",  // keepalive
            "a164747970651863",  // type 99
            "a2647479706502666d6574686f6472736f6d652e756e6b6e6f776e2e6576656e74",  // unknown notification
            "a1647479706501",  // response
            "a1647479706503",  // chunk
            "a3647479706502666d6574686f646b756e73756273637269626566706172616d736474657874",  // unsubscribe "text"
            "a3647479706502666d6574686f646b756e73756273637269626566706172616d73a16673706163657380",  // unsubscribe []
            "a3647479706502666d6574686f64647075736866706172616d73a0",  // a request method as notification
        ])
    func ignored(hex: String) async throws {
        try await EngineHarness.run { harness in
            let client = harness.connect()
            client.send(hex: hex)
            try await client.settle()
            #expect(client.connection.framesRead == 1)
        }
    }

    @Test("W-35: an unknown method is method_not_found under the request's id; so is a notification's name")
    func unknownMethod() async throws {
        try await EngineHarness.run { harness in
            let client = harness.connect()
            // {type: 0, method: "nonexistent.method", id: "req-1"}
            client.send(
                hex: "a3647479706500666d6574686f64726e6f6e6578697374656e742e6d6574686f6462696465" + "7265712d31")
            let notFound = ErrorBody(code: .methodNotFound, message: "unknown method: nonexistent.method")
            let answer = try await client.next()
            #expect(answer == .failure(id: "req-1", error: notFound))
            await #expect(throws: ErrorBody(code: .methodNotFound, message: "unknown method: unsubscribe")) {
                try await client.answer(to: client.request(.unsubscribe, UnsubscribeParams(spaces: [])))
            }
        }
    }

    @Test("W-36: without an id the answer carries the empty one; type 0 may be written long")
    func missingID() async throws {
        try await EngineHarness.run { harness in
            let client = harness.connect()
            client.send(hex: "a164747970651800")
            let notFound = ErrorBody(code: .methodNotFound, message: "unknown method: ")
            let answer = try await client.next()
            #expect(answer == .failure(id: "", error: notFound))
        }
    }

    @Test(
        "W-41, W-47, SUB-12, SUB-24, PSH-4, PSH-17, PUL-5, TOK-5: undecodable params are invalid_params",
        arguments: [
            (Method.subscribe, "6474657874", "invalid subscribe params"),  // "text"
            (.push, "6474657874", "invalid push params"),
            (.pull, "6474657874", "invalid pull params"),
            (.tokenRefresh, "6474657874", "invalid token refresh params"),
            (.tokenRefresh, "a0", "invalid token refresh params"),
            (.subscribe, "a166737061636573" + "81a162696460", "invalid subscribe params"),  // no since
            // {space: "", changes: [{id: "", blob: h''}]}: no expected_cursor
            (.push, "a265737061636560676368616e67657381a262696460" + "64626c6f6240", "invalid push params"),
            // blob as an array of integers
            (
                .push,
                "a265737061636560676368616e67657381a362696460" + "64626c6f62820102"
                    + "6f65787065637465645f637572736f7200",
                "invalid push params"
            ),
        ])
    func undecodable(method: Method, params: String, message: String) async throws {
        try await EngineHarness.run { harness in
            let client = harness.connect()
            await #expect(throws: ErrorBody(code: .invalidParams, message: message)) {
                try await client.answer(to: client.request(method, RawItem(hex: params)))
            }
            try await client.settle()
        }
    }

    @Test(
        "W-43, W-44: unknown keys are skipped; null and undefined optionals count as absent",
        arguments: TestBackend.available)
    func tolerant(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect()
            // Frame C3 of the contract, as the SDK sends unset optionals: `ucan` and `presence` are undefined.
            client.send(
                hex: """
                    a4626964657270632d32647479706500666d6574686f646973756273637269626566706172616d73a166737061636573
                    81a4626964782463663738666137352d653731342d353037332d383937322d313236613636323535623339647563616e
                    f76573696e6365006870726573656e6365f7
                    """)
            let personal = try await client.answer(to: "rpc-2").result.decode(as: SubscribeResult.self)
            #expect(
                personal.spaces == [.init(id: "cf78fa75-e714-5073-8972-126a66255b39", cursor: 0, keyGeneration: 1)])
            // {id: "x", type: 0, method: "pull", params: {spaces: [], more: 1}, extra: [1]}
            client.send(
                hex: "a562696461786474797065" + "00666d6574686f646470756c6c66706172616d73a266737061636573"
                    + "80646d6f726501"
                    + "6565787472618101")
            #expect(try await client.answer(to: "x").result.decode(as: ChunkCount.self).chunks == 0)
        }
    }

    @Test(
        "W-42: a notification whose params are text is ignored and keeps the subscription",
        arguments: TestBackend.available)
    func undecodableNotification(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = try await harness.subscriber()
            client.notify(.unsubscribe, RawItem(hex: "6474657874"))
            try await client.settle()
            let pusher = harness.connect()
            _ = try await pusher.push([.fixture(1)], to: Principal.fixture().space)
            #expect(try await client.notification().cursor == 1)
        }
    }

    @Test("wire §5: answers echo the id verbatim and arrive in request order", arguments: TestBackend.available)
    func order(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect()
            let ids = (1...30).map { _ in client.request(.subscribe, SubscribeParams(spaces: [])) }
            for id in ids {
                guard case .response(let answered, _) = try await client.next() else {
                    Issue.record("not a response")
                    return
                }
                #expect(answered == id)
            }
        }
    }

    @Test(
        "W-63, C18: a client that closes gets its Close frame echoed and leaves nothing behind",
        arguments: TestBackend.available)
    func close(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = try await harness.subscriber()
            client.connection.sendClose()
            #expect(await client.connection.next() == .closeEcho)
            await harness.waitUntilServed(client)
            #expect(try harness.openConnections() == 0)
            #expect(try harness.watchedSpaces() == 0)
        }
    }

    @Test(
        "OX1, OX3: requests are counted by method and outcome, unknown methods under one name",
        arguments: TestBackend.available)
    func metrics(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect()
            try await client.settle()
            _ = try await client.subscribe()
            _ = try await client.push([.fixture(1), .fixture(2), .fixture(3)], to: Principal.fixture().space)
            _ = try await client.push([.fixture(1)], to: Principal.fixture().space)
            _ = try await client.push([], to: .random())
            _ = try await client.pull(Principal.fixture().space)
            try await client.settle()
            // A request is counted after its answer is queued; the one behind it proves that it was.
            for (method, outcome) in [
                ("unknown", "method_not_found"), ("subscribe", "ok"), ("push", "ok"), ("push", "conflict"),
                ("push", "forbidden"),
            ] {
                let counter = try harness.metrics.expectCounter(
                    "rpc_requests_total", [("method", method), ("outcome", outcome)])
                #expect(counter.totalValue >= 1, "\(method) \(outcome)")
            }
            #expect(try harness.metrics.expectCounter("storage_push_records_total").totalValue == 3)
            #expect(try harness.metrics.expectCounter("storage_pull_records_total").totalValue == 3)
            #expect(try harness.metrics.expectRecorder("rpc_duration_ms", [("method", "push")]).values.count == 3)
        }
    }

    @Test("wire.md §6: what an answer repeats of wrong ids is cut, so that it fits into a message")
    func longSpaceIDs() async throws {
        try await EngineHarness.run { harness in
            let client = harness.connect()
            let ids = (0..<1_000).map { String(repeating: "é", count: 2_000) + String($0) }
            let result: SubscribeResult = try await client.call(
                .subscribe, SubscribeParams(spaces: ids.map { .init(id: $0) }))
            #expect(
                result.errors
                    == ids.map { _ in .init(space: String(repeating: "é", count: 128), error: .badRequest) })
        }
    }
}

/// One CBOR item, written as it stands.
struct RawItem: WireEncodable {
    let hex: String

    func encode(to writer: inout CBORWriter) { writer.writeEncoded(ByteBuffer(hex: self.hex)) }
}
