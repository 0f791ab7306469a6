import Foundation
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncServer

@Suite("Unfinished files", .timeLimit(.minutes(1)))
struct UnfinishedFilesTests {
    @Test("Every ten minutes uploads and objects that nobody continues are removed, once they are a day old")
    func purge() async throws {
        try await TemporaryDirectory.with { directory in
            var configuration = ServerConfiguration()
            configuration.fileStorage = .local
            configuration.fileStoragePath = directory
            let files = try #require(try await OpenedFileStorage.open(configuration))
            let ticket = UploadTicket(
                owner: "alice", key: .random(), recordID: .random(), wrappedDEK: Array(repeating: 7, count: 44),
                length: 5)
            let upload = try await files.uploads.create(ticket)
            _ = try await files.store.begin(.random(), length: 1)
            #expect(TemporaryDirectory.files(below: directory).count == 4)

            let clock = TestClock()
            let age = EventLog<TimeInterval>()
            age.append(24 * 3_600 - 60)
            let job = PeriodicJob.removesUnfinishedFiles(
                from: files, PurgeIntervals(), clock: clock, now: { Date() + (age.all.last ?? 0) },
                logger: FileStorageFixture.silent)
            await withTaskGroup { group in
                group.addTask { try? await job.run() }
                for left in [4, 0] {
                    await clock.waitForSleepers(1)
                    clock.advance(by: .seconds(660))
                    // Asleep again: the run is over.
                    await clock.waitForSleepers(1)
                    #expect(TemporaryDirectory.files(below: directory).count == left)
                    age.append(24 * 3_600 + 60)
                }
                group.cancelAll()
            }
            await #expect(throws: UploadError.notFound) { try await files.uploads.take(upload.id) }
        }
    }
}
