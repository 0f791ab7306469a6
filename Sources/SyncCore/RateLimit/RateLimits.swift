package import SyncAuth

/// How often one user may do what costs others (docs/contract/rpc.md §2.7).
package struct RateLimits: Sendable {
    /// Names users in the table of actions.
    package var actors: RateLimitActors
    /// 0: unlimited.
    package var invitationsPerHour: Int
    /// 0: unlimited.
    package var membershipAppendsPerHour: Int

    package init(actors: RateLimitActors, invitationsPerHour: Int = 10, membershipAppendsPerHour: Int = 10) {
        self.actors = actors
        self.invitationsPerHour = invitationsPerHour
        self.membershipAppendsPerHour = membershipAppendsPerHour
    }
}
