import Foundation
import Testing

@testable import SyncCore

@Suite("Times on the wire")
struct WireTimeTests {
    @Test(
        "rpc §9: RFC 3339 in UTC, with the digits of a fraction that it needs",
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.000001Z"), (100_000, "1970-01-01T00:00:00.1Z"),
            (1_767_225_600_000_000, "2026-01-01T00:00:00Z"), (1_767_225_599_999_999, "2025-12-31T23:59:59.999999Z"),
            (951_782_400_120_000, "2000-02-29T00:00:00.12Z"), (4_107_542_400_000_000, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"), (253_402_300_799_000_000, "9999-12-31T23:59:59Z"),
        ] as [(Int64, String)])
    func text(microseconds: Int64, expected: String) {
        #expect(WireTime.text(microseconds: microseconds) == expected)
    }

    @Test("every day of a century and a half has the date that Foundation gives it")
    func days() {
        for day in stride(from: -3_653 as Int64, through: 51_136, by: 1) {
            let date = Date(timeIntervalSince1970: Double(day) * 86_400)
            #expect(WireTime.text(microseconds: day * 86_400_000_000) == date.formatted(.iso8601))
        }
    }
}
