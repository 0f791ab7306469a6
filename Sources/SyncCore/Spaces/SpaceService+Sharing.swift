package import NIOCore
package import SyncAuth
package import SyncProtocol
package import SyncStorage

extension SpaceService {
    /// Creates a shared space, whose root key decides who may do what in it from then on.
    ///
    /// - Parameter rootPublicKey: A compressed P-256 point, 33 bytes; whether it lies on the curve is not checked.
    /// - Throws: `.spaceExists`.
    package func createShared(
        _ id: SpaceID, rootPublicKey: ByteBuffer, for principal: Principal
    ) async throws(StorageError) -> Space {
        try await self.storage.createSpace(id, clientID: principal.clientID, rootPublicKey: rootPublicKey)
    }

    /// Appends to the membership log, answers, then notifies the other subscribers of the space.
    ///
    /// Answers and broadcasts of a space happen in cursor order, together with those of its pushes.
    ///
    /// - Parameters:
    ///   - params: Checked as docs/contract/rpc.md §8.1 rows 3–5 say.
    ///   - answer: Called exactly once, before this method returns, possibly by another task. Must not block.
    package func appendMember(
        _ params: MembershipAppendParams,
        to grant: WriteGrant,
        from sender: ConnectionID,
        answer: @escaping @Sendable (Result<MemberReceipt, RPCError>) -> Void
    ) async {
        let append = MemberAppend(
            space: grant.space, expectedVersion: params.expectedVersion,
            previousHash: params.previousHash ?? ByteBuffer(), entryHash: params.entryHash, payload: params.payload,
            creator: grant.creator)
        await self.relay.write(to: append.space) {
            await self.storage.appendMember(append) { result in
                switch result {
                case .success(let receipt):
                    answer(.success(receipt))
                    self.announce(append, receipt, from: sender)
                case .failure(let error):
                    answer(.failure(RPCError(error)))
                }
            }
        }
    }

    private func announce(_ append: MemberAppend, _ receipt: MemberReceipt, from sender: ConnectionID) {
        self.relay.committed(append.space, at: receipt.cursor, from: sender) {
            let notification = MembershipNotification(
                space: append.space, cursor: receipt.cursor,
                entries: [
                    MembershipEntry(
                        chainSequence: receipt.chainSequence, previousHash: append.previousHash.nilIfEmpty,
                        entryHash: append.entryHash, payload: append.payload)
                ])
            return FrameEncoder.notification(method: .membership, params: notification)
        }
    }

    /// The membership log behind `since`, and its version, from one snapshot. The caller's personal space is created on
    /// first contact.
    ///
    /// - Throws: `payload_too_large` when it would not fit into one message.
    package func members(_ grant: ReadGrant, since: Int32) async throws(RPCError) -> MembershipListResult {
        let log: MemberLog
        do {
            log = try await self.memberLog(grant, since: since)
        } catch {
            throw RPCError(error)
        }
        guard log.isComplete else { throw .membershipLogTooLarge }
        return MembershipListResult(
            entries: log.entries.map { member in
                MembershipEntry(
                    chainSequence: member.chainSequence, previousHash: member.previousHash.nilIfEmpty,
                    entryHash: member.entryHash, payload: member.payload)
            }, metadataVersion: log.metadataVersion)
    }

    private func memberLog(_ grant: ReadGrant, since: Int32) async throws(StorageError) -> MemberLog {
        let bytesMax = Limits.messageBytesMax
        do {
            return try await self.storage.members(of: grant.space, since: since, bytesMax: bytesMax)
        } catch .spaceNotFound where grant.creator != nil {
            try await self.createOnFirstContact(grant.space, by: grant.creator)
            return try await self.storage.members(of: grant.space, since: since, bytesMax: bytesMax)
        }
    }

    /// Takes a delegation back in one space, for ever, and tells the other subscribers before it returns.
    ///
    /// - Parameter cid: Not empty.
    package func revoke(
        _ cid: String, in grant: WriteGrant, from sender: ConnectionID
    ) async throws(StorageError) {
        try await self.createOnFirstContact(grant.space, by: grant.creator)
        try await self.storage.revoke(cid, in: grant.space)
        await self.authorities.revoked(cid, in: grant.space, by: sender)
    }

    /// Does nothing without a creator, whose personal space it is.
    func createOnFirstContact(_ space: SpaceID, by creator: String?) async throws(StorageError) {
        guard let creator else { return }
        _ = try await self.storage.getOrCreateSpace(space, clientID: creator)
    }
}

extension RPCError {
    /// docs/contract/rpc.md §2.6.
    static let membershipLogTooLarge = RPCError(.payloadTooLarge, "membership log too large, use since_seq")
}

extension ByteBuffer {
    fileprivate var nilIfEmpty: ByteBuffer? { self.readableBytes == 0 ? nil : self }
}
