import GRDB
import GRDBSQLite
import SyncStorage

extension StorageError {
    /// - Parameter action: What was being done, for the log, as in "insert a record".
    init(sqliteCode code: Int32, while action: StaticString) {
        switch code & 0xFF {
        case SQLITE_BUSY, SQLITE_LOCKED, SQLITE_INTERRUPT: self = .unavailable
        // The connection's own message can quote what a trigger or a constraint saw; the text of the code cannot.
        default: self = .database(detail: "cannot \(action): \(String(cString: sqlite3_errstr(code))) (\(code))")
        }
    }

    init(_ error: any Error, while action: StaticString) {
        switch error {
        case let error as StorageError: self = error
        case let error as DatabaseError: self.init(sqliteCode: error.extendedResultCode.rawValue, while: action)
        default: self = .database(detail: "cannot \(action): \(type(of: error))")
        }
    }
}
