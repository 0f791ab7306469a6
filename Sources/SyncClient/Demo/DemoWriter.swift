import SyncProtocol

/// Device A: pushes what a source makes, in its order. While one push is on its way, the next one is prepared.
struct DemoWriter: Sendable {
    private let source: DemoSource
    private let progress: DemoProgress
    private var session: DemoSession
    private var client: SyncClient?

    init(_ session: DemoSession, source: DemoSource, progress: DemoProgress) {
        self.session = session
        self.source = source
        self.progress = progress
    }

    /// Returns when everything is stored.
    mutating func run() async throws {
        do {
            try await self.pushAll()
            await self.client?.close()
        } catch {
            await self.client?.close()
            throw error
        }
    }

    private mutating func pushAll() async throws {
        let source = self.source
        var batch = try await source.nextBatch()
        while let current = batch {
            async let following = source.nextBatch()
            let cursor = try await self.push(current.changes)
            self.progress.add(current.counts, cursor: cursor, .writer)
            batch = try await following
        }
    }

    /// Pushes until it is known that the changes are stored.
    private mutating func push(_ changes: [PushParams.Change]) async throws -> Int64 {
        let space = self.session.space.wireText
        var isRepeated = false
        while true {
            do {
                let client = try await self.connected()
                switch try await client.push(PushParams(space: space, changes: changes)) {
                case .accepted(let cursor):
                    self.session.succeeded()
                    return cursor
                case .refused(.conflict) where isRepeated:
                    // Ids are not used twice and a push is all or nothing: the earlier attempt was stored, its answer lost.
                    guard case .accepted(let cursor) = try await client.push(PushParams(space: space, changes: []))
                    else { throw DemoError.pushRefused(.conflict) }
                    self.session.succeeded()
                    return cursor
                case .refused(let code): throw DemoError.pushRefused(code)
                }
            } catch {
                isRepeated = true
                await self.client.take()?.close()
                try await self.session.failed(error)
            }
        }
    }

    private mutating func connected() async throws(SyncClientError) -> SyncClient {
        if let client = self.client { return client }
        let client = try await self.session.connect()
        self.client = client
        return client
    }
}
