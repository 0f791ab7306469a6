/// Bounds that both backends keep (docs/contract/storage.md §1.1).
package enum StorageLimits {
    /// Time from the creation of an invitation to its expiry.
    package static let invitationLifetimeMicroseconds: Int64 = 7 * 24 * 3_600 * 1_000_000
    /// Characters of a mailbox id and of the actor of a rate-limited action.
    package static let hashCharactersMax = 64
    /// Characters of the name of a rate-limited action.
    package static let actionCharactersMax = 32
}
