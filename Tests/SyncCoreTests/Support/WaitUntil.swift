/// Waits until `condition` holds, for at most 20 seconds.
///
/// - Throws: `ConditionNotMet`.
func waitUntil(_ condition: () -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(20)
    while !condition() {
        guard ContinuousClock.now < deadline else { throw ConditionNotMet() }
        await Task.yield()
    }
}

struct ConditionNotMet: Error {}
