import FoundationEssentials
package import SyncProtocol
package import SyncStorage

package enum UploadSubject {}

/// A random name that only its owner knows.
package typealias UploadID = Identifier<UploadSubject>

/// What was said when a resumable upload began. It is written down beside the bytes and never changes.
package struct UploadTicket: Hashable, Sendable {
    /// Whose it is: nobody else may continue it, and its bytes count for them.
    package var owner: String
    package var key: FileKey
    package var recordID: RecordID
    package var wrappedDEK: [UInt8]
    /// Bytes of the whole file, `nil` while unknown.
    package var length: Int64?

    package init(owner: String, key: FileKey, recordID: RecordID, wrappedDEK: [UInt8], length: Int64?) {
        self.owner = owner
        self.key = key
        self.recordID = recordID
        self.wrappedDEK = wrappedDEK
        self.length = length
    }
}

/// As text of JSON: ids canonical, the key in base64.
extension UploadTicket: Codable {
    private enum CodingKeys: String, CodingKey {
        case owner, object, record, dek, length
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let object = try values.decode(String.self, forKey: .object)
        let record = try values.decode(String.self, forKey: .record)
        guard let key = FileKey(path: object), let record = RecordID(wireText: record) else {
            throw DecodingError.dataCorruptedError(
                forKey: .object, in: values, debugDescription: "not the ids of a file and a record")
        }
        self.init(
            owner: try values.decode(String.self, forKey: .owner), key: key, recordID: record,
            wrappedDEK: Array(try values.decode(Data.self, forKey: .dek)),
            length: try values.decodeIfPresent(Int64.self, forKey: .length))
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(self.owner, forKey: .owner)
        try values.encode(self.key.path, forKey: .object)
        try values.encode(self.recordID.wireText, forKey: .record)
        try values.encode(Data(self.wrappedDEK), forKey: .dek)
        try values.encodeIfPresent(self.length, forKey: .length)
    }
}

/// Bounds of resumable uploads.
package struct UploadLimits: Hashable, Sendable {
    /// What a crash can cost: bytes that have arrived since an upload in progress was made durable.
    static let lossMax: Int64 = 8 * 1_024 * 1_024
    /// Bytes after which an upload in progress is made durable, with room for what is in memory and for a piece on top.
    static let checkpointBytes = Self.lossMax - 2 * Int64(LocalBlobStore.chunkBytes)
    /// How long a request that takes an upload waits for the one before it to write down what it has.
    static let handOverLimit: Duration = .seconds(5)
    /// Bytes of a ticket file; longer ones are not ours.
    static let ticketBytesMax: Int64 = 16_384

    /// Bytes of one file.
    package var fileBytesMax: Int64
    /// Bytes of all unfinished uploads of one owner, by their announced lengths.
    package var ownerBytesMax: Int64
    /// Unfinished uploads of one owner.
    package var ownerCountMax = 32
    /// Time since the last byte after which an unfinished upload is removed.
    package var lifetime: Duration = .seconds(24 * 3_600)

    /// One owner may have ten files of the largest size unfinished.
    package init(fileBytesMax: Int64) {
        self.fileBytesMax = fileBytesMax
        self.ownerBytesMax = fileBytesMax.multipliedReportingOverflow(by: 10).overflow ? .max : fileBytesMax * 10
    }
}

package enum UploadError: Error, Hashable, Sendable {
    /// Unknown, finished or expired.
    case notFound
    /// The upload was taken by somebody else meanwhile, or removed.
    case superseded
    /// More bytes than announced, or than a file may have.
    case tooLarge
    /// The owner has too much unfinished.
    case tooMuchUnfinished
    case blob(BlobError)
}
