import GRDB
import SyncProtocol
import SyncStorage
import Synchronization

/// A read transaction on a leased connection, and how far it has been read. The transaction stays open from call to call,
/// so that every page sees the same snapshot; statements do not.
final class SQLitePull: PullSnapshot {
    private enum State {
        case open(PullPosition)
        case over
    }

    let meta: PullMeta
    private let connection: DatabaseQueue
    private let query: PullQuery
    private let state: Mutex<State>

    /// Begins the transaction.
    ///
    /// - Throws: `.spaceNotFound`, then no transaction is left open.
    static func begin(
        on connection: DatabaseQueue, space: SpaceID, since: Int64
    ) async throws(StorageError) -> SQLitePull {
        let meta = try await connection.perform(while: "begin a pull") { db in
            try db.run("BEGIN DEFERRED", action: "begin a pull")
            do {
                // The first read pins the snapshot.
                guard let space = try SpaceQuery(db).first(space) else { throw StorageError.spaceNotFound }
                return PullMeta(
                    cursor: space.cursor, keyGeneration: space.keyGeneration, rewrapEpoch: space.rewrapEpoch)
            } catch {
                try? db.run("ROLLBACK", action: "end a pull")
                throw error
            }
        }
        return SQLitePull(meta: meta, connection: connection, space: space, since: since)
    }

    private init(meta: PullMeta, connection: DatabaseQueue, space: SpaceID, since: Int64) {
        self.meta = meta
        self.connection = connection
        self.query = PullQuery(space: space, showsDeleted: since != 0)
        self.state = Mutex(.open(PullPosition(after: since)))
    }

    func nextPage() async throws(StorageError) -> [PullEntry]? {
        guard case .open(let position) = self.state.withLock({ $0 }) else { throw .unavailable }
        guard !position.isAtEnd else { return nil }
        do {
            let (page, next) = try await self.connection.perform(while: "read a page of a pull") { db in
                // Once the transaction has ended the connection may be in another pull's hands.
                guard case .open = self.state.withLock({ $0 }) else { throw StorageError.unavailable }
                return try self.query.page(from: position, on: db)
            }
            self.state.withLock { state in
                if case .open = state { state = .open(next) }
            }
            return page.isEmpty ? nil : page
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
