/// What a delegation allows in a space (docs/contract/auth.md §5.3). Each level includes the lower ones.
package enum Permission: UInt8, Hashable, Sendable, CaseIterable, Comparable {
    case read = 1
    case write = 2
    case admin = 3

    /// `cmd` of a delegation that grants this level.
    package var command: String {
        switch self {
        case .read: "/space/read"
        case .write: "/space/write"
        case .admin: "/space/admin"
        }
    }

    /// `nil` unless `command` is exactly one of the three: no prefixes, no wildcards.
    package init?(command: String) {
        guard let permission = Self.allCases.first(where: { $0.command == command }) else { return nil }
        self = permission
    }

    package static func < (lhs: Permission, rhs: Permission) -> Bool { lhs.rawValue < rhs.rawValue }
}
