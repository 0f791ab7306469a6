import Benchmark
import Logging
import NIOCore
import ServiceLifecycle
import SyncAuth
import SyncClient
import SyncProtocol
import SyncServer
import SyncTesting

/// A whole server and its clients in this process, over loopback sockets.
func registerSocketBenchmarks() {
    for backend in TestBackend.available {
        registerPushRoundTrip(backend)
        registerPull(backend)
        registerFanout(backend)
    }
}

/// A push of one record of 1 KiB, from the call to the answer.
private func registerPushRoundTrip(_ backend: TestBackend) {
    Benchmark.with("\(backend)_ws_push_roundtrip", fixture: { try await RunningServer.start(backend, devices: 1) }) {
        benchmark, server in
        let push = server.newRecords(1)
        try await benchmark.sample { try await server.push(push) }
    }
}

/// A pull of 2,000 records of 1 KiB.
private func registerPull(_ backend: TestBackend) {
    let fixture: @Sendable () async throws -> RunningServer = {
        let server = try await RunningServer.start(backend, devices: 1)
        try await server.push(server.newRecords(2_000))
        return server
    }
    Benchmark.with("\(backend)_ws_pull_2000", fixture: fixture) { benchmark, server in
        try await benchmark.sample {
            var count = 0
            try await server.devices[0].pull([.init(id: server.space.wireText, since: 0)]) { chunk in
                if case .record = chunk { count += 1 }
            }
            if count != 2_000 { benchmark.error("pulled \(count) records of 2,000") }
        }
    }
}

/// From the call of a push until the last of 100 other devices has its notification.
private func registerFanout(_ backend: TestBackend) {
    Benchmark.with("\(backend)_ws_fanout_latency", fixture: { try await RunningServer.start(backend, devices: 101) }) {
        benchmark, server in
        let push = server.newRecords(1)
        try await benchmark.sample {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for device in server.devices.dropFirst() {
                    group.addTask {
                        guard case .sync = await device.nextEvent() else {
                            throw BenchmarkFailure("a subscriber heard of no push")
                        }
                    }
                }
                try await server.push(push)
                try await group.waitForAll()
            }
        }
    }
}

/// A server on a new database, and devices of one user that are subscribed to the user's space.
private struct RunningServer: BenchmarkFixture {
    let devices: [SyncClient]
    let space: SpaceID
    private let counter = RecordCounter()
    private let group: ServiceGroup
    private let running: Task<Void, any Error>
    private let place: DatabasePlace

    static func start(_ backend: TestBackend, devices count: Int) async throws -> RunningServer {
        let place = try await DatabasePlace.make(backend)
        var configuration = ServerConfiguration()
        configuration.listenAddress = ListenAddress(host: "127.0.0.1", port: 0)
        configuration.database = try DatabaseLocation(place.url)
        configuration.isPerformanceMode = true
        let tokens = StaticTokens()
        var parts = Server.Parts(configuration)
        parts.tokens = tokens
        let (ports, listening) = AsyncStream.makeStream(of: Int.self)
        let server = try await Server.open(
            configuration, parts, logger: silentLogger, onListening: { listening.yield($0.port) })
        let group = server.makeServiceGroup()
        // Owned by the fixture and awaited in `close()`.
        let running = Task {
            defer { listening.finish() }
            try await group.run()
        }
        guard let port = await ports.first(where: { _ in true }) else {
            try await running.value
            throw BenchmarkFailure("the server does not listen")
        }

        let user = Principal.fixture()
        guard let space = user.personalSpace else { throw BenchmarkFailure("the user has no personal space") }
        var devices: [SyncClient] = []
        for _ in 0..<count {
            let url = "ws://127.0.0.1:\(port)/api/v1/ws"
            let device = try await SyncClient.connect(to: url, token: tokens.issue(user))
            _ = try await device.subscribe([.init(id: space.wireText)])
            devices.append(device)
        }
        return RunningServer(devices: devices, space: space, group: group, running: running, place: place)
    }

    func close() async throws {
        for device in self.devices { await device.close() }
        await self.group.triggerGracefulShutdown()
        try await self.running.value
        try await self.place.remove()
    }

    /// Records of 1 KiB that are not there yet.
    func newRecords(_ count: Int) -> PushParams {
        let blob = ByteBuffer(repeating: 7, count: 1_024)
        return PushParams(
            space: self.space.wireText,
            changes: self.counter.next(count).map { number in
                PushParams.Change(id: RecordID.fixtureText(number), blob: blob, expectedCursor: 0, dek: nil)
            })
    }

    /// Pushes over the first device.
    func push(_ params: PushParams) async throws {
        guard case .accepted = try await self.devices[0].push(params) else {
            throw BenchmarkFailure("a push of new records was refused")
        }
    }
}
