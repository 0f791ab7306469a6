/// What a storage operation can fail with (docs/contract/storage.md §1.2). Compared by kind and payload.
package enum StorageError: Error, Hashable, Sendable {
    case spaceNotFound
    case spaceExists
    case fileNotFound
    case invitationNotFound
    case federationKeyNotFound
    /// The membership log is not at the expected version.
    case versionConflict
    /// The entry does not continue the membership log.
    case hashChainBroken
    case keyGenerationStale
    /// No rewrap for this epoch is in progress.
    case epochMismatch
    /// The epoch to begin is not the next one, or the rewrap of an epoch is in progress.
    case epochConflict(current: Int32, rewrap: Int32?)
    /// A DEK is not wrapped for the current epoch.
    case dekEpochMismatch
    case dekRecordNotFound
    case fileDEKNotFound
    case invalidWrappedDEK
    case invalidFileSize
    case invalidRecordID
    case duplicateRecordID
    case blobTooLarge
    case pushRecordLimitExceeded
    case pushPayloadLimitExceeded
    /// No connection, or no answer, within the time limit. Whether a write happened is not known; the caller may retry.
    case unavailable
    /// The statement failed in a way we did not foresee. `detail` is for the log, never for a peer, and quotes no row.
    case database(detail: String)
    case migration(detail: String)
}

extension StorageError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .spaceNotFound: "space not found"
        case .spaceExists: "space already exists"
        case .fileNotFound: "file not found"
        case .invitationNotFound: "invitation not found"
        case .federationKeyNotFound: "federation key not found"
        case .versionConflict: "metadata version conflict"
        case .hashChainBroken: "hash chain broken"
        case .keyGenerationStale: "key generation stale"
        case .epochMismatch: "epoch mismatch"
        case .epochConflict(_, .some): "epoch conflict: rewrap in progress"
        case .epochConflict(_, nil): "epoch conflict: epoch mismatch"
        case .dekEpochMismatch: "DEK epoch mismatch"
        case .dekRecordNotFound: "DEK record not found"
        case .fileDEKNotFound: "file DEK record not found"
        case .invalidWrappedDEK: "wrapped DEK must be exactly 44 bytes"
        case .invalidFileSize: "file size must be non-negative"
        case .invalidRecordID: "invalid record ID"
        case .duplicateRecordID: "duplicate record ID in push"
        case .blobTooLarge: "blob exceeds limit"
        case .pushRecordLimitExceeded: "push exceeds record limit"
        case .pushPayloadLimitExceeded: "push exceeds payload limit"
        case .unavailable: "storage unavailable"
        case .database(let detail): "database error: \(detail)"
        case .migration(let detail): "migration error: \(detail)"
        }
    }
}
