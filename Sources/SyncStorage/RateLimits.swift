/// What users did lately, by keyed hashes of who they are (docs/contract/storage.md §8.3).
package protocol RateLimitStore: Sendable {
    /// Actions recorded strictly after `since`, in microseconds since 1970.
    func countRecentActions(_ action: String, by actor: String, since: Int64) async throws(StorageError) -> Int

    /// Records that the actor did it now.
    ///
    /// - Parameters:
    ///   - action: At most 32 characters.
    ///   - actor: 64 characters.
    func recordAction(_ action: String, by actor: String) async throws(StorageError)

    /// Removes actions recorded strictly before `before`, in microseconds since 1970. Several servers may do so at once.
    ///
    /// - Parameter limit: At most this many, 1 or more.
    /// - Returns: How many were removed. When fewer than `limit`, none are left, or another server removes them.
    func cleanUpActions(before: Int64, limit: Int) async throws(StorageError) -> Int
}
