import SyncProtocol
import SyncStorage
import Testing

@testable import SyncCore

@Suite("RPC errors")
struct RPCErrorTests {
    @Test(
        "rpc §2.2: what a storage failure is called on the wire",
        arguments: [
            (StorageError.spaceNotFound, RPCErrorCode.notFound, "space not found"),
            (.spaceExists, .conflict, "space already exists"),
            (.invitationNotFound, .notFound, "not found"), (.federationKeyNotFound, .notFound, "not found"),
            (.versionConflict, .conflict, "conflict"),
            (.hashChainBroken, .conflict, "conflict"),
            (.fileNotFound, .notFound, "file not found"),
            (.epochConflict(current: 2, rewrap: 2), .conflict, "conflict"),
            (.epochMismatch, .conflict, "epoch mismatch"),
            (.dekEpochMismatch, .conflict, "DEK epoch does not match current key generation"),
            (.dekRecordNotFound, .badRequest, "one or more DEK records were not found"),
            (.fileDEKNotFound, .badRequest, "one or more file DEK records were not found"),
            (.invalidWrappedDEK, .badRequest, "invalid record: wrapped DEK must be exactly 44 bytes"),
            (.invalidFileSize, .badRequest, "file size must be non-negative"),
            (.keyGenerationStale, .keyGenerationStale, "key generation stale"),
            (.invalidRecordID, .badRequest, "invalid record ID"),
            (.duplicateRecordID, .badRequest, "duplicate record ID in push"),
            (.blobTooLarge, .payloadTooLarge, "blob exceeds limit"),
            (.pushRecordLimitExceeded, .payloadTooLarge, "push exceeds record limit"),
            (.pushPayloadLimitExceeded, .payloadTooLarge, "push exceeds payload limit"),
            (.unavailable, .internal, "internal"),
            (.database(detail: "relation does not exist"), .internal, "internal"),
            (.migration(detail: "checksum"), .internal, "internal"),
        ])
    func storage(_ error: StorageError, code: RPCErrorCode, message: String) {
        #expect(RPCError(error) == RPCError(code, message, cause: error))
    }

    @Test("C9: refused is forbidden, undecided is internal")
    func authorization() {
        #expect(RPCError(AuthorizationError.refused(.noDelegation)) == RPCError(.forbidden, "forbidden"))
        #expect(
            RPCError(AuthorizationError.undecided(.unavailable)) == RPCError(.internal, "internal", cause: .unavailable)
        )
    }
}
