package import Logging
package import SyncStorage

/// One connection, as the migrator uses it: single statements of text, rows of text.
package protocol MigrationSession: Sendable {
    /// - Throws: `.database` when the statement fails; the session goes on to be usable.
    @discardableResult
    func run(_ sql: String) async throws(StorageError) -> [[String?]]
}

/// Brings a database to a version of the schema, one that the reference server or its predecessor made among them
/// (docs/contract/storage.md §3).
///
/// Each step and its version row are one transaction. Migrators that start together take turns.
package struct PostgresMigrator: Sendable {
    package struct Step: Hashable, Sendable {
        package let version: Int
        package let name: String
        /// As PostgreSQL writes it; `nil` while pending.
        package let appliedAt: String?
    }

    /// The version that this program needs.
    package static let latestVersion = Migration.latestVersion

    private let session: any MigrationSession
    private let logger: Logger

    /// The latest versions of the reference server and of its predecessor (docs/contract/storage.md §3.1).
    private static let referenceVersion = 12
    private static let predecessorVersion = 11

    /// Seconds that a migrator waits for another one.
    private static let lockTimeoutSeconds = 120

    package init(session: any MigrationSession, logger: Logger) {
        self.session = session
        self.logger = logger
    }

    /// Applies what is missing, then runs `andThen` under the same lock, in the same session.
    ///
    /// - Returns: The versions applied now.
    /// - Throws: `.migration` when the history has a failed or a later version, or a step fails: the database is then at
    ///   the version before it.
    @discardableResult
    package func migrate(
        andThen: @Sendable (any MigrationSession) async throws(StorageError) -> Void = { _ in }
    ) async throws(StorageError) -> [Int] {
        try await self.locked { () async throws(StorageError) -> [Int] in
            let applied = try await self.history()
            var now: [Int] = []
            for migration in Migration.all where !applied.contains(migration.version) {
                try await self.apply(migration)
                now.append(migration.version)
            }
            try await andThen(self.session)
            return now
        }
    }

    /// Runs `body` under the lock, if the database is at the version that this program needs.
    ///
    /// - Throws: `.migration` if it is not, and as `migrate` does.
    package func withCurrentSchema(
        _ body: @Sendable (any MigrationSession) async throws(StorageError) -> Void
    ) async throws(StorageError) {
        try await self.locked { () async throws(StorageError) in
            let version = try await self.version()
            guard version == Self.latestVersion else {
                throw .migration(
                    detail: "the database is at version \(version), not \(Self.latestVersion); run less-sync migrate")
            }
            try await body(self.session)
        }
    }

    /// Undoes the latest `count` versions, latest first.
    ///
    /// - Returns: The versions undone.
    @discardableResult
    package func down(_ count: Int) async throws(StorageError) -> [Int] {
        try await self.locked { () async throws(StorageError) -> [Int] in
            let applied = try await self.history()
            var undone: [Int] = []
            for migration in Migration.all.reversed() where undone.count < count && applied.contains(migration.version)
            {
                try await self.undo(migration)
                undone.append(migration.version)
            }
            return undone
        }
    }

    /// All versions that this program knows. Writes nothing.
    ///
    /// - Throws: `.migration` as `migrate` does.
    package func status() async throws(StorageError) -> [Step] {
        var times: [Int: String] = [:]
        if try await self.tableExists("less_sync_migrations") {
            let rows = try await self.session.run("SELECT version, applied_at FROM less_sync_migrations")
            _ = try Self.known(rows)
            for row in rows {
                if let version = row[0].flatMap({ Int($0) }) { times[version] = row[1] }
            }
        } else {
            for version in try await self.foreignHistory() { times[version] = "by another program" }
        }
        return Migration.all.map { Step(version: $0.version, name: $0.name, appliedAt: times[$0.version]) }
    }

    /// The highest version applied, 0 for none. Writes nothing.
    ///
    /// - Throws: `.migration` as `migrate` does.
    package func version() async throws(StorageError) -> Int {
        if try await self.tableExists("less_sync_migrations") { return try await self.ownHistory().max() ?? 0 }
        return try await self.foreignHistory().max() ?? 0
    }
}

// MARK: - History

extension PostgresMigrator {
    /// The versions applied. Makes our own table, filled from a foreign one, where it is missing.
    private func history() async throws(StorageError) -> Set<Int> {
        if try await self.tableExists("less_sync_migrations") { return try await self.ownHistory() }
        let versions = try await self.foreignHistory()
        var statements = [
            """
            CREATE TABLE less_sync_migrations (
                version integer NOT NULL PRIMARY KEY,
                name text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        ]
        statements += Migration.all.filter { versions.contains($0.version) }.map(Self.insertVersion)
        try await self.transaction(statements)
        return versions
    }

    private func ownHistory() async throws(StorageError) -> Set<Int> {
        try Self.known(await self.session.run("SELECT version FROM less_sync_migrations"))
    }

    private func foreignHistory() async throws(StorageError) -> Set<Int> {
        if try await self.tableExists("_sqlx_migrations") {
            let failed = try await self.session.run(
                "SELECT version FROM _sqlx_migrations WHERE NOT success ORDER BY version LIMIT 1")
            if let version = failed.first?.first ?? nil {
                throw .migration(detail: "version \(version) is recorded as failed")
            }
            return try Self.known(
                await self.session.run("SELECT version FROM _sqlx_migrations"), through: Self.referenceVersion)
        }
        if try await self.tableExists("goose_db_version") {
            // A version that was undone may have a later row which says so.
            let rows = try await self.session.run(
                """
                SELECT max(version_id) FROM (
                    SELECT DISTINCT ON (version_id) version_id, is_applied FROM goose_db_version
                    ORDER BY version_id, tstamp DESC NULLS LAST
                ) AS latest WHERE is_applied
                """)
            let highest = rows.first?.first.flatMap { $0 }.flatMap { Int($0) } ?? 0
            return highest > 0
                ? try Self.known((1...highest).map { ["\($0)"] }, through: Self.predecessorVersion) : []
        }
        return []
    }

    /// The versions in the first column.
    ///
    /// - Parameter latest: The highest one whose meaning is known. A later one of another program is not ours of that number.
    private static func known(
        _ rows: [[String?]], through latest: Int = Migration.latestVersion
    ) throws(StorageError) -> Set<Int> {
        let versions = Set(rows.compactMap { $0.first.flatMap { $0 }.flatMap { Int($0) } })
        if let highest = versions.max(), highest > latest {
            let known =
                latest == Migration.latestVersion ? "this program's \(latest)" : "the known \(latest) of its program"
            throw .migration(detail: "the schema is at version \(highest), newer than \(known)")
        }
        return versions
    }

    private func tableExists(_ name: String) async throws(StorageError) -> Bool {
        let rows = try await self.session.run("SELECT to_regclass('\(name)') IS NOT NULL")
        return rows.first?.first.flatMap { $0 } == "t"
    }
}

// MARK: - Steps

extension PostgresMigrator {
    private func apply(_ migration: Migration) async throws(StorageError) {
        try await self.step(migration, migration.up + [Self.insertVersion(migration)])
        self.logger.info(
            "migration applied", metadata: ["version": "\(migration.version)", "name": "\(migration.name)"])
    }

    private func undo(_ migration: Migration) async throws(StorageError) {
        // It belongs to the version of this program; an older program makes its own at its start.
        var statements = [PushFunction.drop] + migration.down
        statements.append("DELETE FROM less_sync_migrations WHERE version = \(migration.version)")
        if try await self.tableExists("_sqlx_migrations") {
            statements.append("DELETE FROM _sqlx_migrations WHERE version = \(migration.version)")
        }
        if try await self.tableExists("goose_db_version") {
            statements.append("DELETE FROM goose_db_version WHERE version_id = \(migration.version)")
        }
        try await self.step(migration, statements)
        self.logger.info(
            "migration undone", metadata: ["version": "\(migration.version)", "name": "\(migration.name)"])
    }

    private func step(_ migration: Migration, _ statements: [String]) async throws(StorageError) {
        do {
            try await self.transaction(statements)
        } catch .database(let detail) {
            throw .migration(detail: "version \(migration.version) (\(migration.name)): \(detail)")
        }
    }

    private func transaction(_ statements: [String]) async throws(StorageError) {
        try await self.session.run("BEGIN")
        do {
            for statement in statements { try await self.session.run(statement) }
            try await self.session.run("COMMIT")
        } catch {
            // Where this fails too, the session is gone and the transaction with it.
            _ = try? await self.session.run("ROLLBACK")
            throw error
        }
    }

    private static func insertVersion(_ migration: Migration) -> String {
        "INSERT INTO less_sync_migrations (version, name) VALUES (\(migration.version), '\(migration.name)')"
    }

    private func locked<Value: Sendable>(
        _ body: () async throws(StorageError) -> Value
    ) async throws(StorageError) -> Value {
        // One lock for each schema: "less" in ASCII, and the schema's name.
        let key = "1818587507, hashtext(current_schema())"
        try await self.session.run("SET lock_timeout = '\(Self.lockTimeoutSeconds)s'")
        // A step takes as long as it takes, whatever the role may otherwise.
        try await self.session.run("SET statement_timeout = 0")
        try await self.session.run("SELECT pg_advisory_lock(\(key))")
        let result: Result<Value, StorageError>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        _ = try? await self.session.run("SELECT pg_advisory_unlock(\(key))")
        _ = try? await self.session.run("RESET lock_timeout")
        _ = try? await self.session.run("RESET statement_timeout")
        return try result.get()
    }
}
