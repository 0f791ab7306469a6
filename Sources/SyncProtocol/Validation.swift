/// Why a value is refused above storage; `description` is its message (docs/contract/storage.md §1.3).
package enum ValidationError: Error, Hashable, Sendable {
    case recordID
    case fileID
    /// `limit` in bytes.
    case blobTooLarge(limit: Int)
    /// `limit` in bytes.
    case fileTooLarge(limit: Int)
}

extension ValidationError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .recordID: "invalid record ID: must be valid UUID format"
        case .fileID: "invalid file ID: must be valid UUID format"
        case .blobTooLarge(let limit): "blob exceeds \(limit / 1_048_576) MB limit"
        case .fileTooLarge(let limit): "file exceeds \(limit / 1_048_576) MB limit"
        }
    }
}

package enum Validation {
    /// Exactly the hyphenated form, any case, any version.
    package static func recordID(_ text: String) throws(ValidationError) -> RecordID {
        guard let id = RecordID(wireText: text) else { throw .recordID }
        return id
    }

    /// Exactly the hyphenated form, any case, any version.
    package static func fileID(_ text: String) throws(ValidationError) -> FileID {
        guard let id = FileID(wireText: text) else { throw .fileID }
        return id
    }

    /// - Parameter limit: Bytes; a blob of this size is accepted.
    package static func blobSize(_ bytes: Int, limit: Int = Limits.recordBlobBytesMax) throws(ValidationError) {
        guard bytes <= limit else { throw .blobTooLarge(limit: limit) }
    }

    /// - Parameter limit: Bytes; a file of this size is accepted.
    package static func fileSize(_ bytes: Int, limit: Int) throws(ValidationError) {
        guard bytes <= limit else { throw .fileTooLarge(limit: limit) }
    }
}
