import SyncProtocol

/// A device's way to the server: opens connections, and says how long to wait after one was lost.
struct DemoSession: Sendable {
    typealias Connect = @Sendable () async throws(SyncClientError) -> SyncClient

    /// Attempts in a row that may fail before the device gives up.
    static let attemptsMax = 6

    let device: DemoDevice
    let space: SpaceID
    let connect: Connect
    let clock: any Clock<Duration>

    private var failures = 0

    init(device: DemoDevice, space: SpaceID, clock: any Clock<Duration>, connect: @escaping Connect) {
        self.device = device
        self.space = space
        self.clock = clock
        self.connect = connect
    }

    mutating func succeeded() { self.failures = 0 }

    /// Returns when the device may try again.
    ///
    /// - Throws: When it must not, or has tried often enough.
    mutating func failed(_ error: any Error) async throws {
        guard let error = error as? SyncClientError else { throw error }
        self.failures += 1
        guard Self.isTemporary(error), self.failures < Self.attemptsMax else {
            throw DemoError.connection(device: self.device.rawValue, error)
        }
        try await self.clock.sleep(for: Self.delay(afterFailures: self.failures))
    }

    /// 100 ms, then twice as long each time.
    static func delay(afterFailures failures: Int) -> Duration {
        .milliseconds(50 << min(max(failures, 1), 7))
    }

    static func isTemporary(_ error: SyncClientError) -> Bool {
        switch error {
        case .unreachable, .timedOut: true
        // What is wrong with a token, or with the number of connections, stays so.
        case .disconnected(let close): close?.code != 4000 && close?.code != 4003
        default: false
        }
    }
}

/// The three devices of one user.
enum DemoDevice: String, CaseIterable, Sendable {
    case writer = "A"
    case subscriber = "B"
    case puller = "C"

    var task: String {
        switch self {
        case .writer: "pushes"
        case .subscriber: "receives live"
        case .puller: "pulls from 0"
        }
    }
}
