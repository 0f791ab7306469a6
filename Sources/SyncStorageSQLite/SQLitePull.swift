import GRDB
import SyncProtocol
import SyncStorage

/// The snapshot of a pull.
struct SQLitePull: PullSnapshot {
    let meta: PullMeta
    let pages: SQLitePages<PullPosition>
    private let query: PullQuery

    /// Begins the transaction.
    ///
    /// - Throws: `.spaceNotFound`, then no transaction is left open.
    static func begin(
        on connection: SQLiteConnection, space: SpaceID, since: Int64
    ) async throws(StorageError) -> SQLitePull {
        let meta = try await SQLitePages<PullPosition>.begin(on: connection) { db in
            guard let space = try SpaceQuery(db).first(space) else { throw StorageError.spaceNotFound }
            return PullMeta(cursor: space.cursor, keyGeneration: space.keyGeneration, rewrapEpoch: space.rewrapEpoch)
        }
        return SQLitePull(
            meta: meta, pages: SQLitePages(on: connection, from: PullPosition(after: since)),
            query: PullQuery(space: space, showsDeleted: since != 0))
    }

    func nextPage<Page: PullPage>(_ makePage: @escaping @Sendable () -> Page) async throws(StorageError) -> Page? {
        let query = self.query
        return try await self.pages.next { position, db throws(StorageError) in
            try query.page(from: position, on: db, makePage)
        }
    }
}
