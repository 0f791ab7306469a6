import Testing

@testable import SyncStorageSQLite

@Suite("Write queue")
struct WriteQueueTests {
    private let start = ContinuousClock.now

    private func add(_ writes: Range<Int>, bytes: Int = 0, to queue: inout WriteQueue<Int>) {
        for write in writes { _ = queue.add(write, bytes: bytes, deadline: self.start + .seconds(30)) }
    }

    @Test("The first write starts the writer, and a write to an idle queue starts it again")
    func starting() {
        var queue = WriteQueue<Int>()
        let deadline = self.start + .seconds(30)
        #expect(queue.add(1, bytes: 0, deadline: deadline) == .start)
        #expect(queue.add(2, bytes: 0, deadline: deadline) == .queued)
        #expect(queue.nextBatch(at: self.start)?.writes == [1, 2])
        #expect(queue.add(3, bytes: 0, deadline: deadline) == .queued)
        #expect(queue.count == 3)
        #expect(queue.nextBatch(at: self.start)?.writes == [3])
        #expect(queue.count == 1)
        #expect(queue.nextBatch(at: self.start) == nil)
        #expect(queue.count == 0)
        #expect(queue.add(4, bytes: 0, deadline: deadline) == .start)
    }

    @Test("W2: a batch is at most 256 writes, in arrival order")
    func batchCount() {
        var queue = WriteQueue<Int>()
        self.add(0..<600, to: &queue)
        #expect(queue.nextBatch(at: self.start)?.writes == Array(0..<256))
        #expect(queue.nextBatch(at: self.start)?.writes == Array(256..<512))
        #expect(queue.nextBatch(at: self.start)?.writes == Array(512..<600))
        #expect(queue.nextBatch(at: self.start) == nil)
    }

    @Test("W2: a batch is at most 8 MiB, unless one write is larger by itself")
    func batchBytes() {
        var queue = WriteQueue<Int>()
        self.add(0..<5, bytes: 3 << 20, to: &queue)
        self.add(5..<6, bytes: 20 << 20, to: &queue)
        self.add(6..<7, bytes: 8 << 20, to: &queue)
        self.add(7..<8, bytes: 1, to: &queue)
        var batches: [[Int]] = []
        while let batch = queue.nextBatch(at: self.start) { batches.append(batch.writes) }
        #expect(batches == [[0, 1], [2, 3], [4], [5], [6], [7]])
    }

    @Test("Writes beyond the queue's room wait outside and enter in their order")
    func admission() {
        var queue = WriteQueue<Int>()
        self.add(0..<10_000, to: &queue)
        #expect(queue.count == 10_000)
        var seen: [Int] = []
        while let batch = queue.nextBatch(at: self.start) {
            #expect(batch.writes.count <= 256)
            seen += batch.writes
        }
        #expect(seen == Array(0..<10_000))
    }

    @Test("A small write does not overtake a large one that waits for room")
    func noOvertaking() {
        var queue = WriteQueue<Int>()
        self.add(0..<1, bytes: 60 << 20, to: &queue)
        self.add(1..<2, bytes: 60 << 20, to: &queue)
        self.add(2..<4, bytes: 1, to: &queue)
        var batches: [[Int]] = []
        while let batch = queue.nextBatch(at: self.start) { batches.append(batch.writes) }
        #expect(batches == [[0], [1], [2, 3]])
    }

    @Test("A write that has waited for longer than it may is not begun")
    func expiry() {
        var queue = WriteQueue<Int>()
        _ = queue.add(1, bytes: 0, deadline: self.start + .seconds(1))
        _ = queue.add(2, bytes: 0, deadline: self.start + .seconds(5))
        let batch = queue.nextBatch(at: self.start + .seconds(3))
        #expect(batch?.expired == [1] && batch?.writes == [2])
        _ = queue.add(3, bytes: 0, deadline: self.start + .seconds(6))
        let last = queue.nextBatch(at: self.start + .seconds(7))
        #expect(last?.expired == [3] && last?.writes == [])
        #expect(queue.nextBatch(at: self.start) == nil)
    }

    @Test("A closed queue refuses writes and finishes those it has")
    func closing() {
        var queue = WriteQueue<Int>()
        self.add(0..<3, to: &queue)
        let isIdle = queue.close()
        #expect(isIdle == false)
        let admission = queue.add(3, bytes: 0, deadline: self.start + .seconds(30))
        #expect(admission == .refused)
        #expect(queue.nextBatch(at: self.start)?.writes == [0, 1, 2])
        #expect(queue.nextBatch(at: self.start) == nil)
        let isIdleAtLast = queue.close()
        #expect(isIdleAtLast)
    }

    @Test("A checkpoint is due after so many pages, and again after as many more")
    func checkpoints() {
        let limit = SQLiteLimits.checkpointPages
        var plan = CheckpointPlan()
        let due = [limit - 1, 1, 10].map { plan.wrote(pages: $0) }
        #expect(due == [false, true, true])
        plan.ran(isBlocked: true)
        #expect(plan.isBlocked)
        let dueAgain = [10, limit].map { plan.wrote(pages: $0) }
        #expect(dueAgain == [false, true])
        plan.ran(isBlocked: false)
        #expect(plan.isBlocked == false)
    }
}
