import Crypto
import NIOCore
import SyncProtocol
import Testing

@testable import SyncClient

@Suite("Demo verifier")
struct DemoVerifierTests {
    private let cipher = DemoCipher()

    private func record(_ sequence: Int64, _ content: DemoRecord) throws -> RecordEntry {
        try self.record(sequence, plaintext: content.encoded)
    }

    private func record(_ sequence: Int64, plaintext: ByteBuffer) throws -> RecordEntry {
        let id = self.cipher.recordID(sequence)
        return RecordEntry(
            space: nil, id: id, blob: try self.cipher.seal(plaintext, id: id), cursor: sequence + 1, dek: nil,
            deleted: false)
    }

    private static func hash(_ text: String) -> ByteBuffer {
        ByteBuffer(bytes: SHA256.hash(data: Array(text.utf8)))
    }

    /// A whole file in one part.
    private func file(_ path: String, _ text: String) -> DemoRecord {
        .part(
            DemoPart(
                path: path, index: 0, fileBytes: Int64(text.utf8.count), data: ByteBuffer(string: text),
                end: .complete(Self.hash(text))))
    }

    private func part(_ index: Int64, _ text: String, of total: Int64, _ end: DemoPart.End? = nil) -> DemoRecord {
        .part(DemoPart(path: "f", index: index, fileBytes: total, data: ByteBuffer(string: text), end: end))
    }

    private func manifest(_ files: [(String, String)], records: Int64) -> DemoRecord {
        var digest = DemoDigest()
        for (path, text) in files { digest.add(path: path, bytes: Int64(text.utf8.count), hash: Self.hash(text)) }
        return .manifest(digest.manifest(records: records))
    }

    private func verify(_ contents: [DemoRecord]) throws -> DemoVerifier {
        var verifier = DemoVerifier(self.cipher)
        for (sequence, content) in contents.enumerated() { try verifier.take(self.record(Int64(sequence), content)) }
        return verifier
    }

    @Test("two files, one of two parts, and the manifest")
    func whole() throws {
        let verifier = try self.verify([
            self.file("e", ""), self.part(0, "ab", of: 3), self.part(1, "c", of: 3, .complete(Self.hash("abc"))),
            self.manifest([("e", ""), ("f", "abc")], records: 3),
        ])
        #expect(verifier.isComplete)
        #expect(verifier.counts.files == 2)
        #expect(verifier.counts.fileBytes == 3)
        #expect(verifier.counts.records == 4)
    }

    @Test("a record that comes again is passed over; one that is missing is noticed")
    func order() throws {
        var verifier = DemoVerifier(self.cipher)
        let first = try self.record(0, self.file("a", "1"))
        try verifier.take(first)
        try verifier.take(first)
        #expect(verifier.counts.records == 1)
        let third = try self.record(2, self.file("c", "3"))
        #expect(throws: DemoMismatch.gap(expected: 1, found: 2)) { try verifier.take(third) }
    }

    @Test("records of other runs are counted and left alone")
    func otherRuns() throws {
        var verifier = DemoVerifier(self.cipher)
        let id = RecordID.random()
        try verifier.take(
            RecordEntry(space: nil, id: id, blob: ByteBuffer(string: "x"), cursor: 1, dek: nil, deleted: false))
        try verifier.take(RecordEntry(space: nil, id: id, blob: nil, cursor: 2, dek: nil, deleted: true))
        #expect(verifier.counts == DemoCounts(foreignRecords: 2))
    }

    @Test("a changed, swapped, deleted or senseless record of this run is a mismatch, not somebody else's")
    func tampering() throws {
        let good = try self.record(0, self.file("a", "1"))
        var changed = good
        changed.blob?.setInteger(UInt8(0), at: 20)
        changed.blob?.setInteger(~(good.blob?.getInteger(at: 20, as: UInt8.self) ?? 0), at: 20)
        var swapped = good
        swapped.blob = try self.record(1, self.file("b", "2")).blob
        var deleted = good
        deleted.blob = nil
        deleted.deleted = true
        let senseless = try self.record(0, plaintext: ByteBuffer(string: "?"))
        let cases: [(RecordEntry, DemoMismatch)] = [
            (changed, .undecryptable(0)), (swapped, .undecryptable(0)), (deleted, .deleted(0)),
            (senseless, .malformed(0)),
        ]
        for (record, mismatch) in cases {
            var verifier = DemoVerifier(self.cipher)
            #expect(throws: mismatch) { try verifier.take(record) }
        }
    }

    @Test("parts out of place, of a wrong size or hash")
    func parts() {
        let other = DemoRecord.part(
            DemoPart(path: "g", index: 1, fileBytes: 3, data: ByteBuffer(string: "c"), end: nil))
        #expect(throws: DemoMismatch.misplaced(path: "f", index: 1)) { try self.verify([self.part(1, "a", of: 2)]) }
        #expect(throws: DemoMismatch.misplaced(path: "f", index: 0)) {
            try self.verify([self.part(0, "a", of: 3), self.part(0, "a", of: 3)])
        }
        #expect(throws: DemoMismatch.misplaced(path: "g", index: 1)) {
            try self.verify([self.part(0, "ab", of: 3), other])
        }
        #expect(throws: DemoMismatch.misplaced(path: "f", index: 1)) {
            try self.verify([self.part(0, "a", of: 3), self.part(1, "b", of: 4)])
        }
        #expect(throws: DemoMismatch.size(path: "f")) { try self.verify([self.part(0, "abc", of: 3)]) }
        #expect(throws: DemoMismatch.size(path: "f")) {
            try self.verify([self.part(0, "ab", of: 3, .complete(Self.hash("ab")))])
        }
        #expect(throws: DemoMismatch.hash(path: "f")) {
            try self.verify([self.part(0, "abc", of: 3, .complete(Self.hash("abd")))])
        }
    }

    @Test("a file that changed while it was read is forgotten")
    func abandoned() throws {
        let verifier = try self.verify([
            self.part(0, "ab", of: 9), self.part(1, "", of: 9, .abandoned), self.file("g", "1"),
            self.manifest([("g", "1")], records: 3),
        ])
        #expect(verifier.isComplete)
        #expect(verifier.counts.files == 1)
        #expect(verifier.counts.abandonedFiles == 1)
    }

    @Test("a manifest that counts otherwise, names otherwise, comes too early or is not the last")
    func manifests() throws {
        let files = [("a", "1"), ("b", "2")]
        let records = files.map { self.file($0.0, $0.1) }
        #expect(try self.verify(records + [self.manifest(files, records: 2)]).isComplete)
        for wrong in [
            self.manifest(files, records: 3), self.manifest([("a", "1")], records: 2),
            self.manifest([("b", "2"), ("a", "1")], records: 2), self.manifest([("a", "1"), ("c", "2")], records: 2),
        ] {
            #expect(throws: DemoMismatch.manifest) { try self.verify(records + [wrong]) }
        }
        #expect(throws: DemoMismatch.unfinished(path: "f")) {
            try self.verify([self.part(0, "a", of: 2), self.manifest([], records: 1)])
        }
        #expect(throws: DemoMismatch.afterManifest(1)) {
            try self.verify([self.manifest([], records: 0), self.file("a", "1")])
        }
    }

    @Test("two names that look the same are two files")
    func normalization() throws {
        let composed = "\u{E9}"
        let decomposed = "e\u{301}"
        let verifier = try self.verify([
            self.file(decomposed, "1"), self.file(composed, "1"),
            self.manifest([(decomposed, "1"), (composed, "1")], records: 2),
        ])
        #expect(verifier.counts.files == 2)
        #expect(throws: DemoMismatch.manifest) {
            try self.verify([self.file(composed, "1"), self.manifest([(decomposed, "1")], records: 1)])
        }
    }
}
