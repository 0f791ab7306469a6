import FoundationEssentials
import GRDB
import GRDBSQLite
import NIOCore
import SyncProtocol
import SyncStorage

/// A prepared statement out of its connection's cache, bound and stepped without the conversions of GRDB: a blob goes from
/// a `ByteBuffer` to SQLite uncopied, and back with one copy. Used within one closure on the connection's queue.
struct SQLiteStatement {
    /// Owns `handle`.
    private let statement: Statement
    private let handle: OpaquePointer
    private let connection: OpaquePointer
    private let action: StaticString

    /// - Parameter action: What the statement does, for the log, as in "insert a record".
    init(_ db: Database, _ sql: String, action: StaticString) throws(StorageError) {
        guard let connection = db.sqliteConnection else { throw .unavailable }
        do {
            self.statement = try db.cachedStatement(sql: sql)
        } catch {
            throw StorageError(error, while: action)
        }
        self.handle = self.statement.sqliteStatement
        self.connection = connection
        self.action = action
    }

    /// Rows that the statement has inserted, updated or deleted in its latest run.
    var changes: Int { Int(sqlite3_changes(self.connection)) }

    // MARK: Parameters, numbered from 1. They keep their values from run to run.

    func bind(_ value: Int64?, at index: Int32) throws(StorageError) {
        if let value {
            try self.check(sqlite3_bind_int64(self.handle, index, value))
        } else {
            try self.check(sqlite3_bind_null(self.handle, index))
        }
    }

    func bind<Subject>(_ id: Identifier<Subject>, at index: Int32) throws(StorageError) {
        let code = withUnsafeBytes(of: id.rawValue.uuid) { bytes in
            sqlite3_bind_blob(self.handle, index, bytes.baseAddress, Int32(bytes.count), transient)
        }
        try self.check(code)
    }

    func bind(_ text: String, at index: Int32) throws(StorageError) {
        var text = text
        // With its length: there may be a zero in it.
        let code = text.withUTF8 { utf8 in
            utf8.withMemoryRebound(to: CChar.self) { characters in
                sqlite3_bind_text(
                    self.handle, index, characters.baseAddress, Int32(clamping: characters.count), transient)
            }
        }
        try self.check(code)
    }

    /// A copy of the bytes; for short ones.
    func bind(copying bytes: ByteBuffer?, at index: Int32) throws(StorageError) {
        let code = withOptionalBytes(of: bytes) { bytes in self.bind(bytes, transient, at: index) }
        try self.check(code)
    }

    /// Not a copy: the bytes must stay until the parameter is bound again or the bindings are cleared.
    func bind(borrowing bytes: UnsafeRawBufferPointer?, at index: Int32) throws(StorageError) {
        try self.check(self.bind(bytes, nil, at: index))
    }

    private func bind(
        _ bytes: UnsafeRawBufferPointer?, _ lifetime: sqlite3_destructor_type?, at index: Int32
    ) -> Int32 {
        guard let bytes else { return sqlite3_bind_null(self.handle, index) }
        // No address would mean NULL, which is not the same as no bytes.
        guard let address = bytes.baseAddress, !bytes.isEmpty else {
            return sqlite3_bind_zeroblob(self.handle, index, 0)
        }
        return sqlite3_bind_blob64(self.handle, index, address, UInt64(bytes.count), lifetime)
    }

    func clearBindings() { sqlite3_clear_bindings(self.handle) }

    // MARK: Running

    /// Moves to the next row; false at the end.
    func step() throws(StorageError) -> Bool {
        switch sqlite3_step(self.handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case let code: throw StorageError(sqliteCode: code, while: self.action)
        }
    }

    /// Ends a run; must follow every run, so that the statement holds no lock. What failed has been reported by `step`.
    func reset() { sqlite3_reset(self.handle) }

    /// Runs a statement of which no row is wanted.
    func run() throws(StorageError) {
        defer { self.reset() }
        while try self.step() {}
    }

    // MARK: Columns of the current row, numbered from 0.

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(self.handle, column) == SQLITE_NULL }

    enum Kind {
        case null
        case integer
        case text
        case blob
    }

    var columnCount: Int32 { sqlite3_column_count(self.handle) }

    func kind(_ column: Int32) -> Kind {
        switch sqlite3_column_type(self.handle, column) {
        case SQLITE_NULL: .null
        case SQLITE_INTEGER: .integer
        case SQLITE_BLOB: .blob
        // We store no other numbers; SQLite writes them as text.
        default: .text
        }
    }

    func int64(_ column: Int32) -> Int64 { sqlite3_column_int64(self.handle, column) }

    func int32(_ column: Int32) throws(StorageError) -> Int32 {
        guard let value = Int32(exactly: self.int64(column)) else {
            throw .database(detail: "cannot \(self.action): a number is out of range")
        }
        return value
    }

    func text(_ column: Int32) -> String {
        let address = UnsafeRawPointer(sqlite3_column_text(self.handle, column))
        let bytes = UnsafeRawBufferPointer(start: address, count: Int(sqlite3_column_bytes(self.handle, column)))
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Valid until the next step; `nil` for NULL.
    func bytes(_ column: Int32) -> UnsafeRawBufferPointer? {
        guard !self.isNull(column) else { return nil }
        let address = sqlite3_column_blob(self.handle, column)
        return UnsafeRawBufferPointer(start: address, count: Int(sqlite3_column_bytes(self.handle, column)))
    }

    func buffer(_ column: Int32) -> ByteBuffer? {
        self.bytes(column).map { bytes in bytes.isEmpty ? ByteBuffer() : ByteBuffer(bytes: bytes) }
    }

    func id<Subject>(_ column: Int32) throws(StorageError) -> Identifier<Subject> {
        guard let bytes = self.bytes(column), bytes.count == 16 else {
            throw .database(detail: "cannot \(self.action): an id is not 16 bytes long")
        }
        return Identifier(UUID(uuid: bytes.loadUnaligned(as: uuid_t.self)))
    }

    /// The bytes of an id as one big-endian number.
    func idBits(_ column: Int32) throws(StorageError) -> UInt128 {
        guard let bytes = self.bytes(column), bytes.count == 16 else {
            throw .database(detail: "cannot \(self.action): an id is not 16 bytes long")
        }
        return UInt128(bigEndian: bytes.loadUnaligned(as: UInt128.self))
    }

    private func check(_ code: Int32) throws(StorageError) {
        guard code == SQLITE_OK else { throw StorageError(sqliteCode: code, while: self.action) }
    }
}

/// Tells SQLite to copy what it is given.
private let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

/// `nil` for no buffer.
func withOptionalBytes<Result>(of buffer: ByteBuffer?, _ body: (UnsafeRawBufferPointer?) -> Result) -> Result {
    guard let buffer else { return body(nil) }
    return buffer.withUnsafeReadableBytes { body($0) }
}

extension Database {
    /// Runs one statement without parameters.
    func run(_ sql: String, action: StaticString) throws(StorageError) {
        try SQLiteStatement(self, sql, action: action).run()
    }
}
