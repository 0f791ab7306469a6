import Synchronization

/// What happened, in order.
package final class EventLog<Event: Sendable>: Sendable {
    private let events = Mutex<[Event]>([])

    package init() {}

    package var all: [Event] { self.events.withLock { $0 } }

    package func append(_ event: Event) { self.events.withLock { $0.append(event) } }
}
