import SyncProtocol

/// What one server process tells the others, as the text of a notification: the number of the process in hexadecimal, then
/// for each space its id in 32 hexadecimal digits and a cursor, with single blanks between. An asterisk instead of spaces
/// says that too many have changed to name them.
struct ChangeAnnouncement: Hashable {
    /// Drawn by each process at its start.
    var origin: UInt64
    /// Empty: anything may have changed.
    var cursors: [SpaceID: Int64]

    /// PostgreSQL takes payloads of less than 8,000 bytes; a space takes 53 at most.
    static let spacesMax = 140

    /// - Returns: `nil` for what no server has sent.
    init?(payload: String) {
        let words = payload.split(separator: " ", omittingEmptySubsequences: false)
        guard let first = words.first, let origin = UInt64(first, radix: 16) else { return nil }
        self.origin = origin
        self.cursors = [:]
        if words.count == 2, words[1] == "*" { return }
        guard words.count >= 3, words.count % 2 == 1 else { return nil }
        for index in stride(from: 1, to: words.count, by: 2) {
            guard words[index].utf8.count == 32, let space = UInt128(words[index], radix: 16),
                let cursor = Int64(words[index + 1]), cursor > 0
            else { return nil }
            self.cursors[SpaceID(bits: space)] = cursor
        }
    }

    /// - Parameter cursors: Empty: anything may have changed.
    static func payloads(from origin: UInt64, _ cursors: [SpaceID: Int64]) -> [String] {
        let head = String(origin, radix: 16)
        if cursors.isEmpty { return [head + " *"] }
        let words = cursors.map { space, cursor in
            let digits = String(space.bits, radix: 16)
            return " " + String(repeating: "0", count: 32 - digits.count) + digits + " \(cursor)"
        }
        return stride(from: 0, to: words.count, by: Self.spacesMax).map { start in
            head + words[start..<min(start + Self.spacesMax, words.count)].joined()
        }
    }
}
