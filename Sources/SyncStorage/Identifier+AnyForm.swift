package import SyncProtocol

extension Identifier {
    /// A UUID in any textual form: hyphenated, 32 hexadecimal digits, in braces, or as `urn:uuid:` (docs/contract/storage.md
    /// §1.3). Any case.
    package init?(anyForm text: String) {
        var digits = Substring(text)
        if digits.first == "{", digits.last == "}" {
            digits = digits.dropFirst().dropLast()
        } else if digits.prefix(9).lowercased() == "urn:uuid:" {
            digits = digits.dropFirst(9)
        }
        if digits.utf8.count == 36 {
            self.init(wireText: String(digits))
        } else if digits.utf8.count == 32, digits.utf8.allSatisfy(\.isHexDigit),
            let bits = UInt128(digits, radix: 16)
        {
            self.init(bits: bits)
        } else {
            return nil
        }
    }
}

extension UInt8 {
    fileprivate var isHexDigit: Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self)
            || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(self | 0x20)
    }
}
