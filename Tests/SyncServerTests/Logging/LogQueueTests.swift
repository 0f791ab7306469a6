import Foundation
import Glibc
import Logging
import Testing

@testable import SyncServer

/// docs/contract/operations.md §11.
@Suite("Log queue", .timeLimit(.minutes(1)))
struct LogQueueTests {
    @Test("Lines reach a slow reader whole and in order, however long they are", arguments: [false, true])
    func order(isNonBlocking: Bool) throws {
        let pipe = try Pipe(isNonBlocking: isNonBlocking)
        let queue = pipe.makeQueue()
        let lines = (0..<2_000).map { number in
            "\(number) " + String(repeating: "x", count: number % 100 == 0 ? 10_000 : 40) + "\n"
        }
        for line in lines { queue.append(line) }
        #expect(pipe.read(until: "1999 ") == lines.joined())
        #expect(queue.flush(within: .seconds(30)))
        #expect(queue.droppedCount == 0)
    }

    @Test("What does not fit is dropped, counted, and told of in its place as soon as there is room")
    func bound() throws {
        let pipe = try Pipe()
        let bytesMax = 16_384
        let queue = pipe.makeQueue(bytesMax: bytesMax)
        let count = 1_000
        let lines = (0..<count).map { "\($0)" + String(repeating: "y", count: 100) + "\n" }
        for line in lines { queue.append(line) }
        let dropped = Int(queue.droppedCount)
        let keptBytes = lines.prefix(count - dropped).joined().utf8.count
        #expect(dropped > 0)
        #expect(keptBytes <= bytesMax + Pipe.capacity)
        #expect(!queue.flush(within: .milliseconds(10)))

        // Nobody has to log for this.
        let read = pipe.read(until: "dropped")
        #expect(read == lines.prefix(count - dropped).joined() + "dropped \(dropped)\n")
        queue.append("afterwards\n")
        #expect(pipe.read(until: "afterwards") == "afterwards\n")
        #expect(queue.flush(within: .seconds(30)))
        #expect(queue.droppedCount == dropped)
    }

    @Test("A line that is longer than the queue is dropped, and waited for by no flush")
    func longLine() throws {
        let pipe = try Pipe()
        let queue = pipe.makeQueue(bytesMax: 1_000)
        queue.append(String(repeating: "z", count: 1_000) + "\n")
        #expect(queue.flush(within: .seconds(30)))
        queue.append("short\n")
        #expect(pipe.read(until: "short") == "dropped 1\nshort\n")
    }

    @Test("Lines that the system does not take are counted, and the queue goes on")
    func refusedWrites() throws {
        let descriptor = open("/dev/full", O_WRONLY)
        try #require(descriptor >= 0)
        let queue = LogQueue(to: descriptor) { "dropped \($0)\n" }
        for _ in 0..<10 {
            queue.append("lost\n")
            #expect(queue.flush(within: .seconds(30)))
        }
        #expect(queue.droppedCount == 10)
    }

    @Test("Many who log at once lose nothing", .timeLimit(.minutes(1)))
    func concurrency() async throws {
        let pipe = try Pipe()
        let queue = pipe.makeQueue()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask { for number in 0..<500 { queue.append("\(task) \(number)\n") } }
            }
        }
        queue.append("end\n")
        let lines = pipe.read(until: "end").split(separator: "\n")
        #expect(lines.count == 4_001)
        for task in 0..<8 {
            let own = lines.filter { $0.hasPrefix("\(task) ") }
            #expect(own == (0..<500).map { "\(task) \($0)" })
        }
    }

    @Test("The line that tells of dropped ones is in the format of the log", arguments: [LogFormat.json, .text])
    func notice(format: LogFormat) throws {
        let pipe = try Pipe()
        let log = ServerLog(level: .info, format: format, to: pipe.input)
        log.logger.info("\(String(repeating: "w", count: LogQueue.bytesMax))")
        log.logger.info("after")
        let lines = pipe.read(until: "after").split(separator: "\n")
        let wanted =
            format == .json
            ? #","level":"warning","message":"log lines dropped","count":"1"}"# : "warning less-sync: count=1 "
        #expect(lines.count == 2)
        #expect(lines.first?.contains(wanted) == true, "\(lines)")
    }
}

/// A pipe of the smallest size. It stays open: the thread of the queue has no end.
private struct Pipe {
    static let capacity = 4_096
    /// `F_SETPIPE_SZ` of Linux.
    private static let setCapacity: Int32 = 1_031

    let output: Int32
    let input: Int32

    struct NotMade: Error {}

    init(isNonBlocking: Bool = false) throws {
        var descriptors: [Int32] = [-1, -1]
        guard pipe(&descriptors) == 0, fcntl(descriptors[1], Self.setCapacity, Int32(Self.capacity)) >= 0 else {
            throw NotMade()
        }
        self.output = descriptors[0]
        self.input = descriptors[1]
        if isNonBlocking { _ = fcntl(self.input, F_SETFL, O_NONBLOCK) }
    }

    func makeQueue(bytesMax: Int = LogQueue.bytesMax) -> LogQueue {
        LogQueue(to: self.input, bytesMax: bytesMax) { "dropped \($0)\n" }
    }

    /// Everything up to the end of the line that has `text`.
    func read(until text: String) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: Self.capacity)
        let wanted = Array(text.utf8)
        while true {
            let count = Glibc.read(self.output, &buffer, buffer.count)
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer.prefix(count)
            let tail = bytes.suffix(2 * Self.capacity)
            if bytes.last == UInt8(ascii: "\n"), tail.firstRange(of: wanted) != nil {
                return String(decoding: bytes, as: UTF8.self)
            }
        }
    }
}
