/// What a `Range` header asks of a file (RFC 9110 §14). One range of bytes is understood; everything else is ignored, as the
/// RFC allows.
enum ByteRange: Hashable, Sendable {
    /// The whole file.
    case whole
    /// Not empty.
    case part(Range<Int64>)
    /// No byte of the file is in the range.
    case unsatisfiable

    /// - Parameters:
    ///   - text: The value of the header.
    ///   - size: Bytes of the file.
    init(_ text: String, size: Int64) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].lowercased() == "bytes" else {
            self = .whole
            return
        }
        let bounds = parts[1].split(separator: "-", omittingEmptySubsequences: false)
        guard bounds.count == 2 else {
            self = .whole
            return
        }
        self =
            switch (bounds[0].isEmpty, bounds[1].isEmpty) {
            case (true, true): .whole
            case (true, false): Self.suffix(bounds[1], size)
            case (false, _): Self.range(from: bounds[0], through: bounds[1], size)
            }
    }

    private static func suffix(_ count: Substring, _ size: Int64) -> ByteRange {
        guard let count = Self.number(count) else { return .whole }
        guard count > 0 else { return .unsatisfiable }
        // The last bytes of an empty file are all of it, which no Content-Range can say.
        return size == 0 ? .whole : .part(max(0, size - count)..<size)
    }

    private static func range(from first: Substring, through last: Substring, _ size: Int64) -> ByteRange {
        guard let first = Self.number(first) else { return .whole }
        var end = size
        if !last.isEmpty {
            guard let last = Self.number(last), last >= first else { return .whole }
            end = last < size ? last + 1 : size
        }
        return first < size ? .part(first..<end) : .unsatisfiable
    }

    /// Digits alone; a number that is too large to be represented is as good as the largest.
    private static func number(_ digits: Substring) -> Int64? {
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(digits) ?? .max
    }
}

/// Conditions on the one entity tag that a file has for ever: its id.
enum EntityTag {
    /// Whether `If-None-Match` names the tag; weak comparison (RFC 9110 §13.1.2).
    static func isNamed(_ tag: String, by conditions: [String]) -> Bool {
        conditions.flatMap { $0.split(separator: ",") }.contains { element in
            var element = Self.trimmed(element)
            if element == "*" { return true }
            if element.hasPrefix("W/") { element = element.dropFirst(2) }
            return element == tag
        }
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        var text = text.drop(while: isSpace)
        while let last = text.last, isSpace(last) { text.removeLast() }
        return text
    }
}
