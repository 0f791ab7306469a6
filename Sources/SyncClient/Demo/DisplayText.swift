/// Text from elsewhere, made fit for a terminal.
enum DisplayText {
    /// Quoted; control characters, backslashes and whatever is not UTF-8 are escaped.
    static func path(_ path: String) -> String { self.path(bytes: Array(path.utf8)) }

    static func path(bytes: [UInt8]) -> String {
        var text = "\""
        var rest = bytes[...]
        while let first = rest.first {
            let length = self.sequenceLength(first)
            let sequence = rest.prefix(length)
            if length > 1, let valid = String(validating: sequence, as: UTF8.self), !self.hasControl(valid) {
                text += valid
                rest = rest.dropFirst(length)
                continue
            }
            let isPlain = (0x20..<0x7F).contains(first) && first != UInt8(ascii: "\\") && first != UInt8(ascii: "\"")
            text += isPlain ? String(Unicode.Scalar(first)) : self.escape(first)
            rest = rest.dropFirst()
        }
        return text + "\""
    }

    private static func sequenceLength(_ first: UInt8) -> Int {
        switch first {
        case 0xC0...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF7: 4
        default: 1
        }
    }

    /// Also those that turn the direction of the text.
    private static func hasControl(_ text: String) -> Bool {
        text.unicodeScalars.contains {
            switch $0.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: true
            default: false
            }
        }
    }

    private static func escape(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "\\x0\(digits)" : "\\x\(digits)"
    }

    /// In units of 1,000, three digits.
    static func bytes(_ count: Int64) -> String {
        var value = Double(count)
        for unit in ["B", "kB", "MB", "GB"] {
            if value < 999.5 { return unit == "B" ? "\(count) B" : "\(self.rounded(value)) \(unit)" }
            value /= 1_000
        }
        return "\(self.rounded(value)) TB"
    }

    private static func rounded(_ value: Double) -> String {
        value < 99.95 ? self.fixed(value, digits: 1) : self.fixed(value, digits: 0)
    }

    /// At most 3 digits behind the point.
    static func fixed(_ value: Double, digits: Int) -> String {
        var factor: Int64 = 1
        for _ in 0..<digits { factor *= 10 }
        let scaled = (value * Double(factor)).rounded()
        guard scaled.magnitude < 1e15 else { return "–" }
        let number = Int64(scaled)
        guard digits > 0 else { return "\(number)" }
        let fraction = String(number.magnitude % UInt64(factor))
        let sign = number < 0 ? "-" : ""
        return sign + "\(number.magnitude / UInt64(factor))."
            + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    /// Digits in groups of three.
    static func grouped(_ count: Int64) -> String {
        var groups: [String] = []
        var rest = String(count.magnitude)
        while rest.count > 3 {
            groups.insert(String(rest.suffix(3)), at: 0)
            rest.removeLast(3)
        }
        return (count < 0 ? "-" : "") + ([rest] + groups).joined(separator: ",")
    }
}
