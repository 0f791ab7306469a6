import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncStoragePostgres

@Suite("Push scheduler")
struct PushSchedulerTests {
    private typealias Scheduler = PushScheduler<String>

    private let now = ContinuousClock.now
    private let first = SpaceID.random()
    private let second = SpaceID.random()
    private let third = SpaceID.random()

    /// Named after its record, which is new.
    private func entry(
        _ number: Int, _ space: SpaceID, blobBytes: Int = 1, changes: Int = 1, waits: Duration = .seconds(30)
    ) throws -> Scheduler.Entry {
        let list = (0..<changes).map { index in
            PushParams.Change(
                id: RecordID.fixtureText(number + index), blob: ByteBuffer(repeating: 0, count: blobBytes),
                expectedCursor: 0, dek: nil)
        }
        let push = Push(space: space, changes: try ChangeSet(validating: list, limits: PushLimits()))
        return Scheduler.Entry(push, deadline: self.now + waits, waiter: "\(number)")
    }

    private func names(_ batches: [Scheduler.Batch]) -> [[String]] {
        batches.map { $0.entries.map(\.waiter) }
    }

    private func other(_ name: String, _ space: SpaceID) -> Scheduler.Entry {
        Scheduler.Entry(in: space, bytes: 1, deadline: self.now + .seconds(30), waiter: name) {}
    }

    @Test("W3: a write that is no push waits for its turn in its space and is a batch by itself")
    func otherWrite() throws {
        var scheduler = Scheduler(writers: 4)
        let running = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        #expect(scheduler.add(try self.entry(2, self.first), at: self.now).isEmpty)
        for name in ["a", "b"] { #expect(scheduler.add(self.other(name, self.first), at: self.now).isEmpty) }
        for number in [3, 4] { #expect(scheduler.add(try self.entry(number, self.first), at: self.now).isEmpty) }
        var batches = scheduler.finished(running, at: self.now)
        for expected in [["2"], ["a"], ["b"], ["3", "4"]] {
            #expect(self.names(batches) == [expected])
            batches = scheduler.finished(try #require(batches.first), at: self.now)
        }
        #expect(batches.isEmpty && scheduler.isIdle)
    }

    @Test("W2: a batch of several spaces has no other write among its pushes, and such a write no company")
    func otherWriteOfSeveralSpaces() throws {
        var scheduler = Scheduler(writers: 1)
        let running = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        for entry in [
            try self.entry(2, self.second), self.other("a", self.third), try self.entry(3, self.first),
            self.other("b", self.second),
        ] { #expect(scheduler.add(entry, at: self.now).isEmpty) }
        var batches = scheduler.finished(running, at: self.now)
        for expected in [["2"], ["a"], ["3"], ["b"]] {
            #expect(self.names(batches) == [expected])
            batches = scheduler.finished(try #require(batches.first), at: self.now)
        }
        #expect(batches.isEmpty && scheduler.isIdle)
    }

    @Test("W2: a push that comes alone starts at once")
    func alone() throws {
        var scheduler = Scheduler(writers: 2)
        #expect(scheduler.isIdle)
        let batches = scheduler.add(try self.entry(1, self.first), at: self.now)
        #expect(self.names(batches) == [["1"]])
        #expect(!scheduler.isIdle && scheduler.count == 1)
        #expect(scheduler.finished(try #require(batches.first), at: self.now).isEmpty)
        #expect(scheduler.isIdle && scheduler.count == 0)
    }

    @Test("W2: while a space is in flight its pushes wait, although writers are free, and then go together")
    func oneInFlight() throws {
        var scheduler = Scheduler(writers: 4)
        let running = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        for number in 2...4 {
            #expect(scheduler.add(try self.entry(number, self.first), at: self.now).isEmpty)
        }
        #expect(self.names(scheduler.finished(running, at: self.now)) == [["2", "3", "4"]])
        #expect(scheduler.count == 3)
    }

    @Test("W2: spaces have writers of their own as long as there are enough")
    func separateWriters() throws {
        var scheduler = Scheduler(writers: 2)
        let one = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        let two = scheduler.add(try self.entry(2, self.second), at: self.now)
        #expect(self.names(two) == [["2"]])
        #expect(scheduler.add(try self.entry(3, self.first), at: self.now).isEmpty)
        #expect(self.names(scheduler.finished(one, at: self.now)) == [["3"]])
    }

    @Test("W2: when all writers are busy the next free one takes pushes of several spaces, in the order of the spaces")
    func severalSpaces() throws {
        var scheduler = Scheduler(writers: 1)
        let running = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        for (number, space) in [(2, self.second), (3, self.third), (4, self.second), (5, self.first)] {
            #expect(scheduler.add(try self.entry(number, space), at: self.now).isEmpty)
        }
        let next = scheduler.finished(running, at: self.now)
        #expect(self.names(next) == [["2", "4", "3", "5"]])
        #expect(scheduler.finished(try #require(next.first), at: self.now).isEmpty)
        #expect(scheduler.isIdle)
    }

    @Test("W2: a batch of several spaces leaves work for every writer that is free")
    func allWritersWork() throws {
        var scheduler = Scheduler(writers: 2)
        let one = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        let two = try #require(scheduler.add(try self.entry(2, self.second), at: self.now).first)
        // Both spaces go into one batch …
        _ = scheduler.add(try self.entry(3, self.third), at: self.now)
        _ = scheduler.add(try self.entry(4, self.first), at: self.now)
        let both = scheduler.finished(one, at: self.now)
        #expect(self.names(both) == [["3", "4"]])
        // … and have one writer each when they go on.
        #expect(scheduler.finished(two, at: self.now).isEmpty)
        _ = scheduler.add(try self.entry(5, self.third), at: self.now)
        _ = scheduler.add(try self.entry(6, self.first), at: self.now)
        let apart = scheduler.finished(try #require(both.first), at: self.now)
        #expect(Set(self.names(apart)) == [["5"], ["6"]])
    }

    @Test("W2: a batch has 256 pushes at most")
    func countLimit() throws {
        var scheduler = Scheduler(writers: 1)
        let running = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        for number in 2...300 { _ = scheduler.add(try self.entry(number, self.first), at: self.now) }
        let next = scheduler.finished(running, at: self.now)
        #expect(next.map(\.entries.count) == [256])
        #expect(self.names(scheduler.finished(try #require(next.first), at: self.now)).map(\.count) == [43])
    }

    @Test("W2: a batch has 8 MiB at most; a larger push goes alone")
    func byteLimit() throws {
        var scheduler = Scheduler(writers: 1)
        let running = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        let mebibyte = 1_048_576
        for (number, size) in [(2, 5), (3, 2), (4, 2)] {
            _ = scheduler.add(try self.entry(number, self.first, blobBytes: size * mebibyte), at: self.now)
        }
        _ = scheduler.add(
            try self.entry(5, self.second, blobBytes: 3 * mebibyte, changes: 4), at: self.now)
        let next = scheduler.finished(running, at: self.now)
        #expect(self.names(next) == [["5"]])
        let two = scheduler.finished(try #require(next.first), at: self.now)
        #expect(self.names(two) == [["2", "3"]])
        #expect(self.names(scheduler.finished(try #require(two.first), at: self.now)) == [["4"]])
    }

    @Test("W2: many changes without a byte are no small batch")
    func overhead() throws {
        var scheduler = Scheduler(writers: 1)
        let running = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        for number in 1...2 {
            let entry = try self.entry(number * 100_000, self.first, blobBytes: 0, changes: 100_000)
            _ = scheduler.add(entry, at: self.now)
        }
        #expect(self.names(scheduler.finished(running, at: self.now)) == [["100000"]])
    }

    @Test("W2: pushes to one record do not share a transaction; their order stays")
    func sameRecord() throws {
        var scheduler = Scheduler(writers: 1)
        let running = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        for number in [7, 8, 7, 9] { _ = scheduler.add(try self.entry(number, self.first), at: self.now) }
        let next = scheduler.finished(running, at: self.now)
        #expect(self.names(next) == [["7", "8"]])
        #expect(self.names(scheduler.finished(try #require(next.first), at: self.now)) == [["7", "9"]])
    }

    @Test("W2: the same record id in two spaces is two records")
    func sameIDElsewhere() throws {
        var scheduler = Scheduler(writers: 1)
        let running = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        for space in [self.second, self.third] { _ = scheduler.add(try self.entry(7, space), at: self.now) }
        #expect(self.names(scheduler.finished(running, at: self.now)) == [["7", "7"]])
    }

    @Test("A push that has waited longer than it may is given up, in its turn")
    func expiry() throws {
        var scheduler = Scheduler(writers: 1)
        let running = try #require(scheduler.add(try self.entry(1, self.first), at: self.now).first)
        _ = scheduler.add(try self.entry(2, self.first, waits: .seconds(1)), at: self.now)
        _ = scheduler.add(try self.entry(3, self.first, waits: .seconds(3)), at: self.now)
        let next = scheduler.finished(running, at: self.now + .seconds(2))
        #expect(self.names(next) == [["3"]])
        #expect(next.first?.expired.map(\.waiter) == ["2"])
        #expect(scheduler.finished(try #require(next.first), at: self.now).isEmpty)
        #expect(scheduler.isIdle)
    }

    @Test("The queue is bounded: further pushes wait outside, in the order of arrival")
    func admission() throws {
        var scheduler = Scheduler(writers: 1)
        let mebibyte = 1_048_576
        var running = try #require(scheduler.add(try self.entry(0, self.first), at: self.now).first)
        // Each 4 MiB: sixteen do not quite fit into 64 MiB. What comes after the fifteenth waits, small as it is.
        for number in 1...20 {
            _ = scheduler.add(try self.entry(number, self.first, blobBytes: 4 * mebibyte), at: self.now)
        }
        _ = scheduler.add(try self.entry(21, self.second), at: self.now)
        #expect(scheduler.count == 22)
        running = try #require(scheduler.finished(running, at: self.now).first)
        #expect(running.entries.map(\.waiter) == ["1"])
        var order: [[String]] = []
        while let next = scheduler.finished(running, at: self.now).first {
            order.append(next.entries.map(\.waiter))
            running = next
        }
        // The second space was let in after the twentieth push of the first, when the fifth had been reported.
        #expect(order.prefix(5) == [["2"], ["3"], ["4"], ["5"], ["6", "21"]])
        #expect(order.dropFirst(5) == (7...20).map { ["\($0)"] }[...])
        #expect(scheduler.isIdle && scheduler.count == 0)
    }

    @Test("The queue takes 4,096 pushes: those beyond wait outside, whatever their space")
    func admissionByCount() throws {
        var scheduler = Scheduler(writers: 1)
        var batch = try #require(scheduler.add(try self.entry(0, self.first), at: self.now).first)
        for number in 1...5_000 { _ = scheduler.add(try self.entry(number, self.second), at: self.now) }
        _ = scheduler.add(try self.entry(5_001, self.third), at: self.now)
        var seen: [String] = []
        while let next = scheduler.finished(batch, at: self.now).first {
            seen += next.entries.map(\.waiter)
            batch = next
        }
        // Had it been let in at once, it would have gone with the second batch. It waited until 905 had been reported.
        let place = try #require(seen.firstIndex(of: "5001"))
        #expect((905..<2_048).contains(place))
        #expect(seen.filter { $0 != "5001" } == (1...5_000).map { "\($0)" })
        #expect(scheduler.isIdle)
    }

    @Test("W3: a space is never in two transactions at once, and its pushes are reported in the order of their arrival")
    func oneAtATime() throws {
        var random = SystemRandomNumberGenerator()
        var scheduler = Scheduler(writers: 3)
        var running: [Scheduler.Batch] = []
        var reported: [SpaceID: [Int]] = [:]
        func start(_ batches: [Scheduler.Batch]) {
            for batch in batches {
                let busy = Set(running.flatMap(\.entries).map(\.space))
                #expect(busy.isDisjoint(with: batch.entries.map(\.space)))
                running.append(batch)
            }
            #expect(running.count <= 3)
        }
        func finishOne() {
            let batch = running.remove(at: Int.random(in: 0..<running.count, using: &random))
            for entry in batch.entries { reported[entry.space, default: []].append(Int(entry.waiter) ?? -1) }
            start(scheduler.finished(batch, at: self.now))
        }
        for number in 0..<2_000 {
            let space = SpaceID(bits: UInt128.random(in: 0..<8, using: &random))
            let change = PushParams.Change.fixture(Int.random(in: 0..<50, using: &random))
            let push = Push(space: space, changes: try ChangeSet(validating: [change], limits: PushLimits()))
            start(
                scheduler.add(
                    Scheduler.Entry(push, deadline: self.now + .seconds(30), waiter: "\(number)"), at: self.now))
            if !running.isEmpty, Bool.random(using: &random) { finishOne() }
        }
        while !running.isEmpty { finishOne() }
        #expect(scheduler.isIdle && scheduler.count == 0)
        #expect(reported.values.reduce(0) { $0 + $1.count } == 2_000)
        for order in reported.values { #expect(order == order.sorted()) }
    }
}
