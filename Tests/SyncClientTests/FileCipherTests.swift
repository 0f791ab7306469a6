import Crypto
import Foundation
import NIOCore
import SyncProtocol
import Testing

@testable import SyncClient

@Suite("File encryption", .timeLimit(.minutes(1)))
struct FileCipherTests {
    private let cipher = FileCipher(key: SymmetricKey(data: [UInt8](repeating: 7, count: 32)), file: .random())

    @Test("a chunk opens in its place alone")
    func places() throws {
        let chunk = ByteBuffer(string: "secret")
        let sealed = try self.cipher.seal(chunk, index: 3, isLast: false)
        #expect(sealed.readableBytes == chunk.readableBytes + 16)
        #expect(try self.cipher.open(sealed, index: 3, isLast: false) == chunk)
        #expect(throws: CryptoKitError.self) { try self.cipher.open(sealed, index: 2, isLast: false) }
        #expect(throws: CryptoKitError.self) { try self.cipher.open(sealed, index: 3, isLast: true) }
        let other = FileCipher(key: SymmetricKey(data: [UInt8](repeating: 7, count: 32)), file: .random())
        #expect(throws: CryptoKitError.self) { try other.open(sealed, index: 3, isLast: false) }
        var changed = sealed
        changed.setInteger(UInt8(0xFF), at: 0)
        #expect(throws: CryptoKitError.self) { try self.cipher.open(changed, index: 3, isLast: false) }
        #expect(throws: (any Error).self) { try self.cipher.open(ByteBuffer(string: "x"), index: 3, isLast: false) }
    }

    @Test(
        "sizes of sealed files",
        arguments: [(0, 16), (1, 17), (65_536, 65_552), (65_537, 65_569), (131_072, 131_104)] as [(Int64, Int64)])
    func sizes(plain: Int64, sealed: Int64) {
        #expect(FileCipher.sealedBytes(of: plain) == sealed)
    }

    @Test("a DEK is wrapped for an epoch, and opened with that epoch's key alone")
    func wrapping() throws {
        let keys = EpochKeys([1: SymmetricKey(size: .bits256), 2: SymmetricKey(size: .bits256)])
        let dek = SymmetricKey(size: .bits256)
        let wrapped = try keys.wrap(dek, for: 2)
        #expect(wrapped.readableBytes == Limits.wrappedDEKBytes)
        #expect(wrapped.getInteger(at: 0, as: UInt32.self) == 2)
        #expect(try keys.unwrap(wrapped) == dek)
        #expect(throws: EpochKeys.UnknownEpoch(epoch: 3)) { try keys.wrap(dek, for: 3) }
        #expect(throws: EpochKeys.UnknownEpoch(epoch: 2)) {
            try EpochKeys([1: SymmetricKey(size: .bits256)]).unwrap(wrapped)
        }
        #expect(throws: (any Error).self) { try EpochKeys([2: SymmetricKey(size: .bits256)]).unwrap(wrapped) }
        #expect(throws: EpochKeys.UnknownEpoch(epoch: 0)) { try keys.unwrap(ByteBuffer()) }
    }

    @Test(
        "any stretch of a made-up file is the same, and its pieces open to its digest",
        arguments: [0, 1, 200_001] as [Int64])
    func demoFile(bytes: Int64) async throws {
        let file = DemoFile(id: .random(), bytes: bytes)
        let cipher = FileCipher(key: SymmetricKey(size: .bits256), file: file.id)
        let source = file.source(sealedWith: cipher)
        let size = FileCipher.sealedBytes(of: bytes)
        var opener = DemoFileOpener(cipher: cipher, sealedBytes: size)
        var offset: Int64 = 0
        while offset < size {
            let count = Int(min(size - offset, 7_777))
            let piece = try await source(offset, count)
            #expect(piece.readableBytes == count)
            try opener.add(piece)
            offset += Int64(count)
        }
        #expect(opener.isComplete)
        #expect(opener.digest == file.digest)
    }
}
