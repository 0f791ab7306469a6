import GRDB
import SyncStorage
import Synchronization

/// A read transaction on a leased connection, and how far it has been read. The transaction stays open from call to call,
/// so that every page sees the same snapshot; statements do not.
final class SQLitePages<Position: Sendable>: Sendable {
    private enum State {
        /// `nil`: everything has been read.
        case open(Position?)
        case over
    }

    private let connection: SQLiteConnection
    private let state: Mutex<State>

    /// - Parameter connection: In a transaction that has been begun.
    init(on connection: SQLiteConnection, from start: Position) {
        self.connection = connection
        self.state = Mutex(.open(start))
    }

    /// Begins a transaction, and ends it again when `body`, the first read, which pins its snapshot, throws.
    static func begin<Result: Sendable>(
        on connection: SQLiteConnection, _ body: @escaping @Sendable (Database) throws -> Result
    ) async throws(StorageError) -> Result {
        try await connection.perform(while: "begin a pull") { db in
            try db.run("BEGIN DEFERRED", action: "begin a pull")
            do {
                return try body(db)
            } catch {
                try? db.run("ROLLBACK", action: "end a pull")
                throw error
            }
        }
    }

    /// The next page; `nil` at the end.
    ///
    /// - Parameter read: Makes a page of what is behind a position, `nil` when nothing is, and the position behind the page,
    ///   `nil` at the end.
    func next<Page: Sendable>(
        _ read: @escaping @Sendable (Position, Database) throws(StorageError) -> (Page?, Position?)
    ) async throws(StorageError) -> Page? {
        guard case .open(let position) = self.state.withLock({ $0 }) else { throw .unavailable }
        guard let position else { return nil }
        do {
            let (page, next) = try await self.connection.perform(while: "read a page of a pull") { db in
                // Once the transaction has ended the connection may be in another pull's hands.
                guard case .open = self.state.withLock({ $0 }) else { throw StorageError.unavailable }
                return try read(position, db)
            }
            self.state.withLock { state in
                if case .open = state { state = .open(next) }
            }
            return page
        } catch {
            self.state.withLock { $0 = .over }
            throw error
        }
    }

    /// Ends the transaction, so that the connection can be released.
    func end() async throws(StorageError) {
        self.state.withLock { $0 = .over }
        do {
            try await self.connection.perform(while: "end a pull") { db in
                guard db.isInsideTransaction else { return }
                try db.run("ROLLBACK", action: "end a pull")
            }
        } catch .unavailable {
            // Closed, and with the connection its transaction.
        }
    }
}
