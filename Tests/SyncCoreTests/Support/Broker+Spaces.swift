import SyncAuth
import SyncProtocol

@testable import SyncCore

extension Broker {
    /// A subscription that nobody can take away, as to a personal space.
    ///
    /// - Returns: The spaces that the connection did not watch before.
    @discardableResult
    func subscribe(_ id: ConnectionID, to spaces: [SpaceID]) -> [SpaceID] {
        let mark = RevocationLog().mark
        return spaces.filter { space in
            let isNew = !self.isSubscribed(id, to: space)
            self.accept(Request(space: space, delegation: nil, mark: mark), of: id)
            return isNew && self.isSubscribed(id, to: space)
        }
    }

    /// Subscribes and settles at once.
    ///
    /// - Returns: Why the request was not taken.
    @discardableResult
    func accept(_ request: Request, of id: ConnectionID) -> AuthorizationError? {
        var objection: AuthorizationError?
        self.settle(id, self.subscribe(id, to: [request]).map { ($0, hasSucceeded: true) }) { objection = $0[0] }
        return objection
    }
}

extension SubscriptionTable {
    /// Subscribes and accepts at once.
    ///
    /// - Returns: False when the connection watched the space already.
    @discardableResult
    mutating func accept(_ id: ConnectionID, to space: SpaceID, on delegation: VerifiedDelegation?) -> Bool {
        let isNew = !self.isSubscribed(id, to: space)
        if let ticket = self.subscribe(id, to: space, on: delegation) { self.accept(ticket, of: id, to: space) }
        return isNew
    }
}
