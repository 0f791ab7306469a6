import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncClient

/// The server's ends of the connections that a device opens, one after another.
private struct Connections: Sendable {
    let clock = TestClock()
    private let servers: AsyncStream<FakeServer>
    private let opened: AsyncStream<FakeServer>.Continuation

    init() { (self.servers, self.opened) = AsyncStream.makeStream() }

    func session(_ device: DemoDevice) -> DemoSession {
        let opened = self.opened
        return DemoSession(device: device, space: .fixture, clock: self.clock) { () throws(SyncClientError) in
            let server = FakeServer()
            opened.yield(server)
            return SyncClient(over: server.connection, token: "T", .init(), clock: server.clock)
        }
    }

    /// The next one, behind its auth frame.
    func next() async throws -> FakeServer {
        var iterator = self.servers.makeAsyncIterator()
        let server = try #require(await iterator.next())
        _ = try #require(await server.nextMessage())
        return server
    }

    /// The next one, once the device has waited after a failure.
    func nextAfterFailure(_ failures: Int = 1) async throws -> FakeServer {
        let delay = DemoSession.delay(afterFailures: failures)
        await self.clock.waitForSleeper(of: delay)
        self.clock.advance(by: delay)
        return try await self.next()
    }
}

extension FakeServer {
    fileprivate func nextPush() async throws -> (id: String, params: PushParams) {
        let request = try await self.nextRequest()
        return (request.id, try request.params.decode())
    }

    fileprivate func answerSubscribe(cursor: Int64) async throws {
        let request = try await self.nextRequest()
        let params: SubscribeParams = try request.params.decode()
        #expect(params.spaces.map(\.id) == [SpaceID.fixture.wireText])
        self.answer(
            request.id, SubscribeResult(spaces: [.init(id: params.spaces[0].id, cursor: cursor, keyGeneration: 1)]))
    }

    /// Answers a pull whole.
    fileprivate func answerPull(since: Int64, cursor: Int64, _ records: [RecordEntry]) async throws {
        let request = try await self.nextRequest()
        let params: PullParams = try request.params.decode()
        #expect(params.spaces == [.init(id: SpaceID.fixture.wireText, since: since)])
        let space = SpaceID.fixture.wireText
        self.chunk(
            request.id, .pullBegin,
            PullBegin(space: space, prev: since, cursor: cursor, keyGeneration: 1, rewrapEpoch: nil))
        for var record in records {
            record.space = space
            self.chunk(request.id, .pullRecord, record)
        }
        self.chunk(
            request.id, .pullCommit,
            PullCommit(space: space, prev: since, cursor: cursor, count: Int64(records.count)))
        self.answer(request.id, ChunkCount(chunks: Int64(records.count) + 2))
    }

    fileprivate func sync(prev: Int64, cursor: Int64, _ records: [RecordEntry]) {
        self.connection.send(
            FrameEncoder.sync(
                SyncNotification(
                    space: .fixture, prev: prev, cursor: cursor, keyGeneration: 1, rewrapEpoch: nil, records: records)))
    }
}

@Suite("Demo devices", .timeLimit(.minutes(1)))
struct DemoDeviceTests {
    private let connections = Connections()
    private let progress = DemoProgress()
    private let cipher = DemoCipher()

    /// As many empty files as wished, and the manifest; record n at cursor n + 1 + `offset`.
    private func records(files: Int, offset: Int64 = 0) async throws -> [RecordEntry] {
        try await TemporaryFolder.with { folder in
            for number in 0..<files { try folder.write("\(number)") }
            let source = try DemoSource(folder: folder.path, cipher: self.cipher)
            let batch = try #require(try await source.nextBatch())
            return try batch.changes.enumerated().map { index, change in
                RecordEntry(
                    space: nil, id: try #require(RecordID(wireText: change.id)), blob: change.blob,
                    cursor: Int64(index) + 1 + offset, dek: nil, deleted: false)
            }
        }
    }

    // MARK: - A

    /// Lets A push one empty file and the manifest, in a push each.
    private func write(_ body: (Connections) async throws -> Void) async throws {
        try await TemporaryFolder.with { folder in
            try folder.write("f")
            var limits = DemoSource.Limits()
            limits.batchRecordsMax = 1
            let source = try DemoSource(folder: folder.path, cipher: self.cipher, limits: limits)
            let writer = DemoWriter(self.connections.session(.writer), source: source, progress: self.progress)
            async let written: Void = {
                var writer = writer
                try await writer.run()
            }()
            try await body(self.connections)
            try await written
        }
    }

    @Test("A pushes one batch after the other, each once the one before is stored")
    func pushes() async throws {
        try await self.write { connections in
            let server = try await connections.next()
            for cursor in 1...2 {
                let push = try await server.nextPush()
                #expect(push.params.space == SpaceID.fixture.wireText)
                #expect(push.params.changes.map(\.id) == [self.cipher.recordID(Int64(cursor) - 1).wireText])
                server.answer(push.id, PushResult.accepted(cursor: Int64(cursor)))
            }
        }
        #expect(self.progress[.writer].cursor == 2)
        #expect(self.progress[.writer].counts.records == 2)
        #expect(self.progress[.writer].counts.files == 1)
    }

    @Test("A repeats a push whose answer was lost; a conflict then means that it was stored")
    func repeatedPush() async throws {
        try await self.write { connections in
            let first = try await connections.next()
            let lost = try await first.nextPush()
            first.connection.fail()
            let second = try await connections.nextAfterFailure()
            let repeated = try await second.nextPush()
            #expect(repeated.params == lost.params)
            second.answer(repeated.id, PushResult.refused(.conflict))
            let question = try await second.nextPush()
            #expect(question.params.changes.isEmpty)
            second.answer(question.id, PushResult.accepted(cursor: 7))
            second.answer(try await second.nextPush().id, PushResult.accepted(cursor: 8))
        }
        #expect(self.progress[.writer].cursor == 8)
        #expect(self.progress[.writer].counts.records == 2)
    }

    @Test(
        "a conflict at the first attempt ends A, as does every other refusal",
        arguments: [RPCErrorCode.conflict, .internal])
    func refusedPush(_ code: RPCErrorCode) async throws {
        await #expect(throws: DemoError.pushRefused(code)) {
            try await self.write { connections in
                let server = try await connections.next()
                server.answer(try await server.nextPush().id, PushResult.refused(code))
            }
        }
    }

    @Test("A gives up when the server stays away")
    func lostServer() async throws {
        await #expect(throws: DemoError.connection(device: "A", .disconnected(nil))) {
            try await self.write { connections in
                try await connections.next().connection.fail()
                for failures in 1..<DemoSession.attemptsMax {
                    try await connections.nextAfterFailure(failures).connection.fail()
                }
            }
        }
    }

    // MARK: - B

    /// Subscribes B at `cursor` and lets it follow.
    private func follow(
        from cursor: Int64, _ body: (FakeServer) async throws -> Void
    ) async throws -> DemoReceiver {
        let receiver = DemoReceiver(self.connections.session(.subscriber), cipher: self.cipher, progress: self.progress)
        async let followed = {
            var receiver = receiver
            try await receiver.subscribe()
            try await receiver.follow()
            return receiver
        }()
        let server = try await self.connections.next()
        try await server.answerSubscribe(cursor: cursor)
        try await body(server)
        return try await followed
    }

    @Test("PSH-6: B takes what comes by notification, from where it subscribed")
    func live() async throws {
        let records = try await self.records(files: 2, offset: 40)
        let receiver = try await self.follow(from: 40) { server in
            server.sync(prev: 39, cursor: 40, [])
            for record in records { server.sync(prev: record.cursor - 1, cursor: record.cursor, [record]) }
        }
        #expect(receiver.verifier.isComplete)
        #expect(receiver.liveRecords == 3)
        #expect(receiver.catchUps == 0)
        #expect(receiver.cursor == 43)
    }

    @Test("rpc §14.1: after a gap B pulls from its own cursor, and passes over what it has then")
    func gap() async throws {
        let records = try await self.records(files: 3)
        let receiver = try await self.follow(from: 0) { server in
            server.sync(prev: 0, cursor: 1, [records[0]])
            server.sync(prev: 2, cursor: 3, [records[2]])
            try await server.answerPull(since: 1, cursor: 3, [records[1], records[2]])
            server.sync(prev: 2, cursor: 3, [records[2]])
            server.sync(prev: 3, cursor: 4, [records[3]])
        }
        #expect(receiver.verifier.isComplete)
        #expect(receiver.catchUps == 1)
        #expect(receiver.liveRecords == 2)
    }

    @Test("rpc §2.6: a nudge without records makes B pull")
    func nudge() async throws {
        let records = try await self.records(files: 1)
        let receiver = try await self.follow(from: 0) { server in
            server.sync(prev: 2, cursor: 2, [])
            try await server.answerPull(since: 0, cursor: 2, records)
        }
        #expect(receiver.verifier.isComplete)
        #expect(receiver.catchUps == 1)
    }

    @Test("wire §12: B connects again after its connection was lost, and pulls what it has missed")
    func reconnect() async throws {
        let records = try await self.records(files: 2)
        let receiver = try await self.follow(from: 0) { server in
            server.sync(prev: 0, cursor: 1, [records[0]])
            server.connection.fail()
            let second = try await self.connections.nextAfterFailure()
            try await second.answerSubscribe(cursor: 2)
            try await second.answerPull(since: 1, cursor: 2, [records[1]])
            second.sync(prev: 2, cursor: 3, [records[2]])
        }
        #expect(receiver.verifier.isComplete)
        #expect(receiver.catchUps == 1)
    }

    @Test("B ends with the first record that is not what was sent")
    func mismatch() async throws {
        let records = try await self.records(files: 1)
        var swapped = records[0]
        swapped.blob = records[1].blob
        let bad = swapped
        await #expect(throws: DemoError.mismatch(device: "B", .undecryptable(0))) {
            _ = try await self.follow(from: 0) { $0.sync(prev: 0, cursor: 1, [bad]) }
        }
        await #expect(throws: DemoError.mismatch(device: "B", .gap(expected: 0, found: 1))) {
            _ = try await self.follow(from: 0) { $0.sync(prev: 0, cursor: 1, [records[1]]) }
        }
    }

    @Test("a refused subscription ends B")
    func refusedSubscription() async throws {
        let receiver = DemoReceiver(self.connections.session(.subscriber), cipher: self.cipher, progress: self.progress)
        await #expect(throws: DemoError.notSubscribed("forbidden")) {
            async let subscribed: Void = {
                var receiver = receiver
                try await receiver.subscribe()
            }()
            let server = try await self.connections.next()
            let id = try await server.nextRequest().id
            server.answer(
                id, SubscribeResult(spaces: [], errors: [.init(space: SpaceID.fixture.wireText, error: .forbidden)]))
            try await subscribed
        }
    }

    // MARK: - C

    private func pull(_ body: (FakeServer) async throws -> Void) async throws -> DemoReceiver {
        let receiver = DemoReceiver(self.connections.session(.puller), cipher: self.cipher, progress: self.progress)
        async let pulled = {
            var receiver = receiver
            try await receiver.pullAll()
            return receiver
        }()
        try await body(try await self.connections.next())
        return try await pulled
    }

    @Test("C pulls everything from 0 and leaves the records of other runs alone")
    func pullAll() async throws {
        let records = try await self.records(files: 2, offset: 1)
        let foreign = RecordEntry(
            space: nil, id: .random(), blob: ByteBuffer(string: "x"), cursor: 1, dek: nil, deleted: false)
        let receiver = try await self.pull { try await $0.answerPull(since: 0, cursor: 4, [foreign] + records) }
        #expect(receiver.verifier.isComplete)
        #expect(receiver.verifier.counts.foreignRecords == 1)
        #expect(self.progress[.puller].cursor == 4)
        #expect(self.progress[.puller].counts.files == 2)
    }

    @Test("C starts over when its connection is lost in a pull, and counts nothing twice")
    func interruptedPull() async throws {
        let records = try await self.records(files: 2)
        let receiver = try await self.pull { server in
            let id = try await server.nextRequest().id
            var first = records[0]
            first.space = SpaceID.fixture.wireText
            server.chunk(id, .pullRecord, first)
            server.connection.fail()
            let second = try await self.connections.nextAfterFailure()
            try await second.answerPull(since: 0, cursor: 3, records)
        }
        #expect(receiver.verifier.isComplete)
        #expect(receiver.verifier.counts.records == 3)
    }

    @Test("C fails when the end is missing, or its space was left out")
    func incompletePull() async throws {
        let records = try await self.records(files: 2)
        await #expect(throws: DemoError.mismatch(device: "C", .incomplete)) {
            _ = try await self.pull { try await $0.answerPull(since: 0, cursor: 2, Array(records.dropLast())) }
        }
        await #expect(throws: DemoError.notPulled) {
            _ = try await self.pull { server in
                server.answer(try await server.nextRequest().id, ChunkCount(chunks: 0))
            }
        }
    }

    // MARK: - All three

    private func run(_ body: (_ subscriber: FakeServer, _ writer: FakeServer) async throws -> Void) async throws
        -> DemoRun.Result
    {
        try await TemporaryFolder.with { folder in
            let connections = self.connections
            let run = DemoRun(
                cipher: self.cipher, source: try DemoSource(folder: folder.path, cipher: self.cipher),
                progress: self.progress, writer: connections.session(.writer),
                subscriber: connections.session(.subscriber), puller: connections.session(.puller),
                clock: connections.clock)
            async let result = run.run(reportingEvery: .seconds(1_000)) {}
            let subscriber = try await connections.next()
            try await subscriber.answerSubscribe(cursor: 0)
            try await body(subscriber, try await connections.next())
            return try await result
        }
    }

    @Test("B is subscribed before A pushes, and C begins when both are done")
    func wholeRun() async throws {
        let result = try await self.run { subscriber, writer in
            let push = try await writer.nextPush()
            writer.answer(push.id, PushResult.accepted(cursor: 1))
            let change = try #require(push.params.changes.first)
            let record = RecordEntry(
                space: nil, id: try #require(RecordID(wireText: change.id)), blob: change.blob, cursor: 1, dek: nil,
                deleted: false)
            subscriber.sync(prev: 0, cursor: 1, [record])
            try await self.connections.next().answerPull(since: 0, cursor: 1, [record])
        }
        #expect(result.subscriber.verifier.isComplete)
        #expect(result.puller.verifier.isComplete)
        #expect(Set(result.durations.keys) == Set(DemoDevice.allCases))
    }

    @Test("a server that stores everything and notifies nobody is noticed")
    func stall() async throws {
        await #expect(throws: DemoError.stalled(seconds: 60)) {
            _ = try await self.run { _, writer in
                writer.answer(try await writer.nextPush().id, PushResult.accepted(cursor: 1))
                await self.connections.clock.waitForSleeper(of: DemoRun.stallMax)
                self.connections.clock.advance(by: DemoRun.stallMax)
            }
        }
    }
}
