import NIOCore
import SyncProtocol

/// When a blob was to be sent, and by whom: its first 32 bytes.
struct BenchStamp: Hashable, Sendable {
    static let magic: UInt64 = 0x6C73_2D62_656E_6368  // "ls-bench"
    static let bytes = 32

    var publisher: UInt32
    /// From 1, without gaps for each publisher.
    var number: UInt64
    /// Nanoseconds on the clock of this process.
    var intended: UInt64

    func write(to buffer: inout ByteBuffer) {
        buffer.writeMultipleIntegers(Self.magic, self.publisher, UInt32(0), self.number, self.intended)
    }

    /// The first stamp within the first `searchBytesMax` bytes of a message: in a notification its blob comes after a
    /// few short fields, in whatever order the server writes them. Decoding the whole message would cost more than the
    /// measured server spends on it.
    static func find(in message: ByteBuffer, searchBytesMax: Int = 512) -> BenchStamp? {
        let offset: Int? = message.withUnsafeReadableBytes { bytes in
            guard bytes.count >= Self.bytes else { return nil }
            let first = UInt8(truncatingIfNeeded: Self.magic >> 56)
            for offset in 0...min(bytes.count - Self.bytes, searchBytesMax) where bytes[offset] == first {
                let word = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                if word == Self.magic { return offset }
            }
            return nil
        }
        guard let offset else { return nil }
        var stamp = message
        stamp.moveReaderIndex(forwardBy: offset)
        guard
            let (_, publisher, _, number, intended) = stamp.readMultipleIntegers(
                as: (UInt64, UInt32, UInt32, UInt64, UInt64).self)
        else { return nil }
        return BenchStamp(publisher: publisher, number: number, intended: intended)
    }
}

/// Makes the records of one worker. Blobs are random, so that nothing on the way can compress them.
struct BenchPayload {
    private let recordBytes: Int
    private let dek: ByteBuffer?
    private let noise: ByteBuffer
    private var random: SplitMix64

    /// - Parameter seed: Two payloads with the same one make the same records, which conflict.
    init(recordBytes: Int, hasDEK: Bool, seed: UInt64 = .random(in: .min ... .max)) {
        self.recordBytes = recordBytes
        var random = SplitMix64(seed: seed)
        var noise = ByteBuffer()
        for _ in 0...(recordBytes + 4_096) / 8 { noise.writeInteger(random.next()) }
        self.noise = noise
        self.random = random
        guard hasDEK else {
            self.dek = nil
            return
        }
        // Epoch 1, then a wrapped key of 40 bytes (docs/contract/rpc.md §4).
        var dek = ByteBuffer(integer: UInt32(1))
        for _ in 0..<5 { dek.writeInteger(self.random.next()) }
        self.dek = dek
    }

    /// New records for `space`, the first of them stamped.
    mutating func push(_ records: Int, to space: String, _ stamp: BenchStamp) -> PushParams {
        var changes: [PushParams.Change] = []
        changes.reserveCapacity(records)
        for index in 0..<records {
            let id = RecordID(bits: UInt128(self.random.next()) << 64 | UInt128(self.random.next()))
            let blob = index == 0 ? self.stamped(stamp) : self.blob()
            changes.append(.init(id: id.wireText, blob: blob, expectedCursor: 0, dek: self.dek))
        }
        return PushParams(space: space, changes: changes)
    }

    /// A message of `recordBytes` that begins with the stamp.
    mutating func stamped(_ stamp: BenchStamp) -> ByteBuffer {
        var blob = ByteBufferAllocator().buffer(capacity: self.recordBytes)
        stamp.write(to: &blob)
        blob.writeImmutableBuffer(self.noise(self.recordBytes - BenchStamp.bytes))
        return blob
    }

    private mutating func blob() -> ByteBuffer { self.noise(self.recordBytes) }

    private mutating func noise(_ bytes: Int) -> ByteBuffer {
        let offset = Int(self.random.next() % 4_096)
        return self.noise.getSlice(at: offset, length: bytes) ?? ByteBuffer()
    }
}

/// Reproducible random numbers: Steele, Lea and Flood's SplitMix64.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var value = self.state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
