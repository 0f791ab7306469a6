import NIOCore

/// Bounds of what passes between this server and an S3-compatible service.
enum S3Limits {
    /// Bytes of a part of a large object, and so of memory for each upload in transit. S3 takes no smaller parts.
    static let partBytesMin = 5 * 1_024 * 1_024
    /// Parts of one object.
    static let partsMax: Int64 = 10_000
    /// Bytes of an answer that is read whole. A page of 1,000 objects has a tenth of it.
    static let answerBytesMax = 4 * 1_024 * 1_024
    /// Objects of one page of a listing.
    static let pageMax = 1_000
    /// Attempts of one request, the first included.
    static let attemptsMax = 4
    /// Until the second attempt; doubled for each further one, times 0.5 to 1.
    static let backoff: Duration = .milliseconds(200)
    /// Until the head of an answer is there, of a request without a body of note.
    static let answerTimeout: TimeAmount = .seconds(30)
    /// The same for a request that carries a part.
    static let uploadTimeout: TimeAmount = .seconds(180)
    static let connectTimeout: TimeAmount = .seconds(10)
    /// Without a byte, also because our client reads slowly.
    static let readTimeout: TimeAmount = .seconds(120)
    /// Each download holds one for as long as it takes.
    static let connectionsMax = 512
}
