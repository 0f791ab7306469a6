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

    fileprivate func change(_ body: (inout Counts) -> Void) { self.state.withLock { body(&$0) } }
}

/// The place of one connection. It is free again when the ticket is released, at the latest when it is gone, so that no path
/// can leak it.
package final class AdmissionTicket: Sendable {
    private enum Stage { case unauthenticated, authenticated, released }

    private let control: AdmissionControl
    private let stage = Mutex(Stage.unauthenticated)

    fileprivate init(_ control: AdmissionControl) { self.control = control }

    deinit { self.release() }

    /// The connection's token was accepted. Further calls do nothing.
    package func markAuthenticated() {
        let isFirst = self.stage.withLock { stage in
            guard stage == .unauthenticated else { return false }
            stage = .authenticated
            return true
        }
        if isFirst { self.control.change { $0.unauthenticated -= 1 } }
    }

    /// The connection is gone. Further calls do nothing.
    package func release() {
        let stage = self.stage.withLock { stage in
            defer { stage = .released }
            return stage
        }
        guard stage != .released else { return }
        self.control.change { counts in
            counts.connections -= 1
            if stage == .unauthenticated { counts.unauthenticated -= 1 }
        }
    }
}
