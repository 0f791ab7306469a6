import Logging
import SyncAuth
import Synchronization
import Testing

@testable import SyncServer

@Suite("Log of key set fetches")
struct KeySetEventLoggingTests {
    private func lines(of event: KeySetEvent) -> [String] {
        let log = RecordingLog()
        var logger = Logger(label: "test", factory: { _ in log })
        logger.logLevel = .trace
        KeySetEvent.log(to: logger)(event)
        return log.lines
    }

    @Test("A failure is a warning, without the password and the query of the URL")
    func failure() {
        #expect(
            self.lines(
                of: .fetchFailed(
                    url: "https://u:hunter2@h:1/k?key=hunter2", error: HTTPKeySetFetcher.FetchError.status(500)))
                == ["warning key set fetch failed error=status(500) url=https://h:1/k"])
    }

    @Test("A success says what was skipped")
    func success() {
        #expect(
            self.lines(of: .fetched(url: "https://h/k", keyCount: 1, skipped: [.unsupportedKeyType, .notOnCurve]))
                == ["debug key set fetched keys=1 skipped=unsupported key type, not on curve url=https://h/k"])
    }

    @Test(
        "URLs for the log",
        arguments: [
            ("https://h/a@b", "https://h/a@b"), ("https://u@h", "https://h"), ("https://u:p@x@h/", "https://h/"),
            ("nonsense?x", "nonsense"), ("https://h#f", "https://h"),
        ])
    func urls(url: String, expected: String) {
        #expect(AbsoluteURL.withoutUserInfo(url) == expected)
    }
}

private final class RecordingLog: LogHandler {
    private let recorded = Mutex<[String]>([])

    var lines: [String] { self.recorded.withLock { $0 } }

    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }

    subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        let metadata = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
        self.recorded.withLock { $0.append("\(event.level) \(event.message)" + metadata.joined()) }
    }
}
