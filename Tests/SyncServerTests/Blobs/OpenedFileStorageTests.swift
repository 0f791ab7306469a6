import Foundation
import SyncProtocol
import SyncStorage
import Testing

@testable import SyncServer

@Suite("File storage at the start", .timeLimit(.minutes(1)))
struct OpenedFileStorageTests {
    private func configuration(_ directory: String, _ files: String) -> ServerConfiguration {
        var configuration = ServerConfiguration()
        configuration.database = .sqlite(path: directory + "/test.db")
        configuration.fileStorage = .local
        configuration.fileStoragePath = directory + files
        return configuration
    }

    @Test("HL1: without file storage nothing is opened")
    func none() async throws {
        let files = try await OpenedFileStorage.open(ServerConfiguration())
        #expect(files == nil)
    }

    @Test("OS6: the directory is made with its parents, and the limits are those of the configuration")
    func directory() async throws {
        try await TemporaryDirectory.with { directory in
            var configuration = self.configuration(directory, "/a/b")
            configuration.fileBytesMax = 5
            let files = try #require(try await OpenedFileStorage.open(configuration))
            #expect(files.uploads.limits.fileBytesMax == 5)
            let key = FileKey.random()
            await #expect(throws: BlobError.tooLarge) { _ = try await files.store.begin(key, length: 6) }
            try await files.store.put(key, patternedBytes(5))
            #expect(TemporaryDirectory.files(below: directory) == ["a/b/\(key.path)"])
        }
    }

    @Test("OC20: a directory that cannot be used stops the start, and the database is free again")
    func unusable() async throws {
        try await TemporaryDirectory.with { directory in
            try Data().write(to: URL(fileURLWithPath: directory + "/file"))
            let configuration = self.configuration(directory, "/file/files")
            let error = BlobError.failed(
                detail: "FILE_STORAGE_PATH \"\(directory)/file/files\": blob store failed: mkdir: Not a directory")
            for _ in 0..<2 {
                await #expect(throws: error) {
                    _ = try await Server.open(
                        configuration, Server.Parts(configuration), logger: FileStorageFixture.silent)
                }
            }
        }
    }

    @Test("What was left unfinished for a day is removed at the start")
    func leftovers() async throws {
        try await TemporaryDirectory.with { directory in
            let configuration = self.configuration(directory, "/files")
            let files = try #require(try await OpenedFileStorage.open(configuration))
            _ = try await files.store.begin(.random(), length: 1)
            _ = try await OpenedFileStorage.open(configuration)
            let left = try #require(TemporaryDirectory.files(below: directory).first)
            try FileManager.default.setAttributes(
                [.modificationDate: Date().addingTimeInterval(-25 * 3_600)], ofItemAtPath: "\(directory)/\(left)")
            _ = try await OpenedFileStorage.open(configuration)
            #expect(TemporaryDirectory.files(below: directory) == [])
        }
    }
}
