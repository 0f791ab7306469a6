import Synchronization

/// Counts WebSockets against `MAX_CONNECTIONS` and `MAX_UNAUTHENTICATED_CONNECTIONS` (docs/contract/operations.md §2.4).
package final class AdmissionControl: Sendable {
    package struct Counts: Equatable, Sendable {
        package var connections = 0
        package var unauthenticated = 0
    }

    private let connectionsMax: Int
    private let unauthenticatedMax: Int
    private let state = Mutex(Counts())

    package init(connectionsMax: Int, unauthenticatedMax: Int) {
        self.connectionsMax = connectionsMax
        self.unauthenticatedMax = unauthenticatedMax
    }

    package var counts: Counts { self.state.withLock { $0 } }

    /// A place for one connection, or `nil` when there is none.
    package func admit() -> AdmissionTicket? {
        let isAdmitted = self.state.withLock { counts in
            guard counts.connections < self.connectionsMax, counts.unauthenticated < self.unauthenticatedMax else {
                return false
            }
            counts.connections += 1
            counts.unauthenticated += 1
            return true
        }
        return isAdmitted ? AdmissionTicket(self) : nil
    }

    fileprivate func authenticated() { self.state.withLock { $0.unauthenticated -= 1 } }

    fileprivate func ended(wasAuthenticated: Bool) {
        self.state.withLock { counts in
            counts.connections -= 1
            if !wasAuthenticated { counts.unauthenticated -= 1 }
        }
    }
}

/// The place of one connection. It is free again when the ticket is gone, so that no path can leak it.
package final class AdmissionTicket: Sendable {
    private let control: AdmissionControl
    private let isAuthenticated = Mutex(false)

    fileprivate init(_ control: AdmissionControl) { self.control = control }

    deinit { self.control.ended(wasAuthenticated: self.isAuthenticated.withLock { $0 }) }

    /// The connection's token was accepted. Further calls do nothing.
    package func markAuthenticated() {
        let isFirst = self.isAuthenticated.withLock { value in
            defer { value = true }
            return !value
        }
        if isFirst { self.control.authenticated() }
    }
}
