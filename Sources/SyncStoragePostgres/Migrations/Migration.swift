/// One numbered step of the schema (docs/contract/storage.md §3). Its statements and its version row are one transaction.
///
/// Names are unqualified: `search_path` selects the schema.
struct Migration: Sendable {
    let version: Int
    let name: String
    /// Single statements, in order.
    let up: [String]
    let down: [String]

    /// All steps, from 1 without a gap.
    static let all: [Migration] = [
        .initial, .revocations, .invitations, .addWrappedDEK, .filesRecordID, .privacyPhase1, .mailboxInvitations,
        .ephemeralRateLimits, .rewrapEpoch, .unifiedCursor, .federationKeys, .federationKeyLifecycle, .recordsSpaceKey,
        .fileDeletions,
    ]

    static let latestVersion = Self.all.count
}
