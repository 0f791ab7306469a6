public import NIOCore

/// Notification `file` (docs/contract/rpc.md §14.3): files of a space have been uploaded.
public struct FileNotification: Hashable, Sendable {
    public var space: SpaceID
    /// The cursor that the file took.
    public var cursor: Int64
    /// Exactly one when the server sends it.
    public var files: [File]

    public struct File: Hashable, Sendable {
        public var id: FileID
        public var recordID: RecordID
        /// Bytes of the stored object; written unless 0.
        public var size: Int64
        public var dek: ByteBuffer?
        /// Never true when the server sends it.
        public var deleted: Bool

        public init(id: FileID, recordID: RecordID, size: Int64, dek: ByteBuffer?, deleted: Bool = false) {
            self.id = id
            self.recordID = recordID
            self.size = size
            self.dek = dek
            self.deleted = deleted
        }
    }

    public init(space: SpaceID, cursor: Int64, files: [File]) {
        self.space = space
        self.cursor = cursor
        self.files = files
    }
}

extension FileNotification: WireMap {
    static let fields = WireFields(
        Self(space: SpaceID(bits: 0), cursor: 0, files: []),
        .required("space", \.space), .required("cursor", \.cursor), .required("files", \.files))
}

extension FileNotification.File: WireMap {
    static let fields = WireFields(
        Self(id: FileID(bits: 0), recordID: RecordID(bits: 0), size: 0, dek: nil),
        .required("id", \.id), .required("record_id", \.recordID), .optional("size", \.size, unless: 0),
        .optional("dek", \.dek), .optional("deleted", \.deleted, unless: false))
}
