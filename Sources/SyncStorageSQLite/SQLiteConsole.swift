import GRDB
package import NIOCore
package import SyncStorage

/// A column or a parameter of a statement.
package enum SQLiteValue: Hashable, Sendable {
    case null
    case integer(Int64)
    case text(String)
    case blob(ByteBuffer)
}

/// A connection of its own to a database that a server may have open: for tools and for tests. It takes no lock on the
/// file but those of its statements, and waits for those of others.
package final class SQLiteConsole: Sendable {
    private let connection: SQLiteConnection

    package init(path: String) async throws(StorageError) {
        self.connection = try await blocking(while: "open the database") {
            var configuration = Configuration()
            configuration.label = "less-sync.sqlite.console"
            configuration.busyMode = .timeout(5)
            configuration.allowsUnsafeTransactions = true
            return SQLiteConnection(try DatabaseQueue(path: path, configuration: configuration))
        }
    }

    /// Runs one statement and returns its rows.
    ///
    /// - Parameter sql: Parameters are numbered in the order in which they first occur, whatever they are called.
    @discardableResult
    package func execute(_ sql: String, _ values: [SQLiteValue] = []) async throws(StorageError) -> [[SQLiteValue]] {
        try await self.connection.perform(while: "run a statement") { db in
            let statement = try SQLiteStatement(db, sql, action: "run a statement")
            defer {
                statement.reset()
                statement.clearBindings()
            }
            for (index, value) in values.enumerated() {
                let number = Int32(index + 1)
                switch value {
                case .null: try statement.bind(nil as Int64?, at: number)
                case .integer(let value): try statement.bind(value, at: number)
                case .text(let text): try statement.bind(text, at: number)
                case .blob(let bytes): try statement.bind(copying: bytes, at: number)
                }
            }
            var rows: [[SQLiteValue]] = []
            while try statement.step() { rows.append((0..<statement.columnCount).map(statement.value)) }
            return rows
        }
    }

    package func close() async throws(StorageError) { try await self.connection.close() }
}

extension SQLiteStatement {
    fileprivate func value(_ column: Int32) -> SQLiteValue {
        switch self.kind(column) {
        case .null: .null
        case .integer: .integer(self.int64(column))
        case .text: .text(self.text(column))
        case .blob: .blob(self.buffer(column) ?? ByteBuffer())
        }
    }
}
