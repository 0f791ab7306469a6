import Logging
import SyncAuth
import SyncProtocol

/// What an operator may change about sessions. Defaults are the contract's (docs/contract/operations.md §2.4).
package struct EngineConfiguration: Sendable {
    package var authTimeout: Duration = Limits.authTimeout
    package var connectionLifetime: Duration = Limits.connectionLifetime
    /// Connections of one mailbox key; `nil` lifts the limit (performance mode).
    package var connectionsPerMailboxMax: Int? = 16
    /// Bytes of one record blob.
    package var recordBlobBytesMax: Int = Limits.recordBlobBytesMax
    /// Closes a socket with 4001 `token expired` 60 s after its token's `exp` unless refreshed (architecture C30).
    package var enforcesTokenExpiry = false
    /// Time that requests in progress have to finish once their connection has reached its lifetime or its token has
    /// expired. A shutdown brings its own.
    package var requestGrace: Duration = .seconds(10)

    package init() {}
}

/// What every session works with: fixed parts, one value for the process.
struct EngineServices: Sendable {
    let configuration: EngineConfiguration
    let methods: MethodTable
    let tokens: any TokenValidator
    let authorizer: SpaceAuthorizer
    let spaces: SpaceService
    let broker: Broker
    let clock: any Clock<Duration>
    /// Drawn once for each connection.
    let lifetimeFactor: @Sendable () -> Double
    /// Seconds since 1970.
    let unixTime: @Sendable () -> Double
    let metrics: CoreMetrics
    let logger: Logger
}
