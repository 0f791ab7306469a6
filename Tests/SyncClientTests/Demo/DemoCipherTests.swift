import Crypto
import NIOCore
import SyncProtocol
import Testing

@testable import SyncClient

@Suite("Demo cipher")
struct DemoCipherTests {
    private let cipher = DemoCipher()
    private let plaintext = ByteBuffer(string: "plaintext")

    @Test("what is sealed opens again, and is not in the blob")
    func roundTrip() throws {
        let id = self.cipher.recordID(7)
        let blob = try self.cipher.seal(self.plaintext, id: id)
        #expect(try self.cipher.open(blob, id: id) == self.plaintext)
        #expect(blob.readableBytes == self.plaintext.readableBytes + DemoCipher.overheadBytes)
        #expect(!String(decoding: blob.readableBytesView, as: UTF8.self).contains("plaintext"))
        #expect(try self.cipher.seal(self.plaintext, id: id) != blob, "a nonce must not be used twice")
    }

    @Test("a blob opens under no other id, in no other run, with no other key, and with no byte changed")
    func tampering() throws {
        let key = SymmetricKey(size: .bits256)
        let cipher = DemoCipher(key: key, run: 1)
        let id = cipher.recordID(7)
        let blob = try cipher.seal(self.plaintext, id: id)
        #expect(try cipher.open(blob, id: id) == self.plaintext)
        #expect(throws: (any Error).self) { try cipher.open(blob, id: cipher.recordID(8)) }
        #expect(throws: (any Error).self) { try DemoCipher(key: key, run: 2).open(blob, id: id) }
        #expect(throws: (any Error).self) {
            try DemoCipher(key: SymmetricKey(size: .bits256), run: 1).open(blob, id: id)
        }
        for offset in 0..<blob.readableBytes {
            var changed = blob
            changed.setInteger(try #require(blob.getInteger(at: offset, as: UInt8.self)) ^ 1, at: offset)
            #expect(throws: (any Error).self) { try cipher.open(changed, id: id) }
            #expect(throws: (any Error).self) { try cipher.open(blob.getSlice(at: 0, length: offset)!, id: id) }
        }
    }

    @Test("ids count up within a run, and are those of a UUID of version 8")
    func recordIDs() {
        let sequences: [Int64] = [0, 1, 2, 255, 256, 65_536, 1 << 32, DemoCipher.sequenceMax]
        let ids = sequences.map(self.cipher.recordID)
        #expect(ids == ids.sorted())
        #expect(ids.map { self.cipher.sequence(of: $0) } == sequences)
        for id in ids {
            let text = Array(id.wireText)
            #expect(text[14] == "8")
            #expect("89ab".contains(text[19]))
        }
    }

    @Test("a record of another run is known by its id")
    func foreignIDs() {
        #expect(self.cipher.sequence(of: DemoCipher().recordID(0)) == nil)
        #expect(self.cipher.sequence(of: .random()) == nil)
    }
}
