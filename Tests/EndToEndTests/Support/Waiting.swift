struct ConditionNotMet: Error {
    let what: String
}

/// Asks again and again until `condition` holds, at most for `limit`.
func eventually(
    _ what: String, within limit: Duration = .seconds(20), _ condition: () async throws -> Bool
) async throws {
    let clock = ContinuousClock()
    let deadline = clock.now + limit
    while !(try await condition()) {
        guard clock.now < deadline else { throw ConditionNotMet(what: what) }
        try await clock.sleep(for: .milliseconds(2))
    }
}

/// Fails instead of hanging.
func within<Result: Sendable>(
    _ limit: Duration, _ what: String, _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: limit)
            throw ConditionNotMet(what: what)
        }
        defer { group.cancelAll() }
        guard let result = try await group.next() else { throw ConditionNotMet(what: what) }
        return result
    }
}
