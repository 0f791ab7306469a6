public import NIOCore

/// `push` (docs/contract/rpc.md §4).
public struct PushParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var space: String
    /// Empty when absent.
    public var ucan: String
    public var changes: [Change]

    public struct Change: Hashable, Sendable {
        /// As sent; not yet known to be a UUID.
        public var id: String
        /// A slice of the received frame. `nil` deletes.
        public var blob: ByteBuffer?
        public var expectedCursor: Int64
        /// A slice of the received frame.
        public var dek: ByteBuffer?

        public init(id: String, blob: ByteBuffer?, expectedCursor: Int64, dek: ByteBuffer?) {
            self.id = id
            self.blob = blob
            self.expectedCursor = expectedCursor
            self.dek = dek
        }
    }

    public init(space: String, ucan: String = "", changes: [Change]) {
        self.space = space
        self.ucan = ucan
        self.changes = changes
    }
}

/// Result of `push`. A refusal is a result, never an error response.
public enum PushResult: Hashable, Sendable {
    /// The space's cursor after the push; written as `cursor` unless 0.
    case accepted(cursor: Int64)
    case refused(RPCErrorCode)
}

/// `pull` (docs/contract/rpc.md §5).
public struct PullParams: Hashable, Sendable {
    public var spaces: [Entry]

    public struct Entry: Hashable, Sendable {
        /// As sent, and echoed so in every chunk.
        public var id: String
        public var since: Int64
        public var ucan: String

        public init(id: String, since: Int64, ucan: String = "") {
            self.id = id
            self.since = since
            self.ucan = ucan
        }
    }

    public init(spaces: [Entry]) { self.spaces = spaces }
}

/// Chunk `pull.begin`.
public struct PullBegin: Hashable, Sendable {
    public var space: String
    /// The requested `since`.
    public var prev: Int64
    public var cursor: Int64
    public var keyGeneration: Int32
    public var rewrapEpoch: Int32?

    public init(space: String, prev: Int64, cursor: Int64, keyGeneration: Int32, rewrapEpoch: Int32?) {
        self.space = space
        self.prev = prev
        self.cursor = cursor
        self.keyGeneration = keyGeneration
        self.rewrapEpoch = rewrapEpoch
    }
}

/// Chunk `pull.record`, and without `space` an element of `sync.records`.
public struct RecordEntry: Hashable, Sendable {
    /// `nil` inside `sync`.
    public var space: String?
    public var id: RecordID
    public var blob: ByteBuffer?
    public var cursor: Int64
    public var dek: ByteBuffer?
    public var deleted: Bool

    public init(space: String?, id: RecordID, blob: ByteBuffer?, cursor: Int64, dek: ByteBuffer?, deleted: Bool) {
        self.space = space
        self.id = id
        self.blob = blob
        self.cursor = cursor
        self.dek = dek
        self.deleted = deleted
    }
}

/// Chunk `pull.commit`.
public struct PullCommit: Hashable, Sendable {
    public var space: String
    public var prev: Int64
    public var cursor: Int64
    /// Entry chunks between begin and commit.
    public var count: Int64

    public init(space: String, prev: Int64, cursor: Int64, count: Int64) {
        self.space = space
        self.prev = prev
        self.cursor = cursor
        self.count = count
    }
}

/// Final result of a streaming request: `{_chunks: n}`.
public struct ChunkCount: Hashable, Sendable {
    public var chunks: Int64

    public init(chunks: Int64) { self.chunks = chunks }
}

/// Notification `sync` (docs/contract/rpc.md §14.1).
public struct SyncNotification: Hashable, Sendable {
    public var space: SpaceID
    public var prev: Int64
    public var cursor: Int64
    public var keyGeneration: Int32
    public var rewrapEpoch: Int32?
    public var records: [RecordEntry]

    public init(
        space: SpaceID, prev: Int64, cursor: Int64, keyGeneration: Int32, rewrapEpoch: Int32?, records: [RecordEntry]
    ) {
        self.space = space
        self.prev = prev
        self.cursor = cursor
        self.keyGeneration = keyGeneration
        self.rewrapEpoch = rewrapEpoch
        self.records = records
    }
}
