package import NIOCore
import Synchronization

/// The connections of one event loop that something was queued for. However many there are, a broadcast to all of them takes
/// one hop to the event loop (architecture W4).
package final class WakeUps: Sendable {
    private struct State {
        var connections: [WebSocketConnection] = []
        /// Room for the next connections, left by those of the last turn.
        var spare: [WebSocketConnection] = []
        var isTurnScheduled = false
    }

    // Fixed after init.
    let eventLoop: any EventLoop

    // Guarded by itself.
    private let state = Mutex(State())

    package init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// The handler of `connection` is to look at its queue soon.
    func add(_ connection: WebSocketConnection) {
        let isFirst = self.state.withLock { state in
            state.connections.append(connection)
            defer { state.isTurnScheduled = true }
            return !state.isTurnScheduled
        }
        if isFirst { self.scheduleTurn() }
    }

    private func scheduleTurn() { self.eventLoop.execute { self.takeTurn() } }

    private func takeTurn() {
        var connections = self.state.withLock { state in
            let connections = state.connections
            state.connections = state.spare
            state.spare = []
            return connections
        }
        for connection in connections { connection.wakeHandler() }
        connections.removeAll(keepingCapacity: connections.capacity <= Self.spareMax)
        // What came in the meantime gets a turn behind the sockets that have something to read.
        let isMoreToDo = self.state.withLock { state in
            state.spare = connections
            state.isTurnScheduled = !state.connections.isEmpty
            return state.isTurnScheduled
        }
        if isMoreToDo { self.scheduleTurn() }
    }

    private static let spareMax = 16_384
}

/// The wake-ups of each event loop of a server.
package final class WakeUpTable: Sendable {
    /// An entry keeps its event loop, so that no other one can get its identity.
    private let entries = Mutex<[ObjectIdentifier: WakeUps]>([:])

    package init() {}

    func wakeUps(of eventLoop: any EventLoop) -> WakeUps {
        self.entries.withLock { entries in
            let key = ObjectIdentifier(eventLoop)
            if let wakeUps = entries[key] { return wakeUps }
            let wakeUps = WakeUps(eventLoop)
            entries[key] = wakeUps
            return wakeUps
        }
    }
}
