package import SyncProtocol
package import SyncStorage

extension SQLiteStorage {
    package func advanceEpoch(
        of space: SpaceID, to epoch: Int32, setsMinimum: Bool
    ) async throws(StorageError) {
        try await self.write { transaction throws(StorageError) in
            try transaction.advanceEpoch(of: space, to: epoch, setsMinimum: setsMinimum)
        }
    }

    package func completeRewrap(of space: SpaceID, for epoch: Int32) async throws(StorageError) {
        try await self.write { transaction throws(StorageError) in
            try transaction.completeRewrap(of: space, for: epoch)
        }
    }
}

extension WriteTransaction {
    fileprivate mutating func advanceEpoch(
        of id: SpaceID, to epoch: Int32, setsMinimum: Bool
    ) throws(StorageError) -> Result<Void, StorageError> {
        guard var space = try self.space(id) else { return .failure(.spaceNotFound) }
        let (next, overflow) = space.keyGeneration.addingReportingOverflow(1)
        guard !overflow, epoch == next, space.rewrapEpoch == nil else {
            return .failure(.epochConflict(current: space.keyGeneration, rewrap: space.rewrapEpoch))
        }
        space.keyGeneration = epoch
        space.rewrapEpoch = epoch
        if setsMinimum { space.minKeyGeneration = epoch }
        self.change(space)
        return .success(())
    }

    fileprivate mutating func completeRewrap(
        of id: SpaceID, for epoch: Int32
    ) throws(StorageError) -> Result<Void, StorageError> {
        guard var space = try self.space(id) else { return .failure(.spaceNotFound) }
        guard space.rewrapEpoch == epoch else { return .failure(.epochMismatch) }
        space.rewrapEpoch = nil
        self.change(space)
        return .success(())
    }
}
