import NIOCore
import SyncProtocol
import SyncStorage

/// Makes notifications of what another process has written, from the rows that a pull would bring: one for each cursor
/// (docs/decisions/0012). Pure.
struct RelayedChanges {
    private let space: SpaceID
    private let meta: PullMeta
    /// The cursor of the latest notification.
    private(set) var told: Int64
    private var records: [RecordEntry] = []

    /// - Parameter after: What subscribers have been told of.
    init(space: SpaceID, meta: PullMeta, after: Int64) {
        self.space = space
        self.meta = meta
        self.told = after
    }

    /// - Parameter entry: In pull order.
    /// - Returns: Notifications that are complete.
    mutating func add(_ entry: PullEntry) -> [ByteBuffer] {
        var complete: [ByteBuffer] = []
        if let cursor = self.records.first?.cursor, cursor != entry.cursor { complete = self.takeRecords() }
        switch entry {
        case .record(let record):
            self.records.append(
                RecordEntry(
                    space: nil, id: record.id, blob: record.blob, cursor: record.cursor, dek: record.wrappedDEK,
                    deleted: record.deleted))
        case .member(let member):
            let previousHash = member.previousHash.readableBytes == 0 ? nil : member.previousHash
            let notification = MembershipNotification(
                space: self.space, cursor: member.cursor,
                entries: [
                    MembershipEntry(
                        chainSequence: member.chainSequence, previousHash: previousHash, entryHash: member.entryHash,
                        payload: member.payload)
                ])
            complete.append(FrameEncoder.notification(method: .membership, params: notification))
            self.told = max(self.told, member.cursor)
        case .file(let file):
            complete.append(self.frame(of: file))
            self.told = max(self.told, file.cursor)
        }
        return complete
    }

    /// - Parameter cursor: The last one that was asked for. When no row is left there, a notification without records says
    ///   so: what was written there has been overwritten, and will be told with its new cursor.
    mutating func finish(through cursor: Int64) -> [ByteBuffer] {
        let complete = self.takeRecords()
        guard self.told < cursor else { return complete }
        return complete + [self.takeSync(at: cursor)]
    }

    /// Says that there is something to pull.
    ///
    /// - Parameter meta: Of the space; `nil` when it is not known.
    static func nudge(_ space: SpaceID, at cursor: Int64, _ meta: PullMeta?) -> ByteBuffer {
        FrameEncoder.sync(
            SyncNotification(
                space: space, prev: cursor, cursor: cursor, keyGeneration: meta?.keyGeneration ?? 0,
                rewrapEpoch: meta?.rewrapEpoch, records: []))
    }

    private func frame(of file: PulledFile) -> ByteBuffer {
        // This server removes rows; one that is flagged is another program's way.
        guard !file.deleted else { return Self.nudge(self.space, at: file.cursor, self.meta) }
        return FrameEncoder.notification(
            method: .file,
            params: FileNotification(
                space: self.space, cursor: file.cursor,
                files: [.init(id: file.id, recordID: file.recordID, size: file.size, dek: file.wrappedDEK)]))
    }

    private mutating func takeRecords() -> [ByteBuffer] {
        guard let cursor = self.records.first?.cursor else { return [] }
        return [self.takeSync(at: cursor)]
    }

    private mutating func takeSync(at cursor: Int64) -> ByteBuffer {
        defer {
            self.told = max(self.told, cursor)
            self.records = []
        }
        return FrameEncoder.sync(
            SyncNotification(
                space: self.space, prev: self.told, cursor: cursor, keyGeneration: self.meta.keyGeneration,
                rewrapEpoch: self.meta.rewrapEpoch, records: self.records))
    }
}
