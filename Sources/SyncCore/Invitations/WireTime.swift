/// Times as they stand on the wire: RFC 3339 in UTC with `Z`, to the microsecond, without trailing zeros
/// (docs/contract/rpc.md §9).
enum WireTime {
    /// - Parameter microseconds: Since 1970, of the years 0 to 9999.
    static func text(microseconds: Int64) -> String {
        let (days, inDay) = Self.floorDivide(microseconds, by: 86_400_000_000)
        let date = Self.date(daysSince1970: days)
        let seconds = inDay / 1_000_000
        let time = [seconds / 3_600, seconds / 60 % 60, seconds % 60].map { Self.digits($0, 2) }
        return [Self.digits(date.year, 4), Self.digits(date.month, 2), Self.digits(date.day, 2)].joined(separator: "-")
            + "T" + time.joined(separator: ":") + Self.fraction(inDay % 1_000_000) + "Z"
    }

    private static func fraction(_ microseconds: Int64) -> String {
        guard microseconds > 0 else { return "" }
        var digits = Self.digits(microseconds, 6)
        while digits.last == "0" { digits.removeLast() }
        return "." + digits
    }

    private static func digits(_ value: Int64, _ count: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
    }

    /// The Gregorian date of a day, counted in years that begin in March, so that a leap day is the last of its year.
    private static func date(daysSince1970 days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let daysPerEra: Int64 = 146_097
        let (era, dayOfEra) = Self.floorDivide(days + 719_468, by: daysPerEra)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        let isAfterDecember = month >= 10
        return (yearOfEra + era * 400 + (isAfterDecember ? 1 : 0), isAfterDecember ? month - 9 : month + 3, day)
    }

    private static func floorDivide(_ value: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
