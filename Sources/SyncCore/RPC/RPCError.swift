package import SyncProtocol
package import SyncStorage

/// An answer that is not a result: the code and text that a peer sees (docs/contract/rpc.md §2.2).
package struct RPCError: Error, Hashable, Sendable {
    package let code: RPCErrorCode
    package let message: String
    /// Why, for the log; never for a peer.
    package let cause: StorageError?

    package init(_ code: RPCErrorCode, _ message: String, cause: StorageError? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// For the log.
    package var detail: String { self.cause?.description ?? self.message }

    package static let forbidden = RPCError(.forbidden, "forbidden")
    package static let invalidSpaceID = RPCError(.badRequest, "invalid space id")
}

extension RPCError {
    /// The only place where a storage failure becomes wire text. No `default`: a new case has to choose.
    package init(_ error: StorageError) {
        switch error {
        case .spaceNotFound: self.init(.notFound, "space not found", cause: error)
        case .spaceExists: self.init(.conflict, "space already exists", cause: error)
        case .invitationNotFound, .federationKeyNotFound: self.init(.notFound, "not found", cause: error)
        case .versionConflict, .hashChainBroken: self.init(.conflict, "conflict", cause: error)
        case .fileNotFound: self.init(.notFound, error.description, cause: error)
        case .epochConflict: self.init(.conflict, "conflict", cause: error)
        case .epochMismatch: self.init(.conflict, "epoch mismatch", cause: error)
        case .dekEpochMismatch:
            self.init(.conflict, "DEK epoch does not match current key generation", cause: error)
        case .dekRecordNotFound:
            self.init(.badRequest, "one or more DEK records were not found", cause: error)
        case .fileDEKNotFound:
            self.init(.badRequest, "one or more file DEK records were not found", cause: error)
        case .invalidWrappedDEK:
            self.init(.badRequest, "invalid record: wrapped DEK must be exactly 44 bytes", cause: error)
        case .invalidFileSize: self.init(.badRequest, error.description, cause: error)
        case .keyGenerationStale: self.init(.keyGenerationStale, "key generation stale", cause: error)
        case .invalidRecordID, .duplicateRecordID: self.init(.badRequest, error.description, cause: error)
        case .blobTooLarge, .pushRecordLimitExceeded, .pushPayloadLimitExceeded:
            self.init(.payloadTooLarge, error.description, cause: error)
        case .unavailable, .database, .migration: self.init(.internal, "internal", cause: error)
        }
    }

    package init(_ error: AuthorizationError) {
        switch error {
        case .refused: self = .forbidden
        case .undecided(let cause): self.init(.internal, "internal", cause: cause)
        }
    }
}
