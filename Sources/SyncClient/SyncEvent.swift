import DequeModule
public import SyncProtocol

/// What a server says unasked.
public enum SyncEvent: Hashable, Sendable {
    case sync(SyncNotification)
    /// A notification that this client has no type for.
    case other(method: String, params: FramePayload)
    /// Events were dropped because nobody took them, or one could not be read: pull to find out what changed.
    case missed
}

/// Events between the connection and whoever takes them: bounded, lossy, and never silently so.
struct EventQueue {
    private var events: Deque<(event: SyncEvent, bytes: Int)> = []
    private var bytes = 0
    private var waiter: CheckedContinuation<SyncEvent?, Never>?
    private var hasEnded = false
    private let eventsMax: Int
    private let bytesMax: Int

    init(eventsMax: Int, bytesMax: Int) {
        self.eventsMax = eventsMax
        self.bytesMax = bytesMax
    }

    /// What the caller is to resume outside of its lock.
    typealias Wake = (continuation: CheckedContinuation<SyncEvent?, Never>, event: SyncEvent?)

    mutating func add(_ event: SyncEvent, bytes: Int) -> Wake? {
        if self.hasEnded { return nil }
        if let waiter = self.waiter.take() { return (waiter, event) }
        if self.events.count < self.eventsMax, self.bytes + bytes <= self.bytesMax {
            self.events.append((event, bytes))
            self.bytes += bytes
        } else {
            // What is left would have gaps: one pull brings everything that was dropped here.
            self.events = [(.missed, 0)]
            self.bytes = 0
        }
        return nil
    }

    mutating func end() -> Wake? {
        self.hasEnded = true
        return self.endWait()
    }

    /// Whoever waits gets `nil`.
    mutating func endWait() -> Wake? { self.waiter.take().map { ($0, nil) } }

    /// - Returns: What to resume at once; `nil` when the continuation waits. A second waiter takes the first one's place,
    ///   whose wait ends with `nil`.
    mutating func wait(_ continuation: CheckedContinuation<SyncEvent?, Never>) -> Wake? {
        if let first = self.events.popFirst() {
            self.bytes -= first.bytes
            return (continuation, first.event)
        }
        if self.hasEnded { return (continuation, nil) }
        let earlier = self.endWait()
        self.waiter = continuation
        return earlier
    }
}
