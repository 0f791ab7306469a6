import SyncProtocol

@testable import SyncCore

extension Broker {
    /// A subscription that nobody can take away, as to a personal space.
    ///
    /// - Returns: The spaces that the connection did not watch before.
    @discardableResult
    func subscribe(_ id: ConnectionID, to spaces: [SpaceID]) -> [SpaceID] {
        let mark = RevocationLog().mark
        return self.subscribe(id, to: spaces.map { Request(space: $0, delegation: nil, mark: mark) }).added
    }
}
