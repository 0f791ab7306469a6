import NIOCore
package import SyncProtocol
import SyncStorage

extension SpaceService {
    /// Writes a push, answers it, then notifies the other subscribers of the space.
    ///
    /// Answers and broadcasts for one space happen in cursor order, each answer before its own broadcast
    /// (docs/contract/wire.md §13 rows 5–8, architecture W3).
    ///
    /// - Parameters:
    ///   - sender: The connection that gets no `sync` of this push.
    ///   - answer: Called exactly once, before this method returns, possibly by another task. Must not block. Gets the
    ///     space's cursor after the push, or why nothing was written.
    package func push(
        _ changes: [PushParams.Change],
        to grant: WriteGrant,
        from sender: ConnectionID,
        answer: @escaping @Sendable (Result<Int64, RPCError>) -> Void
    ) async {
        let push: Push
        do {
            push = try self.checkedPush(changes, to: grant)
        } catch {
            return answer(.failure(error))
        }
        await self.relay.write(to: push.space) {
            await self.storage.push(push) { result in
                switch result {
                case .success(.accepted(let receipt)):
                    answer(.success(receipt.cursor))
                    self.announce(push, receipt, from: sender)
                    if !receipt.removedFiles.isEmpty { self.onFilesRemoved() }
                case .success(.conflict):
                    answer(.failure(RPCError(.conflict, "conflict")))
                case .failure(let error):
                    answer(.failure(RPCError(error)))
                }
            }
        }
    }

    /// Rows 4–6 of docs/contract/rpc.md §4.
    private func checkedPush(_ changes: [PushParams.Change], to grant: WriteGrant) throws(RPCError) -> Push {
        for change in changes {
            let bytes = (change.blob?.readableBytes ?? 0) + (change.dek?.readableBytes ?? 0)
            guard bytes <= Limits.pullableChangeBytesMax else {
                throw RPCError(.payloadTooLarge, "change too large to be pulled")
            }
        }
        let checked: ChangeSet
        do {
            checked = try ChangeSet(validating: changes, limits: self.pushLimits)
        } catch {
            throw RPCError(error)
        }
        // Storage compares it where the row is that of a shared space.
        let keyGeneration = DEKEpoch.keyGeneration(of: checked.changes)
        return Push(space: grant.space, changes: checked, keyGeneration: keyGeneration, creator: grant.creator)
    }

    private func announce(_ push: Push, _ receipt: PushReceipt, from sender: ConnectionID) {
        let changes = push.changes.changes
        guard !changes.isEmpty else { return }
        self.metrics.pushed(records: changes.count)
        self.relay.committed(push.space, at: receipt.cursor, from: sender) {
            FrameEncoder.sync(SyncNotification(space: push.space, changes: changes, receipt: receipt))
        }
    }
}

extension SyncNotification {
    /// What the other subscribers of a space hear of one push (docs/contract/rpc.md §14.1).
    init(space: SpaceID, changes: [RecordChange], receipt: PushReceipt) {
        self.init(
            space: space, prev: receipt.cursor - 1, cursor: receipt.cursor, keyGeneration: receipt.keyGeneration,
            rewrapEpoch: receipt.rewrapEpoch,
            records: changes.map { change in
                RecordEntry(
                    space: nil, id: change.id, blob: change.blob, cursor: receipt.cursor,
                    dek: change.blob == nil ? nil : change.wrappedDEK, deleted: change.blob == nil)
            })
    }
}
