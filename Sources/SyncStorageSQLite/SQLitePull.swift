import GRDB
import SyncProtocol
import SyncStorage

/// The snapshot of a pull.
struct SQLitePull: PullSnapshot {
    let meta: PullMeta
    let pages: SQLitePages<PullPosition, PullEntry>

    /// Begins the transaction.
    ///
    /// - Throws: `.spaceNotFound`, then no transaction is left open.
    static func begin(
        on connection: DatabaseQueue, space: SpaceID, since: Int64
    ) async throws(StorageError) -> SQLitePull {
        let meta = try await SQLitePages<PullPosition, PullEntry>.begin(on: connection) { db in
            guard let space = try SpaceQuery(db).first(space) else { throw StorageError.spaceNotFound }
            return PullMeta(cursor: space.cursor, keyGeneration: space.keyGeneration, rewrapEpoch: space.rewrapEpoch)
        }
        let query = PullQuery(space: space, showsDeleted: since != 0)
        let pages = SQLitePages(on: connection, from: PullPosition(after: since)) { position, db throws(StorageError) in
            let (page, next) = try query.page(from: position, on: db)
            return (page, next.isAtEnd ? nil : next)
        }
        return SQLitePull(meta: meta, pages: pages)
    }

    func nextPage() async throws(StorageError) -> [PullEntry]? { try await self.pages.next() }
}
