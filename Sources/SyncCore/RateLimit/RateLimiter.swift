import Logging
import SyncAuth
import SyncProtocol
import SyncStorage

/// Counts what users do and refuses what is too much, over the last hour at any moment (docs/contract/rpc.md §2.7).
///
/// Counting and recording are two steps: calls that run at the same time may pass the limit slightly.
struct RateLimiter: Sendable {
    /// The name in the table of actions, and the words of the refusal.
    enum Action: String {
        case membershipAppend = "membership_append"
        case invitation

        fileprivate var plural: String {
            switch self {
            case .membershipAppend: "membership appends"
            case .invitation: "invitations"
            }
        }
    }

    static let windowSeconds: Double = 3_600

    /// `nil`: nobody is limited.
    let limits: RateLimits?
    let store: any RateLimitStore
    /// Seconds since 1970.
    let unixTime: @Sendable () -> Double
    let logger: Logger

    /// - Throws: `rate_limited` when the user has done it as often as allowed; `internal` when that cannot be found out.
    func check(_ action: Action, by principal: Principal) async throws(RPCError) {
        guard let limits = self.limits, let max = limits.max(of: action) else { return }
        let since = Int64((self.unixTime() - Self.windowSeconds) * 1_000_000)
        let count: Int
        do {
            count = try await self.store.countRecentActions(
                action.rawValue, by: limits.actors.actor(principal), since: since)
        } catch {
            throw RPCError(.internal, "internal error", cause: error)
        }
        guard count < max else {
            throw RPCError(.rateLimited, "rate limit exceeded: max \(max) \(action.plural) per hour")
        }
    }

    /// Counts one success. A failure to do so fails nothing.
    func record(_ action: Action, by principal: Principal) async {
        guard let limits = self.limits, limits.max(of: action) != nil else { return }
        do {
            try await self.store.recordAction(action.rawValue, by: limits.actors.actor(principal))
        } catch {
            self.logger.error(
                "rate-limit record failed",
                metadata: Logger.metadata([.action: action.rawValue, .error: error.description]))
        }
    }
}

extension RateLimits {
    /// `nil`: unlimited.
    fileprivate func max(of action: RateLimiter.Action) -> Int? {
        let max =
            switch action {
            case .membershipAppend: self.membershipAppendsPerHour
            case .invitation: self.invitationsPerHour
            }
        return max > 0 ? max : nil
    }
}
