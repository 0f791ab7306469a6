/// A JSON value whose inside is looked at only when asked for.
package enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case text(String)
    /// As written. The slice keeps the text alive that it was read from.
    case number(ArraySlice<UInt8>)
    /// As written, already checked.
    case array(ArraySlice<UInt8>)
    /// As written, already checked.
    case object(ArraySlice<UInt8>)

    package var text: String? {
        if case .text(let text) = self { text } else { nil }
    }

    /// The value of a number that is written as an integer in 0...2^64−1. A fraction, an exponent or a sign makes it
    /// something else, whatever its value.
    package var unsignedInteger: UInt64? {
        guard case .number(let digits) = self else { return nil }
        var value: UInt64 = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        return value
    }

    /// The elements of an array.
    package var elements: [JSONValue]? {
        guard case .array(let source) = self else { return nil }
        return try? Self.readElements(source)
    }

    /// The elements of an array that holds only text.
    package var texts: [String]? {
        guard let elements = self.elements else { return nil }
        let texts = elements.compactMap(\.text)
        return texts.count == elements.count ? texts : nil
    }

    private static func readElements(_ source: ArraySlice<UInt8>) throws(JSONError) -> [JSONValue] {
        var reader = JSONReader(checked: source)
        var elements: [JSONValue] = []
        try reader.expect(UInt8(ascii: "["))
        guard !reader.take(UInt8(ascii: "]")) else { return [] }
        repeat { elements.append(try reader.readValue()) } while reader.take(UInt8(ascii: ","))
        try reader.expect(UInt8(ascii: "]"))
        return elements
    }
}
