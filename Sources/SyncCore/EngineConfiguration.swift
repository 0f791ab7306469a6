import Logging
package import SyncAuth
import SyncProtocol
import SyncStorage

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
    /// `nil`: no user is limited.
    package var rateLimits: RateLimits?
    /// What this server is called. An invitation for one of these is delivered here.
    package var ownDomains: Set<PeerDomain> = []
    /// Time that requests in progress have to finish once their connection has reached its lifetime or its token has
    /// expired. A shutdown brings its own.
    package var requestGrace: Duration = .seconds(10)

    package init() {}
}

/// What is drawn while an engine runs. Tests put what they need in its place.
package struct EngineRandomness: Sendable {
    /// Drawn once for each connection; its lifetime is the configured one times this.
    package var lifetimeFactor: @Sendable () -> Double = { .random(in: 0.9...1.1) }
    /// Drawn for each run of a periodic job; its interval is the contract's times this.
    package var jobIntervalFactor: @Sendable () -> Double = { .random(in: 0.9...1.1) }
    /// Drawn for each invitation that is stored: how long its notification waits.
    package var invitationDelay: @Sendable () -> Duration = {
        .milliseconds(Int.random(in: Limits.invitationDelayMilliseconds))
    }

    package init() {}
}

/// What every session works with: fixed parts, one value for the process.
struct EngineServices: Sendable {
    let configuration: EngineConfiguration
    let methods: MethodTable
    let tokens: any TokenValidator
    let authorizer: SpaceAuthorizer
    let revocations: RevocationLog
    let authorities: AuthorityWatch
    let spaces: SpaceService
    let broker: Broker
    let presence: PresenceRegistry
    let mailboxes: any InvitationStore
    let invitations: InvitationNotifier
    let rateLimiter: RateLimiter
    let clock: any Clock<Duration>
    let randomness: EngineRandomness
    /// Seconds since 1970.
    let unixTime: @Sendable () -> Double
    let metrics: CoreMetrics
    let logger: Logger
}
