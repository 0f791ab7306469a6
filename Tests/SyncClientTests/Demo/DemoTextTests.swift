import SyncProtocol
import Testing

@testable import SyncClient

@Suite("Demo texts")
struct DemoTextTests {
    @Test("paths cannot steer a terminal")
    func paths() {
        #expect(DisplayText.path("ä b/c") == #""ä b/c""#)
        #expect(DisplayText.path("a\u{1B}[2J\n\"\\") == #""a\x1b[2J\x0a\x22\x5c""#)
        #expect(DisplayText.path("\u{202E}a\u{85}") == #""\xe2\x80\xaea\xc2\x85""#)
        #expect(DisplayText.path(bytes: [0x61, 0xC3, 0x28, 0xF0, 0x9F]) == #""a\xc3(\xf0\x9f""#)
    }

    @Test("numbers")
    func numbers() {
        #expect(DisplayText.grouped(0) == "0")
        #expect(DisplayText.grouped(999) == "999")
        #expect(DisplayText.grouped(1_234_567) == "1,234,567")
        #expect(DisplayText.grouped(.min) == "-9,223,372,036,854,775,808")
        #expect(DisplayText.fixed(1.005, digits: 1) == "1.0")
        #expect(DisplayText.fixed(12.06, digits: 2) == "12.06")
        #expect(DisplayText.fixed(-0.5, digits: 1) == "-0.5")
        #expect(DisplayText.fixed(.infinity, digits: 1) == "–")
        #expect(DisplayText.bytes(999) == "999 B")
        #expect(DisplayText.bytes(1_500) == "1.5 kB")
        #expect(DisplayText.bytes(123_456_789) == "123 MB")
        #expect(DisplayText.bytes(999_999_999) == "1.0 GB")
        #expect(DisplayText.bytes(.max) == "9223372 TB")
    }

    @Test("progress shows each device that has begun")
    func progress() {
        let progress = DemoProgress()
        #expect(progress.line(total: 1_000) == "A –   B –   C –   0 B of 1.0 kB sent")
        progress.add(DemoCounts(records: 1, fileBytes: 500), cursor: 1, .writer)
        progress.add(DemoCounts(records: 1, fileBytes: 500), cursor: 2, .writer)
        progress.set(DemoCounts(records: 1, fileBytes: 999), cursor: 1, .subscriber)
        #expect(progress.line(total: 1_000) == "A 100 %   B 99 %   C –   1.0 kB of 1.0 kB sent")
        #expect(progress[.writer].cursor == 2)
        #expect(progress[.writer].counts.records == 2)
    }

    @Test("the table lines up")
    func table() {
        let report = DemoReport(
            rows: [
                .init(device: "A", task: "pushes", records: 1_234, bytes: 5_000_000, cursor: 20, seconds: 2),
                .init(device: "B", task: "receives live", records: 1_234, bytes: 5_000_000, cursor: 20, seconds: 0),
            ],
            user: "u", space: "s", files: 1, liveRecords: 1_200, catchUps: 1, foreignRecords: 2, skipped: ["x"],
            changed: ["y"])
        #expect(
            report.text == """
                device                 records      bytes  cursor  seconds  MB/s
                A       pushes           1,234  5,000,000      20     2.00   2.5
                B       receives live    1,234  5,000,000      20     0.00     –

                User "u", space s.
                1 file verified by SHA-256 on B and on C; B received 1,200 records live and pulled 1 time to catch up.
                2 records of other runs left alone.
                skipped: x
                failed: y

                """)
        #expect(!report.isComplete)
    }

    @Test("addresses of servers")
    func endpoints() throws {
        #expect(try DemoEndpoint("http://127.0.0.1:5379/").tokens == "http://127.0.0.1:5379/dev/token")
        #expect(try DemoEndpoint("https://a.example/sync").sockets == "https://a.example/sync/api/v1/ws")
        for url in ["", "127.0.0.1:5379", "ws://a", "http://", "http://a/?b", "file:///a"] {
            #expect(throws: DemoError.invalidURL(url)) { try DemoEndpoint(url) }
        }
    }

    @Test("only what may pass by itself is tried again, and each time later")
    func retries() {
        #expect(DemoSession.isTemporary(.disconnected(nil)))
        #expect(DemoSession.isTemporary(.disconnected(.slowConsumer)))
        #expect(DemoSession.isTemporary(.disconnected(.goingAway)))
        #expect(DemoSession.isTemporary(.timedOut))
        #expect(!DemoSession.isTemporary(.disconnected(.authFailed("expired auth token"))))
        #expect(!DemoSession.isTemporary(.disconnected(.tooManyConnections)))
        #expect(!DemoSession.isTemporary(.protocolViolation("x")))
        #expect(!DemoSession.isTemporary(.refused(code: "internal", message: "internal")))
        #expect(DemoSession.delay(afterFailures: 1) == .milliseconds(100))
        #expect(DemoSession.delay(afterFailures: 2) == .milliseconds(200))
        #expect(DemoSession.delay(afterFailures: 100) == .milliseconds(6_400))
    }
}
