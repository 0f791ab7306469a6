import FoundationEssentials
import Logging
import SyncStorage

/// How often what has expired is removed (docs/contract/operations.md §5). Several servers on one database may do so at
/// once.
package struct PurgeIntervals: Sendable {
    package var invitationsFirst: Duration = .seconds(60)
    package var invitations: Duration = .seconds(3_600)
    package var actions: Duration = .seconds(600)
    package var unfinishedFiles: Duration = .seconds(600)
    /// Until the queue of objects to delete is looked at again without a reason: for what failed, or other processes left.
    package var fileDeletions: Duration = .seconds(10)
}

extension PeriodicJob {
    /// Rows of one transaction.
    static let purgedRowsMax = 1_000
    /// Microseconds for which an action counts, the window of docs/contract/rpc.md §2.7.
    private static let actionWindow: Int64 = 3_600_000_000

    /// Removes expired invitations.
    static func purgesInvitations(
        from storage: any InvitationStore, _ intervals: PurgeIntervals, clock: any Clock<Duration>, logger: Logger
    ) -> PeriodicJob {
        PeriodicJob(
            name: "invitation_purge", firstDelay: intervals.invitationsFirst, interval: intervals.invitations,
            clock: clock, logger: logger
        ) {
            try await Self.purge("invitation_purge", logger) {
                try await storage.purgeExpiredInvitations(limit: Self.purgedRowsMax)
            }
        }
    }

    /// Removes rate-limited actions that count no more.
    ///
    /// - Parameter now: Microseconds since 1970.
    static func cleansUpActions(
        from storage: any RateLimitStore, _ intervals: PurgeIntervals, clock: any Clock<Duration>,
        now: @escaping @Sendable () -> Int64, logger: Logger
    ) -> PeriodicJob {
        PeriodicJob(name: "rate_limit_cleanup", interval: intervals.actions, clock: clock, logger: logger) {
            let before = now() - Self.actionWindow
            try await Self.purge("rate_limit_cleanup", logger) {
                try await storage.cleanUpActions(before: before, limit: Self.purgedRowsMax)
            }
        }
    }

    /// Removes resumable uploads that nobody continued, and objects that nobody finished.
    static func removesUnfinishedFiles(
        from files: OpenedFileStorage, _ intervals: PurgeIntervals, clock: any Clock<Duration>,
        now: @escaping @Sendable () -> Date, logger: Logger
    ) -> PeriodicJob {
        let name = "unfinished_files"
        return PeriodicJob(name: name, interval: intervals.unfinishedFiles, clock: clock, logger: logger) {
            let count = try await files.uploads.removeExpired(now: now())
            if count > 0 { logger.debug("purged", metadata: ["job": "\(name)", "uploads": "\(count)"]) }
            try await files.store.removeUnfinished(before: now() - OpenedFileStorage.unfinishedLifetime)
        }
    }

    /// Removes one batch after another, so that no transaction is long, until one is not full.
    static func purge(
        _ name: String, _ logger: Logger, _ batch: () async throws -> Int
    ) async throws {
        var removed = 0
        defer { if removed > 0 { logger.debug("purged", metadata: ["job": "\(name)", "rows": "\(removed)"]) } }
        while true {
            try Task.checkCancellation()
            let count = try await batch()
            removed += count
            guard count >= Self.purgedRowsMax else { return }
        }
    }
}
