/// Notification `auth` (docs/contract/wire.md §4) and request `token.refresh` (docs/contract/rpc.md §6).
public struct TokenParams: Hashable, Sendable {
    public var token: String

    public init(token: String) { self.token = token }
}

/// Result of `token.refresh`: `error` is message text, not a code.
public struct TokenRefreshResult: Hashable, Sendable {
    /// `nil` on success.
    public var error: String?

    public init(error: String? = nil) { self.error = error }
}
