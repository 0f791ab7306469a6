import DequeModule
import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Order of a space across processes")
struct SpaceSequenceTests {
    typealias Notice = SpaceSequence.Notice

    private func notice(_ cursor: Int64, bytes: Int = 1) -> Notice {
        Notice(cursor: cursor, content: .frame(ByteBuffer(repeating: 0, count: bytes)), sender: nil)
    }

    /// Watched by somebody who knows everything up to `cursor`.
    private func watched(at cursor: Int64) -> SpaceSequence {
        var sequence = SpaceSequence()
        sequence.openingBegins()
        _ = sequence.openingEnds(at: cursor)
        return sequence
    }

    @Test("Row 5: commits of this process that follow each other go out at once")
    func own() {
        var sequence = self.watched(at: 5)
        for cursor in 6...9 as ClosedRange<Int64> {
            sequence.writeBegins()
            #expect(sequence.committed(self.notice(cursor)) == .publish)
            #expect(sequence.writeEnds() == false)
        }
        #expect(sequence.told == 9 && sequence.isIdle)
    }

    @Test("A space that nobody watches keeps nothing")
    func unwatched() {
        var sequence = SpaceSequence()
        sequence.writeBegins()
        #expect(sequence.committed(self.notice(7)) == .publish)
        #expect(sequence.announced(9) == false)
        #expect(sequence.writeEnds() == false)
        #expect(sequence.isIdle && sequence.told == nil)
    }

    @Test("An announced cursor is read up to itself, once")
    func announced() {
        var sequence = self.watched(at: 5)
        #expect(sequence.announced(8) == true)
        #expect(sequence.announced(7) == false)
        #expect(sequence.nextStep() == .read(after: 5, through: 8, isAwaited: false))
        sequence.didRead(through: 8, of: 8)
        #expect(sequence.nextStep() == .rest)
        #expect(sequence.announced(8) == false)
        #expect(sequence.isIdle)
    }

    @Test("What is announced beyond the cursor of the space was never committed, and does not outlive its reading")
    func announcedWrongly() {
        var sequence = self.watched(at: 5)
        #expect(sequence.announced(.max) == true)
        #expect(sequence.nextStep() == .read(after: 5, through: .max, isAwaited: false))
        sequence.didRead(through: .max, of: 7)
        #expect(sequence.nextStep() == .rest)
        #expect(sequence.told == 7 && sequence.isIdle)
        #expect(sequence.committed(self.notice(8)) == .publish)
        #expect(sequence.announced(9) == true)
        #expect(sequence.nextStep() == .read(after: 8, through: 9, isAwaited: false))
        // Announced while the step was under way: nobody knows yet whether it is true.
        #expect(sequence.announced(11) == false)
        sequence.didRead(through: 9, of: 9)
        #expect(sequence.nextStep() == .read(after: 9, through: 11, isAwaited: false))
    }

    @Test("The highest cursor of all leaves no room for another, and breaks nothing")
    func highestCursor() {
        var sequence = self.watched(at: .max)
        #expect(sequence.committed(self.notice(8)) == .publish)
        sequence.didRead(through: .max, of: nil)
        #expect(sequence.told == .max)
        #expect(sequence.nextStep() == .rest)
    }

    @Test("While a write of this process is in progress, announced cursors wait: one of them may be its own")
    func announcedDuringWrite() {
        var sequence = self.watched(at: 5)
        sequence.writeBegins()
        #expect(sequence.announced(7) == false)
        #expect(sequence.committed(self.notice(6)) == .publish)
        #expect(sequence.writeEnds() == true)
        #expect(sequence.nextStep() == .read(after: 6, through: 7, isAwaited: false))
    }

    @Test("A commit of this process waits for what others have committed before it")
    func gap() {
        var sequence = self.watched(at: 5)
        sequence.writeBegins()
        #expect(sequence.committed(self.notice(8)) == .startWork)
        #expect(sequence.committed(self.notice(9)) == .keep)
        #expect(sequence.nextStep() == .read(after: 5, through: 7, isAwaited: true))
        #expect(sequence.committed(self.notice(11)) == .keep)
        sequence.didRead(through: 7, of: 7)
        #expect(sequence.nextStep() == .publish([self.notice(8), self.notice(9)]))
        #expect(sequence.nextStep() == .read(after: 9, through: 10, isAwaited: true))
        sequence.didRead(through: 10, of: 10)
        #expect(sequence.nextStep() == .publish([self.notice(11)]))
        #expect(sequence.nextStep() == .rest)
        #expect(sequence.writeEnds() == false)
        #expect(sequence.told == 11 && sequence.isIdle)
    }

    @Test("What is committed while a subscription opens waits until it is known what the subscriber knows")
    func opening() {
        var sequence = SpaceSequence()
        sequence.openingBegins()
        sequence.writeBegins()
        #expect(sequence.committed(self.notice(7)) == .keep)
        #expect(sequence.writeEnds() == false)
        #expect(sequence.openingEnds(at: 5) == true)
        #expect(sequence.nextStep() == .read(after: 5, through: 6, isAwaited: true))
        sequence.didRead(through: 6, of: 6)
        #expect(sequence.nextStep() == .publish([self.notice(7)]))
    }

    @Test("A subscription that comes to nothing leaves nothing behind")
    func failedOpening() {
        var sequence = SpaceSequence()
        sequence.openingBegins()
        #expect(sequence.committed(self.notice(7)) == .keep)
        #expect(sequence.openingEnds(at: nil) == true)
        #expect(sequence.nextStep() == .publish([self.notice(7)]))
        #expect(sequence.nextStep() == .rest)
        #expect(sequence.isIdle && sequence.told == nil)
    }

    @Test("Too many notifications, or bytes, become a word to pull", arguments: [(300, 1), (3, 2_000_000)])
    func overflow(count: Int, bytes: Int) {
        var sequence = self.watched(at: 5)
        sequence.writeBegins()
        for number in 0..<count { _ = sequence.committed(self.notice(Int64(10 + number), bytes: bytes)) }
        let first: SpaceSequence.Step = sequence.nextStep()
        guard case .publish(let notices) = first else {
            Issue.record("\(first)")
            return
        }
        #expect(notices.first?.content == .nudge)
        #expect(notices.last?.cursor == Int64(9 + count))
        #expect(notices.count < count)
        #expect(sequence.nextStep() == .rest)
    }

    @Test(
        "Whatever comes when: subscribers are told of every cursor once, in order, and nothing is taken for another's")
    func anyInterleaving() {
        for seed in 0..<2_000 as Range<UInt64> {
            var world = World(seed: seed)
            for _ in 0..<60 { world.act() }
            world.settle()
            #expect(world.problems == [], "seed \(seed)")
        }
    }
}

/// One space in a database, this process and another one.
private struct World {
    private var random: SeededRandom
    private var sequence = SpaceSequence()
    private(set) var problems: [String] = []

    private var cursor: Int64 = 0
    private var own: Set<Int64> = []
    private var writesBegun = 0
    /// Committed by this process and not reported yet.
    private var unreported: Deque<Int64> = []
    private var reported = 0
    private var announcements: [Int64] = []
    private var isWorking = false
    private var read: (after: Int64, through: Int64)?
    /// The cursor that the subscriber was answered, when it has been read.
    private var answer: Int64?
    private var isOpen = false
    private var told: [Int64] = []

    init(seed: UInt64) {
        self.random = SeededRandom(seed: seed)
        for _ in 0..<Int.random(in: 0..<4, using: &self.random) { self.commitOther() }
        self.announcements = []
        self.sequence.openingBegins()
    }

    mutating func act() {
        switch Int.random(in: 0..<11, using: &self.random) {
        case 0, 1:
            self.sequence.writeBegins()
            self.writesBegun += 1
        case 2:
            // Storage writes a space in one transaction at a time, and reports all of it before the next.
            guard self.unreported.isEmpty, self.reported == 0 else { return }
            for _ in 0..<Int.random(in: 0...self.writesBegun, using: &self.random) {
                self.cursor += 1
                self.own.insert(self.cursor)
                self.unreported.append(self.cursor)
                self.writesBegun -= 1
            }
        case 3, 4: self.report()
        case 5:
            guard self.reported > 0 else { return }
            self.reported -= 1
            if self.sequence.writeEnds() { self.startWork() }
        case 6: self.commitOther()
        case 7, 8:
            guard !self.announcements.isEmpty else { return }
            // They may be lost.
            let cursor = self.announcements.removeFirst()
            if Int.random(in: 0..<4, using: &self.random) > 0, self.sequence.announced(cursor) { self.startWork() }
        case 9:
            if self.answer == nil { self.answer = self.cursor } else { self.open() }
        default: self.work()
        }
    }

    /// Everything that is in progress comes to its end, and the space is compared with the database.
    mutating func settle() {
        self.answer = self.answer ?? self.cursor
        self.open()
        while !self.unreported.isEmpty { self.report() }
        for _ in 0..<self.writesBegun + self.reported where self.sequence.writeEnds() { self.startWork() }
        if self.sequence.announced(self.cursor) { self.startWork() }
        while self.isWorking { self.work() }
        if self.told != self.told.sorted() { self.problems.append("out of order: \(self.told)") }
        if Set(self.told).count != self.told.count { self.problems.append("told twice: \(self.told)") }
        let answer = self.answer ?? 0
        let expected = answer < self.cursor ? Set(answer + 1...self.cursor) : []
        if !expected.isSubset(of: self.told) { self.problems.append("missed: \(expected.subtracting(self.told))") }
        if !self.sequence.isIdle { self.problems.append("not idle") }
    }

    private mutating func commitOther() {
        self.cursor += 1
        self.announcements.append(self.cursor)
    }

    private mutating func report() {
        guard let cursor = self.unreported.popFirst() else { return }
        self.reported += 1
        let frame = SpaceSequence.Notice.Content.frame(ByteBuffer())
        switch self.sequence.committed(SpaceSequence.Notice(cursor: cursor, content: frame, sender: nil)) {
        case .publish: self.told.append(cursor)
        case .keep: break
        case .startWork: self.startWork()
        }
    }

    private mutating func open() {
        guard !self.isOpen, let answer = self.answer else { return }
        self.isOpen = true
        if self.sequence.openingEnds(at: answer) { self.startWork() }
    }

    private mutating func startWork() {
        if self.isWorking { self.problems.append("two workers") }
        self.isWorking = true
    }

    private mutating func work() {
        if let read = self.read.take() {
            for cursor in read.after + 1...read.through {
                if self.own.contains(cursor) { self.problems.append("own commit \(cursor) read as another's") }
                self.told.append(cursor)
            }
            self.sequence.didRead(through: read.through, of: read.through)
            return
        }
        guard self.isWorking else { return }
        switch self.sequence.nextStep() {
        case .publish(let notices): self.told += notices.map(\.cursor)
        case .read(let after, let through, _): self.read = (after, through)
        case .rest: self.isWorking = false
        }
    }
}
