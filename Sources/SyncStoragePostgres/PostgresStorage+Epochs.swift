package import SyncProtocol
package import SyncStorage

extension PostgresStorage {
    package func advanceEpoch(
        of space: SpaceID, to epoch: Int32, setsMinimum: Bool
    ) async throws(StorageError) {
        // The last statement sees what the one before it waited for.
        let rows = try await self.transaction([
            PostgresStatement(
                name: "advance_epoch",
                sql: """
                    UPDATE spaces SET key_generation = $2::int4, rewrap_epoch = $2::int4,
                        min_key_generation = CASE WHEN $3::bool THEN $2::int4 ELSE min_key_generation END
                    WHERE id = $1::uuid AND key_generation::int8 + 1 = $2::int4 AND rewrap_epoch IS NULL
                    RETURNING id
                    """,
                parameters: [
                    PostgresValue.id(space), PostgresValue.int4(epoch), PostgresValue.bool(setsMinimum),
                ]),
            Self.epochs(of: space),
        ])
        guard rows.count == 2, rows[0].count == 0 else { return }
        let (current, rewrap) = try Self.epochs(rows[1])
        throw .epochConflict(current: current, rewrap: rewrap)
    }

    package func completeRewrap(of space: SpaceID, for epoch: Int32) async throws(StorageError) {
        let rows = try await self.transaction([
            PostgresStatement(
                name: "complete_rewrap",
                sql: """
                    UPDATE spaces SET rewrap_epoch = NULL WHERE id = $1::uuid AND rewrap_epoch = $2::int4 RETURNING id
                    """,
                parameters: [PostgresValue.id(space), PostgresValue.int4(epoch)]),
            Self.epochs(of: space),
        ])
        guard rows.count == 2, rows[0].count == 0 else { return }
        _ = try Self.epochs(rows[1])
        throw .epochMismatch
    }

    private static func epochs(of space: SpaceID) -> PostgresStatement {
        PostgresStatement(
            name: "epochs", sql: "SELECT key_generation, rewrap_epoch FROM spaces WHERE id = $1::uuid",
            parameters: [PostgresValue.id(space)])
    }

    private static func epochs(_ rows: PostgresRows) throws(StorageError) -> (current: Int32, rewrap: Int32?) {
        guard rows.count == 1 else { throw .spaceNotFound }
        guard let current = rows.integer(0, 0, as: Int32.self) else {
            throw .database(detail: "unexpected types in spaces")
        }
        return (current, rows.integer(0, 1, as: Int32.self))
    }
}
