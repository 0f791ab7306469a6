public import SyncProtocol

/// What a server says unasked.
public enum SyncEvent: Hashable, Sendable {
    case sync(SyncNotification)
    /// A notification that this client has no type for.
    case other(method: String, params: FramePayload)
    /// Events were dropped because nobody took them: pull to find out what changed.
    case missed
}

/// Events between the connection and whoever takes them: bounded, lossy, and never silently so.
struct EventQueue {
    private var events: [SyncEvent] = []
    private var waiter: CheckedContinuation<SyncEvent?, Never>?
    private var hasEnded = false
    private let eventsMax: Int

    init(eventsMax: Int) { self.eventsMax = eventsMax }

    /// What the caller is to resume outside of its lock.
    typealias Wake = (continuation: CheckedContinuation<SyncEvent?, Never>, event: SyncEvent?)

    mutating func add(_ event: SyncEvent) -> Wake? {
        if let waiter = self.waiter {
            self.waiter = nil
            return (waiter, event)
        }
        if self.events.count < self.eventsMax {
            self.events.append(event)
        } else {
            // What is left would have gaps: one pull brings everything that was dropped here.
            self.events = [.missed]
        }
        return nil
    }

    mutating func end() -> Wake? {
        self.hasEnded = true
        let waiter = self.waiter.take()
        return waiter.map { ($0, nil) }
    }

    /// - Returns: What to resume at once; `nil` when the continuation waits. A second waiter takes the first one's place,
    ///   whose wait ends with `nil`.
    mutating func wait(_ continuation: CheckedContinuation<SyncEvent?, Never>) -> Wake? {
        if !self.events.isEmpty { return (continuation, self.events.removeFirst()) }
        if self.hasEnded { return (continuation, nil) }
        let earlier = self.waiter
        self.waiter = continuation
        return earlier.map { ($0, nil) }
    }
}
