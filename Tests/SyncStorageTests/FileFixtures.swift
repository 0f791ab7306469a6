import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting

extension NewFile {
    static func fixture(
        _ id: FileID = .random(), in space: SpaceID, of record: Int = 1, size: Int64 = 1_234,
        dek: ByteBuffer = .wrappedDEK()
    ) -> NewFile {
        NewFile(space: space, id: id, recordID: .fixture(record), size: size, wrappedDEK: dek)
    }
}

extension TestStorage {
    /// A space with this many records, at cursor 1.
    func makeFileSpace(records: Int = 1) async throws -> SpaceID {
        let space = try await self.makeSpace()
        _ = try await self.storage.push((1...records).map { .fixture($0) }, to: space)
        return space
    }
}

extension FileDeletionStore {
    func queuedFiles() async throws -> [FileID] { try await self.dueFileDeletions(limit: 1_000).map(\.file) }
}
