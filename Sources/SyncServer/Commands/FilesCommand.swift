import Foundation
import Logging
import SyncStorage

/// `less-sync files gc`: compares recorded files with the objects of the file storage.
package struct FilesCommand: Sendable {
    package struct Options: Sendable {
        /// Only reports.
        package var isDryRun = false
        /// One JSON object instead of sentences.
        package var isJSON = false
        /// Goes on although most rows have no object, or most objects no row.
        package var isForced = false
        /// Seconds; younger objects are left alone.
        package var minimumAge = 3_600
        /// Wins over `DATABASE_URL`.
        package var databaseURL: String?

        package init() {}
    }

    private let environment: [String: String]

    package init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        self.environment = environment
    }

    /// - Returns: The exit code.
    package func collect(_ options: Options) async -> Int32 {
        do {
            for line in try await self.lines(options) { Console.print(line) }
            return ExitStatus.success
        } catch let problems as ConfigurationErrors {
            for error in problems.errors { Console.error(error.message) }
        } catch {
            Console.error("\(error)")
        }
        return ExitStatus.failure
    }

    /// What is printed.
    func lines(_ options: Options, now: Date = Date()) async throws -> [String] {
        let report = try await self.report(options, now: now)
        guard options.isJSON else { return report.lines }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return [String(decoding: try encoder.encode(report), as: UTF8.self)]
    }

    private func report(_ options: Options, now: Date) async throws -> FileCollectionReport {
        let configuration = try ServerConfiguration.readDatabase(
            environment: self.environment, databaseURL: options.databaseURL, withFiles: true,
            readFile: SecretFile.read)
        guard let store = try await OpenedFileStorage.existingStore(of: configuration) else {
            throw ConfigurationErrors(errors: [
                ConfigurationError("FILE_STORAGE_BACKEND", "FILE_STORAGE_BACKEND is none: there are no files")
            ])
        }
        var logger = Logger(label: "less-sync") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        let storage = try await OpenedStorage.openBesideServer(
            configuration, takingLockIfFree: true, logger: logger)
        let result: Result<FileCollectionReport, any Error>
        do {
            result = .success(
                try await FileCollection(storage: storage, store: store, logger: logger).run(
                    before: now.addingTimeInterval(-Double(options.minimumAge)), isDryRun: options.isDryRun,
                    isForced: options.isForced))
        } catch {
            result = .failure(error)
        }
        await storage.close()
        await store.close()
        return try result.get()
    }
}

extension FileCollectionReport {
    /// Sentences for a person.
    var lines: [String] {
        var lines = ["\(self.rows) recorded files, \(self.objects) objects"]
        lines.append(
            "objects without a row: \(self.objectsWithoutRows.found), \(self.objectsWithoutRows.bytes) bytes"
                + self.ending(of: self.objectsWithoutRows))
        lines.append(
            "rows without an object: \(self.rowsWithoutObjects.found)" + self.ending(of: self.rowsWithoutObjects))
        if self.youngObjects > 0 { lines.append("objects too young to be judged: \(self.youngObjects)") }
        if self.wrongLengths > 0 {
            lines.append("objects of another length than their row says: \(self.wrongLengths); look at them")
        }
        return lines
    }

    private func ending(of group: Group) -> String {
        if self.isDryRun { return "; nothing removed" }
        let queued = group.queued > 0 ? ", \(group.queued) left to the running server" : ""
        return "; \(group.reclaimed) removed" + queued
    }
}
