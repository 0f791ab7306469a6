import FoundationEssentials
package import NIOCore
package import SyncStorage
import Synchronization

/// A session that adds bytes to a resumable upload. Used by one caller at a time, and ended with `suspend`.
///
/// Taking the upload again ends this session: what it has not written yet is dropped, and its calls throw `.superseded`. What
/// is appended in `receive` is written first.
package final class PartialUpload: Sendable {
    // fixed after init
    package let id: UploadID
    package let ticket: UploadTicket
    private let uploads: PartialUploads
    private let path: String
    private let file: OpenFile
    private let generation: UInt64

    // guarded by state
    private let state: Mutex<State>

    private struct State {
        /// Appended, not yet written.
        var pending = ByteBuffer()
        var written: Int64
        /// Survives a power loss.
        var durable: Int64
    }

    init(
        id: UploadID, ticket: UploadTicket, uploads: PartialUploads, path: String, file: OpenFile, generation: UInt64,
        offset: Int64, durable: Int64
    ) {
        self.id = id
        self.ticket = ticket
        self.uploads = uploads
        self.path = path
        self.file = file
        self.generation = generation
        self.state = Mutex(State(written: offset, durable: durable))
    }

    /// Bytes accepted so far: where the next one goes.
    package var offset: Int64 {
        self.state.withLock { $0.written + Int64($0.pending.readableBytes) }
    }

    /// Takes the next bytes; returns when there is room for more.
    ///
    /// - Throws: `.tooLarge` beyond the announced length, or the limit; `.superseded`.
    package func append(_ bytes: ByteBuffer) async throws(UploadError) {
        let lengthMax = self.ticket.length ?? self.uploads.limits.fileBytesMax
        let isFull = try self.state.withLock { state throws(UploadError) in
            guard state.written + Int64(state.pending.readableBytes + bytes.readableBytes) <= lengthMax else {
                throw .tooLarge
            }
            if state.pending.readableBytes == 0 {
                state.pending = bytes
            } else {
                state.pending.writeImmutableBuffer(bytes)
            }
            return state.pending.readableBytes >= LocalBlobStore.chunkBytes
        }
        guard isFull else { return }
        let isCheckpoint = self.state.withLock { state in
            state.written + Int64(state.pending.readableBytes) - state.durable >= UploadLimits.checkpointBytes
        }
        try await self.flush(synchronizing: isCheckpoint)
    }

    /// Makes what was appended durable. Works in a cancelled task too.
    package func suspend() async throws(UploadError) { try await self.flush(synchronizing: true) }

    /// Appends what `body` hands to `append`, and suspends. Taking the upload meanwhile cancels `body`, and counts the bytes
    /// that it had.
    ///
    /// - Throws: `.superseded` then; what `body` throws, once the bytes before have been made durable.
    package func receive(_ body: @escaping @Sendable () async throws -> Void) async throws {
        let (ended, end) = AsyncStream.makeStream(of: Never.self)
        try await self.uploads.receiving(self.id, generation: self.generation, end: { end.finish() }) {
            let result = await withTaskGroup(of: Result<Void, any Error>.self) { group in
                group.addTask {
                    do { return .success(try await body()) } catch { return .failure(error) }
                }
                group.addTask {
                    for await _ in ended {}
                    return .failure(UploadError.superseded)
                }
                let first = await group.next()
                group.cancelAll()
                return first ?? .failure(UploadError.superseded)
            }
            switch result {
            case .success:
                try await self.suspend()
            case .failure(let error):
                try? await self.suspend()
                throw error
            }
        }
    }

    /// Begins an object of the whole upload, which stays until it is removed.
    ///
    /// - Throws: `.blob(.incomplete)` when bytes of the announced length are missing.
    package func begin(in store: any BlobStore) async throws(UploadError) -> any BlobWriter {
        try await self.flush(synchronizing: true)
        let offset = self.offset
        guard self.ticket.length == nil || self.ticket.length == offset else { throw .blob(.incomplete) }
        do throws(BlobError) {
            return try await store.begin(self.ticket.key, fromFile: self.path, length: offset)
        } catch {
            throw .blob(error)
        }
    }

    private func flush(synchronizing: Bool) async throws(UploadError) {
        try await self.uploads.exclusively(self.id, generation: self.generation) { () throws(BlobError) in
            let (bytes, offset) = self.state.withLock { state in (state.pending, state.written) }
            let end = offset + Int64(bytes.readableBytes)
            let file = self.file
            let path = self.path
            try await FileThreads.shared.run { () throws(BlobError) in
                try file.write(bytes, at: offset)
                guard synchronizing else { return }
                try file.synchronize()
                try OffsetFile.write(end, for: path)
            }
            self.state.withLock { state in
                state.written = end
                state.pending = ByteBuffer()
                if synchronizing { state.durable = end }
            }
        }
    }
}
