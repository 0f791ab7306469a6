import NIOCore

extension PostgresValue {
    static func int4(_ value: Int32) -> ByteBuffer { ByteBuffer(integer: value) }

    /// - Parameter microseconds: Since 1970; PostgreSQL counts from 2000.
    static func timestamp(_ microseconds: Int64) -> ByteBuffer {
        ByteBuffer(integer: microseconds &- Self.microsecondsTo2000)
    }

    static func texts(_ values: [String]) -> ByteBuffer {
        Self.array(of: .text, values, bytes: values.reduce(0) { $0 + $1.utf8.count }) { value, buffer in
            buffer.writeString(value)
            return true
        }
    }

    fileprivate static let microsecondsTo2000: Int64 = 946_684_800_000_000
}

extension PostgresRows {
    /// A `timestamptz` in microseconds since 1970.
    func timestamp(_ row: Int, _ column: Int) -> Int64? {
        self.integer(row, column, as: Int64.self).map { $0 &+ PostgresValue.microsecondsTo2000 }
    }
}
