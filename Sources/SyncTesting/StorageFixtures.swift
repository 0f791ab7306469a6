package import NIOCore
package import SyncProtocol
package import SyncStorage

extension RecordID {
    /// `019400e8-7b5d-7000-8000-` and the number in twelve decimal digits (docs/contract/storage.md §13).
    package static func fixture(_ number: Int) -> RecordID {
        guard let id = RecordID(wireText: fixtureText(number)) else {
            preconditionFailure("A fixture number has at most twelve digits.")
        }
        return id
    }

    package static func fixtureText(_ number: Int) -> String {
        let digits = String(number)
        return "019400e8-7b5d-7000-8000-" + String(repeating: "0", count: max(0, 12 - digits.count)) + digits
    }
}

extension PushParams.Change {
    /// A write of `blob` (`nil` deletes) to the fixture record of this number.
    package static func fixture(
        _ number: Int, _ blob: String? = "blob", at expectedCursor: Int64 = 0, dek: ByteBuffer? = nil
    ) -> PushParams.Change {
        PushParams.Change(
            id: RecordID.fixtureText(number), blob: blob.map { ByteBuffer(string: $0) },
            expectedCursor: expectedCursor, dek: dek)
    }
}

extension ByteBuffer {
    /// 44 bytes of `fill`.
    package static func wrappedDEK(fill: UInt8 = 7) -> ByteBuffer { ByteBuffer(repeating: fill, count: 44) }

    /// A 4-byte big-endian epoch and 40 bytes of `fill`.
    package static func wrappedDEK(epoch: UInt32, fill: UInt8 = 7) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(epoch)
        buffer.writeRepeatingByte(fill, count: 40)
        return buffer
    }
}

extension PulledMember {
    package static func fixture(_ chainSequence: Int32 = 1, cursor: Int64, payload: String = "member") -> PulledMember {
        PulledMember(
            chainSequence: chainSequence, cursor: cursor,
            previousHash: chainSequence == 1
                ? ByteBuffer() : ByteBuffer(repeating: UInt8(chainSequence - 1), count: 32),
            entryHash: ByteBuffer(repeating: UInt8(chainSequence), count: 32), payload: ByteBuffer(string: payload))
    }
}

extension PulledFile {
    package static func fixture(
        _ id: FileID = .random(), of record: RecordID, cursor: Int64, deleted: Bool = false
    ) -> PulledFile {
        PulledFile(
            id: id, recordID: record, size: deleted ? 0 : 1_234, wrappedDEK: deleted ? ByteBuffer() : .wrappedDEK(),
            cursor: cursor, deleted: deleted)
    }
}

/// A whole pull, collected.
package struct CollectedPull: Hashable, Sendable {
    package var meta: PullMeta
    package var entries: [PullEntry]

    package init(meta: PullMeta, entries: [PullEntry]) {
        self.meta = meta
        self.entries = entries
    }

    package var records: [PulledRecord] {
        self.entries.compactMap { entry in if case .record(let record) = entry { record } else { nil } }
    }
}

extension RecordStore {
    /// Validates and pushes.
    package func push(
        _ changes: [PushParams.Change], to space: SpaceID, keyGeneration: Int32 = 0, creator: String? = nil
    ) async throws -> PushOutcome {
        let changes = try ChangeSet(validating: changes, limits: PushLimits())
        return try await self.push(
            Push(space: space, changes: changes, keyGeneration: keyGeneration, creator: creator))
    }

    /// For tests alone: the result is as long as the space.
    package func collectPull(of space: SpaceID, since: Int64 = 0) async throws -> CollectedPull {
        try await self.withPull(of: space, since: since) { snapshot in
            var entries: [PullEntry] = []
            while let page = try await snapshot.nextPage() { entries += page }
            return CollectedPull(meta: snapshot.meta, entries: entries)
        }
    }
}

extension PushOutcome {
    /// `nil` on a conflict.
    package var receipt: PushReceipt? { if case .accepted(let receipt) = self { receipt } else { nil } }
    package var cursor: Int64? { self.receipt?.cursor }
}
