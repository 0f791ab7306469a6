import SyncProtocol

/// What one server process tells the others when it takes a delegation back, as the text of a notification: the number of the
/// process in hexadecimal, an exclamation mark, the space in 32 hexadecimal digits and the CID, with single blanks between.
struct RevocationAnnouncement: Hashable {
    /// Drawn by each process at its start.
    var origin: UInt64
    var space: SpaceID
    /// Whatever the client took for one. Empty for a text that cannot be told, and so is no token's.
    var cid: String

    /// PostgreSQL takes payloads of less than 8,000 bytes.
    static let cidBytesMax = 1_000

    init(origin: UInt64, space: SpaceID, cid: String) {
        self.origin = origin
        self.space = space
        self.cid = cid.utf8.count <= Self.cidBytesMax && !cid.utf8.contains(0) ? cid : ""
    }

    /// - Returns: `nil` for what no server has sent.
    init?(payload: String) {
        let words = payload.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
        guard words.count == 4, words[1] == "!", let origin = UInt64(words[0], radix: 16),
            words[2].utf8.count == 32, let space = UInt128(words[2], radix: 16)
        else { return nil }
        self.init(origin: origin, space: SpaceID(bits: space), cid: String(words[3]))
    }

    var payload: String {
        let digits = String(self.space.bits, radix: 16)
        let zeros = String(repeating: "0", count: 32 - digits.count)
        return String(self.origin, radix: 16) + " ! " + zeros + digits + " " + self.cid
    }
}
