package import FoundationEssentials
package import Logging
package import SyncStorage

/// What comparing rows with objects found, and what was done about it.
package struct FileCollectionReport: Hashable, Sendable, Codable {
    package struct Group: Hashable, Sendable, Codable {
        package var found = 0
        /// Bytes of the objects; those that rows name where there are no objects.
        package var bytes: Int64 = 0
        /// How many were removed. Objects that are left to a running server count as queued.
        package var reclaimed = 0
        package var queued = 0
    }

    package var rows = 0
    package var objects = 0
    /// Without a row, and old enough.
    package var objectsWithoutRows = Group()
    package var rowsWithoutObjects = Group()
    /// Objects without a row that are too young to be judged.
    package var youngObjects = 0
    /// Objects whose length is not what their row says. Nothing is done about them.
    package var wrongLengths = 0
    package var isDryRun = false
}

package enum FileCollectionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// More than half of the rows have no object.
    case wrongStore(missing: Int, rows: Int)
    /// More than half of the objects have no row.
    case wrongDatabase(orphans: Int, objects: Int)

    package var description: String {
        switch self {
        case .wrongStore(let missing, let rows):
            "\(missing) of \(rows) recorded files have no object: this may be the wrong file storage. Nothing was removed; "
                + "--force removes their rows all the same"
        case .wrongDatabase(let orphans, let objects):
            "\(orphans) of \(objects) objects have no row: this may be the wrong database. Nothing was removed; "
                + "--force removes them all the same"
        }
    }
}

/// Finds objects that no row knows of, and rows whose object is gone, and removes them (docs/contract/storage.md §6.5). Safe
/// beside running servers: what was found is looked at again under the lock of its file, or left to a server that holds it.
package struct FileCollection: Sendable {
    private static let rowsOfPage = 1_000

    private let storage: any FileStore & FileDeletionStore
    private let store: any BlobStore
    private let logger: Logger

    package init(
        storage: any FileStore & FileDeletionStore, store: any BlobStore, logger: Logger
    ) {
        self.storage = storage
        self.store = store
        self.logger = logger
    }

    /// - Parameters:
    ///   - youngerThan: objects published later than this are left alone.
    ///   - isForced: whether to go on when most rows have no object, or most objects no row.
    /// - Throws: `FileCollectionError` before anything was removed; `StorageError`, `BlobError`.
    package func run(
        before youngest: Date, isDryRun: Bool, isForced: Bool = false
    ) async throws -> FileCollectionReport {
        var (report, orphans, missing) = try await self.compare(before: youngest)
        report.isDryRun = isDryRun
        guard !isDryRun else { return report }
        if !isForced {
            guard !Self.isMost(missing.count, of: report.rows) else {
                throw FileCollectionError.wrongStore(missing: missing.count, rows: report.rows)
            }
            // Objects that are too young say nothing either way.
            let objects = report.objects - report.youngObjects
            guard !Self.isMost(orphans.count, of: objects) else {
                throw FileCollectionError.wrongDatabase(orphans: orphans.count, objects: objects)
            }
        }
        for file in missing where try await self.removeRow(of: file) {
            report.rowsWithoutObjects.reclaimed += 1
        }
        for key in orphans { try await self.storage.queueFileDeletion(key) }
        guard self.storage.sharesFileLocks else {
            report.objectsWithoutRows.queued = orphans.count
            return report
        }
        let worker = FileDeletionWorker(storage: self.storage, store: self.store, logger: self.logger)
        let outcome = try await worker.run()
        report.objectsWithoutRows.reclaimed = outcome.objects
        report.objectsWithoutRows.queued = outcome.failures
        return report
    }

    /// However few there are: one file may be the only one of somebody.
    private static func isMost(_ singles: Int, of all: Int) -> Bool { singles * 2 > all }

    // MARK: Comparing

    private typealias Comparison = (report: FileCollectionReport, orphans: [FileKey], missing: [RecordedFile])

    /// Walks through both in the order of their keys. Each may change meanwhile, so what does not match is asked for again.
    private func compare(before youngest: Date) async throws -> Comparison {
        var comparison: Comparison = (FileCollectionReport(), [], [])
        var objects = ObjectCursor(listing: self.store.list())
        var rows = RowCursor(storage: self.storage, limit: Self.rowsOfPage)
        var object = try await objects.next()
        var row = try await rows.next()
        while object != nil || row != nil {
            if let found = object, row.map({ found.key < $0.key }) ?? true {
                try await self.judge(found, before: youngest, &comparison)
                comparison.report.objects += 1
                object = try await objects.next()
            } else if let found = row, object.map({ found.key < $0.key }) ?? true {
                try await self.judge(found, &comparison)
                comparison.report.rows += 1
                row = try await rows.next()
            } else {
                if object?.length != row?.size { comparison.report.wrongLengths += 1 }
                comparison.report.objects += 1
                comparison.report.rows += 1
                object = try await objects.next()
                row = try await rows.next()
            }
        }
        return comparison
    }

    private func judge(_ object: BlobEntry, before youngest: Date, _ comparison: inout Comparison) async throws {
        guard object.modified < youngest else {
            comparison.report.youngObjects += 1
            return
        }
        guard try await !self.storage.fileExists(object.key.file, in: object.key.space) else { return }
        comparison.report.objectsWithoutRows.found += 1
        comparison.report.objectsWithoutRows.bytes += object.length
        comparison.orphans.append(object.key)
    }

    private func judge(_ row: RecordedFile, _ comparison: inout Comparison) async throws {
        guard try await self.store.length(of: row.key) == nil else { return }
        comparison.report.rowsWithoutObjects.found += 1
        comparison.report.rowsWithoutObjects.bytes += row.size
        comparison.missing.append(row)
    }

    /// The store is asked once more, for this object alone. A row that is there keeps others from publishing it, and one that
    /// was removed and recorded again meanwhile has another cursor.
    private func removeRow(of file: RecordedFile) async throws -> Bool {
        let key = file.key
        return try await self.storage.withFileLock(key.file, in: key.space) {
            let row: FileMetadata
            do { row = try await self.storage.file(key.file, in: key.space) } catch StorageError.fileNotFound {
                return false
            }
            guard try await self.store.length(of: key) == nil else { return false }
            return try await self.storage.removeFile(key.file, in: key.space, recordedAt: row.cursor)
        }
    }
}

private struct ObjectCursor {
    var listing: any BlobListing
    private var page: ArraySlice<BlobEntry> = []

    init(listing: any BlobListing) { self.listing = listing }

    mutating func next() async throws -> BlobEntry? {
        if self.page.isEmpty { self.page = try await self.listing.next()[...] }
        return self.page.popFirst()
    }
}

private struct RowCursor {
    let storage: any FileStore
    let limit: Int
    private var page: ArraySlice<RecordedFile> = []
    private var last: FileKey?
    private var isAtEnd = false

    init(storage: any FileStore, limit: Int) {
        self.storage = storage
        self.limit = limit
    }

    mutating func next() async throws -> RecordedFile? {
        if self.page.isEmpty, !self.isAtEnd {
            let page = try await self.storage.files(after: self.last, limit: self.limit)
            self.page = page[...]
            self.last = page.last?.key
            self.isAtEnd = page.count < self.limit
        }
        return self.page.popFirst()
    }
}
