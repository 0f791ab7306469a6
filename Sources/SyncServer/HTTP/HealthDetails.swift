import SyncCore
import SyncStorage

/// The body of a healthy `/health` with `HEALTH_DETAILS` (docs/contract/http.md Δ-H3).
package struct HealthDetails: Encodable, Sendable {
    struct Storage: Encodable {
        /// `postgres` or `sqlite`.
        var backend: String
        var poolSize: Int
        var poolInUse: Int

        private enum CodingKeys: String, CodingKey {
            case backend
            case poolSize = "pool_size"
            case poolInUse = "pool_in_use"
        }
    }

    struct Broker: Encodable {
        /// Connections that have authenticated.
        var subscribers: Int
        /// Spaces that one of them is subscribed to.
        var spaces: Int
    }

    let status = "healthy"
    let storage: Storage
    let broker: Broker

    init(storage: Storage, broker: Broker) {
        self.storage = storage
        self.broker = broker
    }

    init(_ database: OpenedStorage, _ engine: SyncEngine) {
        let statistics = database.storage.statistics
        let census = engine.census
        self.init(
            storage: Storage(
                backend: database.backend, poolSize: statistics.connections, poolInUse: statistics.connectionsInUse),
            broker: Broker(subscribers: census.connections, spaces: census.spaces))
    }
}
