import SyncProtocol

@testable import SyncCore

extension SyncEngine {
    var broker: Broker { self.services.broker }

    var presence: PresenceRegistry { self.services.presence }

    /// The id that the server gave the connection of a client.
    func connectionID(of client: TestClient) -> ConnectionID? {
        self.registry.sessions.first { $0.connection === client.connection }?.id
    }
}
