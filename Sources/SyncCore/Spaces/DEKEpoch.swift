import NIOCore
import SyncProtocol
package import SyncStorage

/// The epoch prefix of wrapped data-encryption keys (docs/contract/storage.md §1.1).
package enum DEKEpoch {
    /// The key generation that a push to a shared space declares (docs/contract/storage.md §6.2, Δ-S4): the smallest epoch
    /// prefix among its DEKs of exactly 44 bytes, read as an unsigned 32-bit integer, zeros ignored, capped to
    /// `Int32.max`; 0, which storage does not check, when there is none.
    package static func keyGeneration(of changes: some Sequence<RecordChange>) -> Int32 {
        var lowest: UInt32 = 0
        for case let dek? in changes.lazy.map(\.wrappedDEK) where dek.readableBytes == Limits.wrappedDEKBytes {
            guard let epoch = dek.getInteger(at: dek.readerIndex, as: UInt32.self), epoch != 0 else { continue }
            lowest = lowest == 0 ? epoch : min(lowest, epoch)
        }
        return Int32(clamping: lowest)
    }
}
