/// Every limit of the protocol, each with its unit. Times and sizes that an operator may change have their default here.
public enum Limits {
    /// Bytes of one inbound message and of one WebSocket frame; more closes with 1009. Also the bound of any outbound
    /// message: the SDK drops larger ones unread (docs/contract/wire.md §6, §8).
    public static let messageBytesMax = 4_194_304

    /// Bytes of the first message of a connection, the one with the token; more closes with 1009. As much as an HTTP header
    /// field may have, so that a token which is accepted there is accepted here (docs/contract/wire.md §8).
    public static let firstMessageBytesMax = 98_304

    /// Frames waiting in one connection's outbound queue (docs/contract/wire.md §12).
    public static let outboundFramesMax = 64

    /// The same for notifications while the socket has taken all that it was given: they wait for their event loop, not for
    /// the client, who must not be called slow for a burst that came within a few milliseconds.
    public static let outboundBurstFramesMax = 1_024

    /// Bytes waiting in one connection's outbound queue, whichever limit is reached first (architecture R3).
    public static let outboundBytesMax = 4_194_304

    /// Bytes of UTF-8 of a frame's `id` and of its `method`, which the answer to a request repeats, in each chunk too: with
    /// the largest record a chunk stays below `messageBytesMax`. The ids of the SDK have about 20 (docs/contract/wire.md §7.1).
    public static let frameNameBytesMax = 512

    /// Bytes of UTF-8 of an invalid space id that an answer repeats; the rest of a longer one is left out.
    public static let echoedSpaceIDBytesMax = 256

    /// Time from the 101 response to a complete auth frame.
    public static let authTimeout: Duration = .seconds(5)

    /// Mean life of a connection; each draws a factor from 0.9...1.1 (docs/contract/wire.md §8).
    public static let connectionLifetime: Duration = .seconds(3_600)

    /// Entries of one `subscribe` and of one `pull` (architecture C29).
    public static let spacesPerRequestMax = 1_000

    /// Length of blob and DEK together above which a change could be stored but never pulled
    /// (docs/contract/rpc.md §2.6).
    public static let pullableChangeBytesMax = 4_193_280

    /// Bytes of a wrapped DEK: a 4-byte big-endian epoch, then 40 bytes of wrapped key.
    public static let wrappedDEKBytes = 44

    /// Changes of one push (docs/contract/storage.md §1.1).
    public static let changesPerPushMax = 100_000

    /// Bytes of one record blob, the default of `MAX_RECORD_BLOB_SIZE`.
    public static let recordBlobBytesMax = 5_242_880

    /// Bytes of all blobs of one push.
    public static let pushBlobBytesMax = 524_288_000

    /// Entries of a page of a pull. One page at most lies between the database and the queue of the connection, and another
    /// may be in that queue (docs/decisions/0013).
    public static let pullPageEntriesMax = 256

    /// Bytes of blobs and DEKs after which a page of a pull is handed over, although it has room for more entries. One entry
    /// may exceed it by itself.
    public static let pullPageBytesMax = 262_144

    /// Nesting of a CBOR item (docs/contract/wire.md §7.2).
    public static let cborDepthMax = 64

    /// Streaming requests that wait in a connection's second lane behind the one in progress (architecture R2). When the
    /// lane is full the socket is not read.
    public static let streamingRequestsQueuedMax = 16

    /// Bytes of one presence entry; more is ignored (docs/contract/rpc.md §12).
    public static let presenceBytesMax = 1_024

    /// Connections with presence in one space; further ones are ignored.
    public static let presenceEntriesPerSpaceMax = 100

    /// Time after which a presence entry that was not set again is taken away.
    public static let presenceStaleAfter: Duration = .seconds(45)

    /// Time between two looks for stale presence.
    public static let presenceSweepInterval: Duration = .seconds(15)

    /// Cursors of other server processes that are read for the subscribers of a space; beyond them these are told to pull
    /// (docs/decisions/0012).
    public static let relayedCursorsMax: Int64 = 64

    /// Notifications of a space that wait for those of other server processes, and their bytes; then the subscribers are
    /// told to pull.
    public static let relayedNoticesMax = 256
    public static let relayedBytesMax = 4_194_304

    /// Time between two comparisons of all watched spaces with the database, for what no other process has told.
    public static let relayCatchUpInterval: Duration = .seconds(60)

    /// Bytes of one event; more is ignored (docs/contract/rpc.md §13).
    public static let eventBytesMax = 4_096

    /// Bytes of a membership payload above which an entry could be stored but never delivered (docs/contract/rpc.md §2.6).
    public static let membershipPayloadBytesMax = 4_193_280

    /// Bytes of a SHA-256 digest, the hash of a membership entry.
    public static let entryHashBytes = 32

    /// Bytes of UTF-8 of an invitation's payload.
    public static let invitationPayloadBytesMax = 131_072

    /// Items of one `invitation.list`: when the client names no number, and at most.
    public static let invitationsPerPage = 50
    public static let invitationsPerPageMax = 200

    /// Characters of a mailbox id, lower-case hexadecimal.
    public static let mailboxIDCharacters = 64

    /// Delay of the notification `invitation` in milliseconds, drawn for each (docs/contract/rpc.md §14).
    public static let invitationDelayMilliseconds: ClosedRange<Int> = 1_000...4_999

    /// Notifications `invitation` that wait at a time; further ones are dropped, and their readers find the invitation when
    /// they list next.
    public static let invitationNotificationsPendingMax = 10_000

    /// Bytes of a space's root public key, a compressed P-256 point.
    public static let rootPublicKeyBytes = 33
}
