import Crypto
import FoundationEssentials
import NIOCore
import SyncProtocol

/// What the devices of one run share and the server never sees: the key, and how records are named and sealed.
///
/// AES-256-GCM with a random nonce per record. The run and the record's id are authenticated with it, so that no record can
/// be passed off as another one. Ids count up within a run: the order by id is the order of the pushes.
struct DemoCipher: Sendable {
    /// Nonce and tag.
    static let overheadBytes = 28
    /// The counter has 48 bits.
    static let sequenceMax: Int64 = 0xFFFF_FFFF_FFFF

    private let key: SymmetricKey
    private let run: UInt128

    /// A new run with a new key.
    init() {
        self.init(key: SymmetricKey(size: .bits256), run: .random(in: .min ... .max))
    }

    init(key: SymmetricKey, run: UInt128) {
        self.key = key
        self.run = run
    }

    /// A UUID of version 8 (RFC 9562 §5.8): 48 bits of counter, 74 bits of the run.
    func recordID(_ sequence: Int64) -> RecordID {
        let counter = UInt128(truncatingIfNeeded: sequence & Self.sequenceMax)
        return RecordID(bits: counter << 80 | self.suffix)
    }

    /// `nil` for a record that this run has not made.
    func sequence(of id: RecordID) -> Int64? {
        let suffixMask = (UInt128(1) << 80) - 1
        guard id.bits & suffixMask == self.suffix else { return nil }
        return Int64(id.bits >> 80)
    }

    private var suffix: UInt128 {
        let version = UInt128(8) << 76
        let variant = UInt128(0b10) << 62
        return version | (self.run >> 62 & 0xFFF) << 64 | variant | self.run & ((UInt128(1) << 62) - 1)
    }

    func seal(_ plaintext: ByteBuffer, id: RecordID) throws -> ByteBuffer {
        let box = try AES.GCM.seal(
            Array(plaintext.readableBytesView), using: self.key, nonce: AES.GCM.Nonce(),
            authenticating: self.associatedData(id))
        var blob = ByteBufferAllocator().buffer(capacity: plaintext.readableBytes + Self.overheadBytes)
        blob.writeBytes(box.nonce)
        blob.writeBytes(box.ciphertext)
        blob.writeBytes(box.tag)
        return blob
    }

    /// - Throws: For everything that `seal` did not make for this id in this run.
    func open(_ blob: ByteBuffer, id: RecordID) throws -> ByteBuffer {
        let box = try AES.GCM.SealedBox(combined: Array(blob.readableBytesView))
        return ByteBuffer(bytes: try AES.GCM.open(box, using: self.key, authenticating: self.associatedData(id)))
    }

    private func associatedData(_ id: RecordID) -> [UInt8] {
        Array("less-sync demo".utf8) + Identifier<Self>(bits: self.run).bytes + id.bytes
    }
}
