import CEpoll
import Foundation
import Synchronization

/// The one thread on which libpq is called: it waits for all sockets of the backend and never for one of them.
///
/// `@unchecked Sendable`: `members`, `handlers`, `timers` and the epoll descriptor are used on the thread alone; what comes
/// from elsewhere passes through `inbox`.
final class EventThread: @unchecked Sendable {
    /// What a registered socket is for. Called on the thread.
    protocol Handler: AnyObject {
        func socketIsReady(readable: Bool, writable: Bool, broken: Bool)

        /// The thread comes to its end: no socket is watched and no timer fires any more.
        func threadEnds()
    }

    /// Identifies a timer until it has fired.
    typealias TimerID = UInt64

    private struct Inbox {
        var work: [@Sendable () -> Void] = []
        var isSignalled = false
        var isStopping = false
    }

    // Fixed after init.
    private let epoll: Int32
    private let wakeUp: Int32

    // Guarded by itself.
    private let inbox = Mutex(Inbox())

    // Thread only.
    private var members: [ObjectIdentifier: any Handler] = [:]
    private var handlers: [Int32: (handler: any Handler, events: UInt32)] = [:]
    private var timers: [TimerID: (due: ContinuousClock.Instant, fire: () -> Void)] = [:]
    private var nextTimer: TimerID = 1
    /// No timer is due earlier.
    private var nextDue: ContinuousClock.Instant?

    private static let eventsPerWait = 64

    /// `nil` when the system has no descriptors left.
    init?() {
        let epoll = cepoll_create()
        let wakeUp = cepoll_eventfd_create()
        guard epoll >= 0, wakeUp >= 0, cepoll_set(epoll, wakeUp, UInt32(CEPOLL_READABLE), 0) == 0 else {
            if epoll >= 0 { close(epoll) }
            if wakeUp >= 0 { close(wakeUp) }
            return nil
        }
        self.epoll = epoll
        self.wakeUp = wakeUp
        let thread = Thread { self.loop() }
        thread.name = "postgres"
        thread.start()
    }

    /// Runs `work` on the thread, after what was submitted before.
    ///
    /// - Returns: False when the thread has been stopped; `work` does not run then.
    @discardableResult
    func submit(_ work: @escaping @Sendable () -> Void) -> Bool {
        self.inbox.withLock { inbox in
            guard !inbox.isStopping else { return false }
            inbox.work.append(work)
            self.signal(&inbox)
            return true
        }
    }

    /// Ends the thread once everything submitted so far has run. Handlers that have not left are told. Can be called again,
    /// and on the thread itself.
    func stop() {
        self.inbox.withLock { inbox in
            guard !inbox.isStopping else { return }
            inbox.isStopping = true
            self.signal(&inbox)
        }
    }

    /// Under the lock, so that the descriptor cannot have been closed: that happens after `isStopping` was seen.
    private func signal(_ inbox: inout Inbox) {
        guard !inbox.isSignalled else { return }
        inbox.isSignalled = true
        cepoll_eventfd_signal(self.wakeUp)
    }

    // MARK: On the thread

    /// Keeps a handler until it leaves or the thread ends.
    func join(_ handler: any Handler) { self.members[ObjectIdentifier(handler)] = handler }

    func leave(_ handler: any Handler) { self.members[ObjectIdentifier(handler)] = nil }

    /// Watches a socket, or changes what is watched for.
    func watch(_ socket: Int32, readable: Bool, writable: Bool, _ handler: any Handler) {
        let events =
            (readable ? UInt32(CEPOLL_READABLE) : 0) | (writable ? UInt32(CEPOLL_WRITABLE) : 0)
        let known = self.handlers[socket]
        if let known, known.handler === handler, known.events == events { return }
        cepoll_set(self.epoll, socket, events, known == nil ? 0 : 1)
        self.handlers[socket] = (handler, events)
    }

    /// Call before the socket is closed.
    func forget(_ socket: Int32) {
        guard self.handlers.removeValue(forKey: socket) != nil else { return }
        cepoll_remove(self.epoll, socket)
    }

    func startTimer(at due: ContinuousClock.Instant, _ fire: @escaping () -> Void) -> TimerID {
        defer { self.nextTimer += 1 }
        self.timers[self.nextTimer] = (due, fire)
        self.nextDue = self.nextDue.map { min($0, due) } ?? due
        return self.nextTimer
    }

    func cancelTimer(_ timer: TimerID) { self.timers[timer] = nil }

    private func loop() {
        var events = [cepoll_event](repeating: cepoll_event(), count: Self.eventsPerWait)
        while !self.inbox.withLock({ $0.isStopping && $0.work.isEmpty }) {
            let count = cepoll_wait(self.epoll, &events, Int32(events.count), self.millisecondsToNextTimer())
            for event in events.prefix(Int(max(0, count))) {
                if event.fd == self.wakeUp {
                    cepoll_eventfd_drain(self.wakeUp)
                    continue
                }
                // An earlier event of this round may have closed it.
                guard let handler = self.handlers[event.fd]?.handler else { continue }
                handler.socketIsReady(
                    readable: event.events & UInt32(CEPOLL_READABLE) != 0,
                    writable: event.events & UInt32(CEPOLL_WRITABLE) != 0,
                    broken: event.events & UInt32(CEPOLL_BROKEN) != 0)
            }
            self.runInbox()
            self.fireTimers()
        }
        // Nothing can be submitted any more, and nobody signals.
        for member in self.members.values { member.threadEnds() }
        self.members = [:]
        close(self.epoll)
        close(self.wakeUp)
    }

    private func runInbox() {
        let work = self.inbox.withLock { inbox in
            defer {
                inbox.work = []
                inbox.isSignalled = false
            }
            return inbox.work
        }
        for work in work { work() }
    }

    /// Nearly every timer is cancelled long before it is due, so all are looked at once in a while only.
    private func fireTimers() {
        let now = ContinuousClock.now
        guard let nextDue = self.nextDue, nextDue <= now else { return }
        let due = self.timers.filter { $0.value.due <= now }
        for timer in due.keys { self.timers[timer] = nil }
        self.nextDue = self.timers.values.map(\.due).min()
        for entry in due.values { entry.fire() }
    }

    private func millisecondsToNextTimer() -> Int32 {
        guard let due = self.nextDue else { return -1 }
        let remaining = ContinuousClock.now.duration(to: due)
        return remaining <= .zero ? 0 : Int32(min(remaining / .milliseconds(1) + 1, 60_000))
    }
}
