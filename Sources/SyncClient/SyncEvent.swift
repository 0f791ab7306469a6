import DequeModule
public import SyncProtocol

/// What a server says unasked.
public enum SyncEvent: Hashable, Sendable {
    case sync(SyncNotification)
    /// Somebody appended to the membership log of a space.
    case membership(MembershipNotification)
    /// Files of a space have been uploaded.
    case file(FileNotification)
    /// Somebody's access to a space has ended. Whether it is ours, a request on the space tells: `membership.list` is
    /// refused as forbidden.
    case revoked(RevokedNotification)
    /// Something has arrived in our mailbox, some seconds ago.
    case invitation
    /// What another subscriber of a space shows of itself.
    case presence(PresenceNotification)
    /// Another subscriber shows itself no more.
    case presenceLeave(PresenceLeaveNotification)
    /// What another subscriber of a space says to whoever listens now.
    case event(PresenceNotification)
    /// Subscriptions have ended because their delegations have expired: `subscribe` with newer ones starts them again.
    case resubscribe(ResubscribeNotification)
    /// A notification that this client has no type for.
    case other(method: String, params: FramePayload)
    /// Events were dropped because nobody took them, or one could not be read: pull to find out what changed, and subscribe
    /// again to be sure of what is subscribed.
    case missed
}

extension SyncEvent {
    init(method: String, params: FramePayload) {
        do {
            switch Method(rawValue: method) {
            case .sync: self = .sync(try params.decode())
            case .membership: self = .membership(try params.decode())
            case .file: self = .file(try params.decode())
            case .revoked: self = .revoked(try params.decode())
            case .invitation: self = .invitation
            case .presence: self = .presence(try params.decode())
            case .presenceLeave: self = .presenceLeave(try params.decode())
            case .event: self = .event(try params.decode())
            case .resubscribe: self = .resubscribe(try params.decode())
            default: self = .other(method: method, params: params)
            }
        } catch {
            // One that cannot be read still says that there is something to find out.
            self = .missed
        }
    }
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
