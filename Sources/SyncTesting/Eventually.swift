/// A test has waited in vain.
package struct ConditionNotMet: Error {
    package let what: String
    /// Where it waited: file and line.
    package let place: String

    package init(what: String, fileID: String = #fileID, line: Int = #line) {
        self.what = what
        self.place = "\(fileID):\(line)"
    }
}

/// Asks again and again until `condition` holds, at most for `limit`.
///
/// - Throws: `ConditionNotMet`; `CancellationError` as soon as the task is cancelled; what `condition` throws.
package func eventually(
    _ what: String = "what a test waits for", within limit: Duration = .seconds(20), fileID: String = #fileID,
    line: Int = #line,
    _ condition: () async throws -> Bool
) async throws {
    let clock = ContinuousClock()
    let deadline = clock.now + limit
    while !(try await condition()) {
        guard clock.now < deadline else { throw ConditionNotMet(what: what, fileID: fileID, line: line) }
        try await clock.sleep(for: .milliseconds(1))
    }
}

/// Fails instead of hanging; `body` has to end when it is cancelled.
package func within<Result: Sendable>(
    _ limit: Duration, _ what: String, fileID: String = #fileID, line: Int = #line,
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: limit)
            throw ConditionNotMet(what: what, fileID: fileID, line: line)
        }
        defer { group.cancelAll() }
        guard let result = try await group.next() else { throw CancellationError() }
        return result
    }
}
