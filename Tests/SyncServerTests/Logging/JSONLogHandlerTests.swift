import FoundationEssentials
import Logging
import SyncServer
import Synchronization
import Testing

@Suite("JSON log")
struct JSONLogHandlerTests {
    @Test("operations §11: an event is one line of JSON, whatever its text holds")
    func line() {
        let shared = Lines()
        var logger = Logger(label: "test") { _ in
            JSONLogHandler(now: { Date(timeIntervalSince1970: 0) }, write: { shared.add($0) })
        }
        logger.logLevel = .debug
        logger[metadataKey: "b"] = "own"
        logger[metadataKey: "c"] = "kept"
        logger.info("a \"quoted\"\nline\u{1}", metadata: ["b": "given", "a": "\\"])
        logger.trace("not written")
        #expect(
            shared.all == [
                #"{"time":"1970-01-01T00:00:00.000Z","level":"info","message":"a \"quoted\"\nline\u0001","#
                    + #""a":"\\","b":"given","c":"kept"}"# + "\n"
            ])
        #expect(logger[metadataKey: "b"] == "own")
    }
}

private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])

    func add(_ line: String) { self.lines.withLock { $0.append(line) } }

    var all: [String] { self.lines.withLock { $0 } }
}
