import DequeModule
import NIOCore
import SyncProtocol

/// The order of notifications in one space, when other server processes write to it too (docs/decisions/0012). Pure:
/// `ChangeRelay` keeps it under its lock and does what it says.
///
/// A write of this process is in progress from `writeBegins` to `writeEnds`; in between it may commit. A subscription
/// opens from `openingBegins` to `openingEnds`, and in between its connection is registered. One caller at a time has
/// work to do: whoever is told to start it calls `nextStep` until that says `.rest`.
struct SpaceSequence {
    /// A notification of this process for its subscribers.
    struct Notice: Equatable {
        enum Content: Equatable {
            case frame(ByteBuffer)
            /// Nobody watched but the sender.
            case nothing
            /// That there is something to pull, up to the cursor.
            case nudge
        }

        let cursor: Int64
        let content: Content
        /// Does not get it.
        let sender: ConnectionID?

        fileprivate var bytes: Int { if case .frame(let frame) = self.content { frame.readableBytes } else { 0 } }
    }

    enum Commit: Equatable {
        /// Publish it now.
        case publish
        /// It is kept, and somebody has work to do already, or cannot begin yet.
        case keep
        /// It is kept: start working.
        case startWork
    }

    enum Step: Equatable {
        /// In this order.
        case publish([Notice])
        /// Changes of others behind `after`, up to and including `through`: publish them, then call `didRead`.
        ///
        /// - Parameter isAwaited: Notifications of this process are kept for it.
        case read(after: Int64, through: Int64, isAwaited: Bool)
        /// There is no more to do.
        case rest
    }

    /// What subscribers have been told of, or knew when they came; `nil` while nobody is known to watch.
    private(set) var told: Int64?
    /// The highest cursor that is known to be committed.
    private var announced: Int64 = 0
    private var kept: Deque<Notice> = []
    private var keptBytes = 0
    private var writes = 0
    private var openings = 0
    private var isWorking = false

    /// Nothing is lost by forgetting it once nobody watches the space.
    var isIdle: Bool { self.writes == 0 && self.openings == 0 && self.kept.isEmpty && !self.isWorking }

    // MARK: Writes of this process

    mutating func writeBegins() { self.writes += 1 }

    /// Called in cursor order.
    mutating func committed(_ notice: Notice) -> Commit {
        guard let told = self.told else {
            guard self.openings > 0 else { return .publish }
            self.keep(notice)
            return .keep
        }
        if !self.isWorking, self.kept.isEmpty, notice.cursor - 1 <= told {
            self.told = max(told, notice.cursor)
            return .publish
        }
        self.keep(notice)
        return self.startsWork() ? .startWork : .keep
    }

    /// - Returns: Whether to start working.
    mutating func writeEnds() -> Bool {
        self.writes -= 1
        return self.hasWork && self.startsWork()
    }

    private mutating func keep(_ notice: Notice) {
        self.kept.append(notice)
        self.keptBytes += notice.bytes
        guard self.kept.count > Limits.relayedNoticesMax || self.keptBytes > Limits.relayedBytesMax else { return }
        // Subscribers that are so far behind pull.
        self.kept = [Notice(cursor: notice.cursor, content: .nudge, sender: nil)]
        self.keptBytes = 0
    }

    // MARK: Subscriptions

    mutating func openingBegins() { self.openings += 1 }

    /// - Parameter cursor: Of the space, read while the subscription was opening; `nil` when it came to nothing.
    /// - Returns: Whether to start working.
    mutating func openingEnds(at cursor: Int64?) -> Bool {
        self.openings -= 1
        self.told = self.told ?? cursor
        return self.hasWork && self.startsWork()
    }

    // MARK: Changes of others

    /// - Returns: Whether to start working.
    mutating func announced(_ cursor: Int64) -> Bool {
        self.announced = max(self.announced, cursor)
        return self.hasWork && self.startsWork()
    }

    /// - Parameters:
    ///   - through: As the step had it.
    ///   - cursor: Of the space, read during the step; `nil` when there was nobody to read for. What was announced beyond it,
    ///     when the step began, was never committed.
    mutating func didRead(through: Int64, of cursor: Int64?) {
        let last = min(through, cursor ?? through)
        if self.announced <= through { self.announced = min(self.announced, last) }
        self.didTell(last)
    }

    /// It was published without asking.
    mutating func didTell(_ cursor: Int64) { self.told = self.told.map { max($0, cursor) } }

    // MARK: Work

    mutating func nextStep() -> Step {
        guard let told = self.told else {
            // Those who were opening have not come.
            if self.openings == 0, !self.kept.isEmpty { return .publish(self.takeKept()) }
            self.isWorking = false
            return .rest
        }
        let next = self.takeKept { notice, last in
            notice.content == .nudge || notice.cursor - 1 <= max(last, told)
        }
        if let last = next.last {
            self.told = max(told, last.cursor)
            return .publish(next)
        }
        if let first = self.kept.first {
            // All commits of this process below it have been told.
            return .read(after: told, through: first.cursor - 1, isAwaited: true)
        }
        // While a write is in progress, it may be its commit that was announced or lies below.
        if self.announced > told, self.writes == 0 {
            return .read(after: told, through: self.announced, isAwaited: false)
        }
        self.isWorking = false
        return .rest
    }

    private var hasWork: Bool {
        guard let told = self.told else { return self.openings == 0 && !self.kept.isEmpty }
        return !self.kept.isEmpty || self.announced > told && self.writes == 0
    }

    private mutating func startsWork() -> Bool {
        if self.isWorking { return false }
        self.isWorking = true
        return true
    }

    mutating func takeKept() -> [Notice] { self.takeKept { _, _ in true } }

    /// Takes from the front as long as `isNext` says so of a notice and the cursor of the one before it.
    private mutating func takeKept(while isNext: (Notice, Int64) -> Bool) -> [Notice] {
        var taken: [Notice] = []
        while let first = self.kept.first, isNext(first, taken.last?.cursor ?? 0) {
            taken.append(first)
            self.keptBytes -= first.bytes
            self.kept.removeFirst()
        }
        return taken
    }
}
