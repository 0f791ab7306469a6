package import FoundationEssentials
import GRDB
import Glibc
package import SyncStorage

/// Brings a database file to the schema of this program (docs/contract/storage.md §3, §11). SQLite databases start at
/// version 13; there is none with an older one.
package enum SQLiteMigrator {
    /// The version that this program needs.
    package static var currentVersion: Int { Schema.version }

    package struct Version: Hashable, Sendable {
        package var number: Int
        package var name: String
        /// `nil`: pending.
        package var appliedAt: Date?
    }

    /// Applies what is missing and returns those versions. Takes the database's lock.
    ///
    /// - Throws: `.migration` for a newer schema, or a file that is not ours; `.database` when the file is in use.
    package static func up(_ configuration: SQLiteConfiguration) async throws(StorageError) -> [Version] {
        try await self.withDatabase(configuration) { db in
            let before = try Set(self.versions(db).compactMap { $0.appliedAt == nil ? nil : $0.number })
            try self.migrate(db, now: configuration.now())
            return try self.versions(db).filter { !before.contains($0.number) }
        }
    }

    /// Empties the database; there is no version between the first and none to go back to.
    ///
    /// - Parameter count: At least the number of versions applied.
    /// - Returns: What was undone, the latest first.
    /// - Throws: `.migration` for a smaller count, with nothing changed.
    package static func down(
        _ count: Int, _ configuration: SQLiteConfiguration
    ) async throws(StorageError) -> [Version] {
        try await self.withDatabase(configuration) { db in
            let applied = try self.versions(db).filter { $0.appliedAt != nil }
            guard count >= applied.count else {
                throw StorageError.migration(
                    detail: "SQLite can only undo all \(applied.count) versions at once, and everything with them")
            }
            // Tables that refer to each other go in any order.
            try db.execute(sql: "PRAGMA foreign_keys = OFF")
            try db.inTransaction(.immediate) {
                let tables = try String.fetchAll(
                    db, sql: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
                for table in tables { try db.execute(sql: "DROP TABLE \(table.quotedDatabaseIdentifier)") }
                return .commit
            }
            return applied.reversed()
        }
    }

    /// Every version that this program knows, in order.
    package static func status(_ configuration: SQLiteConfiguration) async throws(StorageError) -> [Version] {
        guard self.exists(configuration) else {
            return Schema.names.map { Version(number: $0.version, name: $0.name, appliedAt: nil) }
        }
        return try await self.withDatabase(configuration) { db in try self.versions(db) }
    }

    /// The version of the database, 0 when it is empty.
    package static func version(_ configuration: SQLiteConfiguration) async throws(StorageError) -> Int {
        guard self.exists(configuration) else { return 0 }
        return try await self.withDatabase(configuration) { db in try self.appliedVersion(db) }
    }

    /// Whoever only looks makes no file.
    private static func exists(_ configuration: SQLiteConfiguration) -> Bool {
        configuration.path.map { access($0, F_OK) == 0 } ?? false
    }

    private static func withDatabase<Result: Sendable>(
        _ configuration: SQLiteConfiguration, _ body: @escaping @Sendable (Database) throws -> Result
    ) async throws(StorageError) -> Result {
        try await blocking(while: "read the schema version") {
            try DatabaseFile(path: configuration.path).use { file in
                let queue = try DatabaseQueue.writer(at: file.path, configuration)
                let result = try queue.inDatabase(body)
                try queue.close()
                file.release()
                return result
            }
        }
    }

    // MARK: On an open connection

    /// One transaction for the baseline, and one for each step: two that come at once both end with every version recorded
    /// once.
    static func migrate(_ db: Database, now: Date) throws {
        try db.inTransaction(.immediate) {
            guard try self.appliedVersion(db) == 0 else { return .commit }
            try db.execute(sql: Schema.versionTable)
            for statement in Schema.baseline { try db.execute(sql: statement) }
            for (version, name) in Schema.baselineNames { try self.record(version, name, at: now, db) }
            return .commit
        }
        for step in Schema.steps {
            try db.inTransaction(.immediate) {
                guard try self.appliedVersion(db) < step.version else { return .commit }
                for statement in step.statements { try db.execute(sql: statement) }
                try self.record(step.version, step.name, at: now, db)
                return .commit
            }
        }
    }

    private static func record(_ version: Int, _ name: String, at now: Date, _ db: Database) throws {
        try db.execute(
            sql: "INSERT INTO less_sync_migrations (version, name, applied_at) VALUES (?, ?, ?)",
            arguments: [version, name, now.microseconds])
    }

    /// - Throws: `.migration` unless the database is empty or at a version of ours.
    static func appliedVersion(_ db: Database) throws -> Int {
        guard try db.tableExists("less_sync_migrations") else {
            guard try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'") == 0
            else {
                throw StorageError.migration(detail: "the file has tables, but not those of less-sync")
            }
            return 0
        }
        let versions = try Int.fetchAll(db, sql: "SELECT version FROM less_sync_migrations ORDER BY version")
        guard let last = versions.last else {
            throw StorageError.migration(detail: "the table of versions is empty")
        }
        guard last <= Schema.version else {
            throw StorageError.migration(
                detail: "the database is at version \(last), newer than version \(Schema.version) of this program")
        }
        guard last >= Schema.baselineVersion, versions == Array(1...last) else {
            throw StorageError.migration(detail: "the table of versions lists \(versions), which no program wrote")
        }
        return last
    }

    private static func versions(_ db: Database) throws -> [Version] {
        var applied: [Int: Date] = [:]
        if try self.appliedVersion(db) > 0 {
            for row in try Row.fetchAll(db, sql: "SELECT version, applied_at FROM less_sync_migrations") {
                applied[row[0]] = Date(microseconds: row[1])
            }
        }
        return Schema.names.map { Version(number: $0.version, name: $0.name, appliedAt: applied[$0.version]) }
    }
}

extension Date {
    /// Since the Unix epoch, as times are stored.
    var microseconds: Int64 { Int64((self.timeIntervalSince1970 * 1_000_000).rounded()) }

    init(microseconds: Int64) { self.init(timeIntervalSince1970: Double(microseconds) / 1_000_000) }
}
