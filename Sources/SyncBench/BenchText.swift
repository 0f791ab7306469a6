/// Numbers for people.
enum BenchText {
    /// `12,345`, or with decimals below 100.
    static func rate(_ value: Double) -> String {
        value < 100 ? Self.fixed(value, digits: 1) : Self.grouped(UInt64(value.rounded()))
    }

    static func grouped(_ value: UInt64) -> String {
        var text = ""
        for (index, digit) in String(value).reversed().enumerated() {
            if index > 0, index % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }

    static func fixed(_ value: Double, digits: Int) -> String {
        let scale = (0..<digits).reduce(1.0) { product, _ in product * 10 }
        let scaled = UInt64(min(max(0, (value * scale).rounded()), 1e18))
        guard digits > 0 else { return Self.grouped(scaled) }
        let fraction = String(scaled % UInt64(scale))
        return Self.grouped(scaled / UInt64(scale)) + "." + String(repeating: "0", count: digits - fraction.count)
            + fraction
    }

    /// Nanoseconds as milliseconds.
    static func milliseconds(_ nanoseconds: UInt64) -> String {
        let value = Double(nanoseconds) / 1e6
        return Self.fixed(value, digits: value < 10 ? 3 : value < 100 ? 2 : 1)
    }

    static func mebibytes(_ bytes: Int) -> String { Self.fixed(Double(bytes) / 1_048_576, digits: 1) + " MiB" }

    /// Columns of equal width; the first is set left, the others right.
    static func table(_ rows: [[String]]) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            row.indices.map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                return column == 0 ? row[column] + space : space + row[column]
            }.joined(separator: "  ")
        }
    }
}
