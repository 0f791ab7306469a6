package import FoundationEssentials
package import NIOCore
import SyncProtocol
package import SyncStorage

/// One connection for any SQL: for tools and tests that look at a database beside its storage.
package final class PostgresConsole: Sendable {
    private let thread: EventThread
    private let connection: PostgresConnection

    private static let timeLimit: Duration = .seconds(60)

    package init(url: String) async throws(StorageError) {
        guard let thread = EventThread() else { throw .unavailable }
        self.thread = thread
        do {
            self.connection = try await .connect(to: url, on: thread, within: Self.timeLimit) { _ in }
        } catch {
            thread.stop()
            throw error
        }
    }

    package func close() {
        self.connection.close()
        self.thread.stop()
    }

    /// - Parameter values: For `$1`, `$2` …
    @discardableResult
    package func execute(_ sql: String, _ values: [PostgresConsoleValue] = []) async throws(StorageError)
        -> [[PostgresConsoleValue]]
    {
        let statement = PostgresStatement(
            sql: sql, parameters: values.map(\.parameter), parametersAreText: true)
        do {
            guard let rows = try await self.connection.execute([statement], within: Self.timeLimit).first else {
                return []
            }
            return (0..<rows.count).map { row in
                (0..<rows.columns).map { PostgresConsoleValue(row, $0, of: rows) }
            }
        } catch {
            throw error.storageError
        }
    }
}

/// A value of the types that the schema uses.
package enum PostgresConsoleValue: Hashable, Sendable {
    case null
    case integer(Int64)
    case boolean(Bool)
    case text(String)
    case bytes(ByteBuffer)
    case uuid(UUID)

    /// Text, which PostgreSQL reads as the type that it expects.
    fileprivate var parameter: ByteBuffer? {
        let text: String
        switch self {
        case .null: return nil
        case .integer(let value): text = "\(value)"
        case .boolean(let value): text = value ? "t" : "f"
        case .text(let value): text = value
        case .bytes(let value): text = "\\x" + value.readableBytesView.map(Self.hex).joined()
        case .uuid(let value): text = value.uuidString
        }
        return ByteBuffer(string: text + "\0")
    }

    fileprivate init(_ row: Int, _ column: Int, of rows: PostgresRows) {
        guard let bytes = rows.bytes(row, column) else {
            self = .null
            return
        }
        // Object identifiers of pg_type.
        switch rows.types[column] {
        case 16: self = .boolean(rows.bool(row, column) ?? false)
        case 17: self = .bytes(bytes)
        case 20: self = .integer(rows.integer(row, column, as: Int64.self) ?? 0)
        case 23: self = .integer(Int64(rows.integer(row, column, as: Int32.self) ?? 0))
        case 2950: self = (rows.id(row, column) as SpaceID?).map { .uuid($0.rawValue) } ?? .null
        default: self = .text(String(buffer: bytes))
        }
    }

    private static func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }
}
