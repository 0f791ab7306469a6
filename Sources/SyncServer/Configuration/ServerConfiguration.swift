package import Logging
package import SyncAuth
import SyncProtocol

/// What an operator may change, read and checked (docs/contract/operations.md §2). Everything behind it takes plain values.
package struct ServerConfiguration: Hashable, Sendable {
    /// `LISTEN_ADDR`.
    package var listenAddress = ListenAddress(host: "0.0.0.0", port: 5379)
    /// `DATABASE_URL`.
    package var database = DatabaseLocation.sqlite(path: "./data/less-sync.db")
    /// `TRUSTED_ISSUERS`, one for each issuer; not empty in `serve`.
    package var trustedIssuers: [TrustedIssuer] = []
    /// `AUDIENCES`; empty: the audience of tokens is not checked.
    package var audiences: [String] = []
    /// `IDENTITY_HASH_KEY`, 32 bytes; without it application rate limits are off.
    package var identityHashKey: Secret<[UInt8]>?
    /// `MAX_RECORD_BLOB_SIZE` in bytes.
    package var recordBlobBytesMax = Limits.recordBlobBytesMax
    /// `MAX_FILE_SIZE` in bytes.
    package var fileBytesMax = 104_857_600
    /// `FILE_STORAGE_BACKEND`.
    package var fileStorage = FileStorage.none
    /// `FILE_STORAGE_PATH`: the objects of `.local`; unfinished resumable uploads always.
    package var fileStoragePath = "./data/files"
    /// `FILE_S3_…`; complete when `fileStorage` is `.s3`.
    package var s3 = S3Variables()
    /// `DATABASE_POOL_SIZE`: PostgreSQL connections or SQLite readers, 3 or more.
    package var databasePoolSize = 10
    /// `SQLITE_SYNCHRONOUS`.
    package var sqliteSynchronous = SQLiteSynchronous.full
    /// `MAX_CONNECTIONS_PER_MAILBOX`; see `isPerformanceMode`.
    package var connectionsPerMailboxMax = 16
    /// `MAX_CONNECTIONS`: client sockets in all.
    package var connectionsMax = 20_000
    /// `MAX_UNAUTHENTICATED_CONNECTIONS`: those of them that have not authenticated yet.
    package var unauthenticatedConnectionsMax = 1_000
    /// `RATE_LIMIT_INVITATIONS_PER_HOUR` of one user; 0: unlimited. Needs `identityHashKey`; see `isPerformanceMode`.
    package var invitationsPerHour = 10
    /// `RATE_LIMIT_MEMBERSHIP_APPENDS_PER_HOUR`, as `invitationsPerHour`.
    package var membershipAppendsPerHour = 10
    /// `SHUTDOWN_TIMEOUT_SECONDS`: upper bound of a graceful shutdown.
    package var shutdownTimeout: Duration = .seconds(30)
    /// `MIGRATE_ON_START`; otherwise a schema of another version stops the start.
    package var migratesOnStart = true
    /// `LOG_LEVEL`, or a bare level in `RUST_LOG`.
    package var logLevel = Logger.Level.info
    /// `LOG_FORMAT`; `nil`: what suits standard output.
    package var logFormat: LogFormat?
    /// `PERF_MODE`: lifts the limit of connections per mailbox and the application rate limits. Never for production.
    package var isPerformanceMode = false
    /// `ENFORCE_TOKEN_EXPIRY`: closes sockets whose token has been expired for 60 s.
    package var enforcesTokenExpiry = false

    /// `METRICS_LISTEN_ADDR`; without it there are no metrics.
    package var metricsAddress: ListenAddress?
    /// `HEALTH_DETAILS`: what `/health` says besides its status (docs/contract/http.md §4).
    package var hasHealthDetails = false
    /// `SYNC_ENDPOINT` and what belongs to it.
    package var discovery = DiscoverySettings()
    /// `FEDERATION_…`.
    package var federation = FederationSettings()

    /// Constant sentences for the log, about settings that are allowed but probably not meant.
    package var warnings: [String] = []

    package init() {}
}

package enum SQLiteSynchronous: String, CaseIterable, Sendable {
    /// An acknowledged write survives power loss.
    case full
    /// It survives a crash of the process, not of the machine.
    case normal
}

package enum FileStorage: String, Sendable {
    /// File routes do not exist.
    case none
    /// A directory.
    case local
    case s3
}

/// The variables of an S3-compatible store as they were given.
package struct S3Variables: Hashable, Sendable {
    /// `FILE_S3_ENDPOINT`, with or without a scheme.
    package var endpoint = ""
    /// `FILE_S3_ACCESS_KEY`.
    package var accessKey = Secret("")
    /// `FILE_S3_SECRET_KEY`.
    package var secretKey = Secret("")
    /// `FILE_S3_BUCKET`.
    package var bucket = ""
    /// `FILE_S3_REGION`.
    package var region = "us-east-1"
    /// `FILE_S3_USE_SSL`: the scheme of an endpoint that has none.
    package var usesTLS = true

    /// With a scheme, without slashes at its end.
    package var endpointURL: String {
        var url = self.endpoint
        if !["http://", "https://"].contains(where: { url.lowercased().hasPrefix($0) }) {
            url = (self.usesTLS ? "https://" : "http://") + url
        }
        while url.last == "/", !url.hasSuffix("://") { url.removeLast() }
        return url
    }
}

package enum LogFormat: String, CaseIterable, Sendable {
    case text
    case json
}
