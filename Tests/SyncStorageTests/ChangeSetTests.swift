import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@Suite("Change set")
struct ChangeSetTests {
    private let small = PushLimits(changesMax: 3, recordBlobBytesMax: 8, pushBlobBytesMax: 20)

    private func change(_ id: String, blobBytes: Int? = 1, dekBytes: Int? = nil) -> PushParams.Change {
        PushParams.Change(
            id: id, blob: blobBytes.map { ByteBuffer(repeating: 0, count: $0) }, expectedCursor: 0,
            dek: dekBytes.map { ByteBuffer(repeating: 0, count: $0) })
    }

    @Test("The changes come out as they went in, with ids as values and their payload counted")
    func accepted() throws {
        let changes = try ChangeSet(
            validating: [
                .fixture(1, "one", at: 4, dek: .wrappedDEK()), .fixture(2, nil, at: 9), .fixture(3, ""),
            ], limits: PushLimits())
        #expect(
            changes.changes == [
                RecordChange(
                    id: .fixture(1), blob: ByteBuffer(string: "one"), expectedCursor: 4, wrappedDEK: .wrappedDEK()),
                RecordChange(id: .fixture(2), blob: nil, expectedCursor: 9, wrappedDEK: nil),
                RecordChange(id: .fixture(3), blob: ByteBuffer(), expectedCursor: 0, wrappedDEK: nil),
            ])
        #expect(changes.payloadBytes == 47)
        #expect(try ChangeSet(validating: [], limits: PushLimits()).changes.isEmpty)
    }

    @Test(
        "PU12: a record id is a hyphenated UUID of any version and case",
        arguments: [
            "019400e8-7b5d-7000-8000-000000000001", "d205899b-b9fb-4d6e-8159-8578661a574c",
            "5a4bfc46-90cf-517c-9cd7-c5ca19f890d3", "D205899B-B9FB-4D6E-8159-8578661A574C",
            "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ])
    func validID(_ id: String) throws {
        let changes = try ChangeSet(validating: [self.change(id)], limits: PushLimits())
        #expect(changes.changes.map(\.id.wireText) == [id.lowercased()])
    }

    @Test(
        "PU12: anything else is an invalid record id",
        arguments: [
            "invalid-id", "abc", "not-a-valid-uuid", "", "019400e87b5d70008000000000000001",
            "019400e8-7b5d-7000-8000", "019400e8-7b5d-7000-8000-000000000001x",
            "{19400e8-7b5d-7000-8000-00000000001}", "019400e8-7b5d-7000-8000-00000000000g",
            "019400e8-7b5d-7000-8000_000000000001", "019400e87-b5d-7000-8000-000000000001",
            "019400e8-7b5d-7000-8000-00000000000é",
        ])
    func invalidID(_ id: String) {
        #expect(throws: StorageError.invalidRecordID) {
            try ChangeSet(validating: [self.change(id)], limits: PushLimits())
        }
    }

    @Test("PU13: a blob of exactly the limit is allowed, one byte more is not")
    func blobLimit() throws {
        let id = RecordID.fixtureText(1)
        #expect(try ChangeSet(validating: [self.change(id, blobBytes: 8)], limits: self.small).payloadBytes == 8)
        #expect(throws: StorageError.blobTooLarge) {
            try ChangeSet(validating: [self.change(id, blobBytes: 9)], limits: self.small)
        }
    }

    @Test("PU14: the same id twice is a duplicate, whatever its case")
    func duplicates() {
        let id = "d205899b-b9fb-4d6e-8159-8578661a574c"
        for second in [id, id.uppercased()] {
            #expect(throws: StorageError.duplicateRecordID) {
                try ChangeSet(validating: [self.change(id), self.change(second)], limits: PushLimits())
            }
        }
    }

    @Test("PU24: 100,000 changes are allowed, one more is not, and that is the first check")
    func recordLimit() throws {
        var changes = (0..<100_000).map { PushParams.Change.fixture($0, "") }
        #expect(try ChangeSet(validating: changes, limits: PushLimits()).changes.count == 100_000)
        changes.append(self.change("invalid-id"))
        #expect(throws: StorageError.pushRecordLimitExceeded) {
            try ChangeSet(validating: changes, limits: PushLimits())
        }
    }

    @Test("PU25: all blobs together are at most 500 MiB; DEKs do not count")
    func payloadLimit() throws {
        let blob = ByteBuffer(repeating: 0, count: 5_242_880)
        let changes = (0..<101).map { number in
            PushParams.Change(
                id: RecordID.fixtureText(number), blob: blob, expectedCursor: 0, dek: .wrappedDEK())
        }
        #expect(throws: StorageError.pushPayloadLimitExceeded) {
            try ChangeSet(validating: changes, limits: PushLimits())
        }
        #expect(try ChangeSet(validating: Array(changes.dropLast()), limits: PushLimits()).changes.count == 100)
    }

    @Test("Checks of one change come in order: id, duplicate, blob; the sum comes last")
    func order() {
        let (first, second) = (RecordID.fixtureText(1), RecordID.fixtureText(2))
        let cases: [([PushParams.Change], StorageError)] = [
            ([self.change("bad", blobBytes: 9)], .invalidRecordID),
            ([self.change(first), self.change(first, blobBytes: 9)], .duplicateRecordID),
            ([self.change(first, blobBytes: 9), self.change("bad")], .blobTooLarge),
            ([self.change(first, blobBytes: 9), self.change(first)], .blobTooLarge),
            (
                [self.change(first, blobBytes: 8), self.change(second, blobBytes: 8), self.change("bad")],
                .invalidRecordID
            ),
            (
                [
                    self.change(first, blobBytes: 8), self.change(second, blobBytes: 8),
                    self.change(RecordID.fixtureText(3), blobBytes: 8),
                ], .pushPayloadLimitExceeded
            ),
            (Array(repeating: self.change("bad"), count: 4), .pushRecordLimitExceeded),
        ]
        for (changes, error) in cases {
            #expect(throws: error) { try ChangeSet(validating: changes, limits: self.small) }
        }
    }

    @Test("Errors have the texts of the contract, and compare by kind and payload")
    func errors() {
        #expect(StorageError.spaceNotFound.description == "space not found")
        #expect(StorageError.spaceExists.description == "space already exists")
        #expect(StorageError.keyGenerationStale.description == "key generation stale")
        #expect(StorageError.invalidRecordID.description == "invalid record ID")
        #expect(StorageError.duplicateRecordID.description == "duplicate record ID in push")
        #expect(StorageError.blobTooLarge.description == "blob exceeds limit")
        #expect(StorageError.pushRecordLimitExceeded.description == "push exceeds record limit")
        #expect(StorageError.pushPayloadLimitExceeded.description == "push exceeds payload limit")
        #expect(StorageError.unavailable.description == "storage unavailable")
        #expect(StorageError.database(detail: "x").description == "database error: x")
        #expect(StorageError.migration(detail: "x").description == "migration error: x")
        #expect(StorageError.database(detail: "x") != StorageError.database(detail: "y"))
    }
}
