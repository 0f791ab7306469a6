import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting

@testable import SyncCore

extension TestClient {
    func beginEpoch(
        _ epoch: Int32, in space: SpaceID, ucan: String = "", setsMinimum: Bool = false
    ) async throws -> EpochBeginResult {
        let params = EpochBeginParams(
            space: space.wireText, ucan: ucan, epoch: epoch, setsMinKeyGeneration: setsMinimum)
        return try await self.call(.epochBegin, params)
    }

    func completeEpoch(_ epoch: Int32, in space: SpaceID, ucan: String = "") async throws {
        let params = EpochCompleteParams(space: space.wireText, ucan: ucan, epoch: epoch)
        _ = try await self.call(.epochComplete, params, as: EmptyMap.self)
    }

    /// Chunks and result of a list of DEKs.
    func deks<Entry: WireDecodable & Hashable>(
        _ method: Method, in space: SpaceID, since: Int64 = 0, ucan: String = ""
    ) async throws -> (chunks: [Entry], result: DEKsGetResult<Entry>) {
        let params = DEKsGetParams(space: space.wireText, ucan: ucan, since: since)
        let answer = try await self.answer(to: self.request(method, params))
        let name: ChunkName = method == .deksGet ? .deksRecord : .deksFilesRecord
        guard answer.chunks.allSatisfy({ $0.name == name.rawValue }) else {
            throw UnexpectedFrame(description: "chunks of another name than \(name)")
        }
        return (try answer.chunks.map { try $0.data.decode() }, try answer.result.decode())
    }

    func rewrap(
        _ method: Method, _ deks: [(id: String, dek: ByteBuffer)], in space: SpaceID, ucan: String = ""
    ) async throws -> DEKsRewrapResult {
        let params = DEKsRewrapParams(
            space: space.wireText, ucan: ucan, deks: deks.map { .init(id: $0.id, dek: $0.dek) })
        return try await self.call(method, params)
    }
}

extension EngineHarness {
    /// Pushes to a space past every check of the session; it must exist.
    @discardableResult
    func write(_ changes: [PushParams.Change], to space: SpaceID) async throws -> PushOutcome {
        try await self.storage.push(
            Push(space: space, changes: ChangeSet(validating: changes, limits: PushLimits())))
    }

    /// The right of a principal to write to its personal space.
    func grant(_ principal: Principal) async throws -> WriteGrant {
        try await self.engine.services.authorizer.authorizeWrite(principal, to: principal.space, ucan: "")
    }
}
