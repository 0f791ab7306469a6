import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Notifications of what other processes wrote")
struct RelayedChangesTests {
    private let space = SpaceID.random()
    private let meta = PullMeta(cursor: 99, keyGeneration: 3, rewrapEpoch: 4)

    private func record(_ number: Int, at cursor: Int64, _ blob: String? = "blob") -> PullEntry {
        .record(
            PulledRecord(
                id: .fixture(number), blob: blob.map { ByteBuffer(string: $0) }, cursor: cursor, wrappedDEK: nil,
                deleted: blob == nil))
    }

    /// Method, `prev`, cursor, records.
    private func described(_ frames: [ByteBuffer]) throws -> [String] {
        try frames.map { frame in
            guard case .notification(let method, let params) = try FrameDecoder.decodeServerFrame(frame) else {
                return "?"
            }
            guard method == Method.sync.rawValue else { return method }
            let sync = try params.decode(as: SyncNotification.self)
            #expect(sync.space == self.space && sync.keyGeneration == 3 && sync.rewrapEpoch == 4)
            #expect(sync.records.allSatisfy { $0.cursor == sync.cursor })
            return "\(sync.prev)>\(sync.cursor): " + sync.records.map { $0.deleted ? "-" : "+" }.joined()
        }
    }

    private func frames(_ entries: [PullEntry], after: Int64, through: Int64) -> [ByteBuffer] {
        var changes = RelayedChanges(space: self.space, meta: self.meta, after: after)
        var frames: [ByteBuffer] = []
        for entry in entries { frames += changes.add(entry) }
        frames += changes.finish(through: through)
        #expect(changes.told == through)
        return frames
    }

    @Test("One sync for each cursor, which follows what was told before, whatever has been overwritten in between")
    func records() throws {
        let entries = [
            self.record(1, at: 6), self.record(2, at: 6, nil), self.record(3, at: 7), self.record(4, at: 10),
        ]
        #expect(
            try self.described(self.frames(entries, after: 5, through: 12))
                == ["5>6: +-", "6>7: +", "7>10: +", "10>12: "])
    }

    @Test("Nothing is left of what was announced: the cursor moves all the same")
    func overwritten() throws {
        #expect(try self.described(self.frames([], after: 5, through: 6)) == ["5>6: "])
    }

    @Test("Membership entries and files keep their notification; a file that is flagged deleted becomes a word to pull")
    func otherKinds() throws {
        let entries: [PullEntry] = [
            self.record(1, at: 6), .member(.fixture(1, cursor: 7)), .file(.fixture(of: .fixture(1), cursor: 8)),
            .file(.fixture(of: .fixture(1), cursor: 9, deleted: true)), self.record(2, at: 10),
        ]
        #expect(
            try self.described(self.frames(entries, after: 5, through: 10))
                == ["5>6: +", "membership", "file", "9>9: ", "9>10: +"])
    }
}
