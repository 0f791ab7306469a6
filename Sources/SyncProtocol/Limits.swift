/// Every limit of the protocol, each with its unit. Times and sizes that an operator may change have their default here.
public enum Limits {
    /// Bytes of one inbound message and of one WebSocket frame; more closes with 1009. Also the bound of any outbound
    /// message: the SDK drops larger ones unread (docs/contract/wire.md §6, §8).
    public static let messageBytesMax = 4_194_304

    /// Frames waiting in one connection's outbound queue (docs/contract/wire.md §12).
    public static let outboundFramesMax = 64

    /// Bytes waiting in one connection's outbound queue, whichever limit is reached first (architecture R3).
    public static let outboundBytesMax = 4_194_304

    /// Time from the 101 response to a complete auth frame.
    public static let authTimeout: Duration = .seconds(5)

    /// Mean life of a connection; each draws a factor from 0.9...1.1 (docs/contract/wire.md §8).
    public static let connectionLifetime: Duration = .seconds(3_600)

    /// Entries of one `subscribe` and of one `pull` (architecture C29).
    public static let spacesPerRequestMax = 1_000

    /// Length of blob and DEK together above which a change could be stored but never pulled
    /// (docs/contract/rpc.md §2.6).
    public static let pullableChangeBytesMax = 4_193_280

    /// Changes of one push (docs/contract/storage.md §1.1).
    public static let changesPerPushMax = 100_000

    /// Bytes of one record blob, the default of `MAX_RECORD_BLOB_SIZE`.
    public static let recordBlobBytesMax = 5_242_880

    /// Bytes of all blobs of one push.
    public static let pushBlobBytesMax = 524_288_000

    /// Entries between the database and a pull's consumer.
    public static let pullBufferedEntriesMax = 64

    /// Bytes of blobs and DEKs after which a page of a pull is handed over, although it has room for more entries. One entry
    /// may exceed it by itself.
    public static let pullPageBytesMax = 262_144

    /// Nesting of a CBOR item (docs/contract/wire.md §7.2).
    public static let cborDepthMax = 64

    /// Streaming requests that wait in a connection's second lane behind the one in progress (architecture R2). When the
    /// lane is full the socket is not read.
    public static let streamingRequestsQueuedMax = 16
}
