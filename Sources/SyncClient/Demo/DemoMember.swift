import Crypto
import NIOCore
import SyncAuth
import SyncProtocol

/// One device of one person in the second act: a connection, and what the person knows of the shared space.
final class DemoMember: Sendable {
    /// How people call it.
    let name: String
    let personalSpace: SpaceID
    let mailbox: String
    private let client: SyncClient
    private let clock: any Clock<Duration>

    /// Longest wait for something that another device has caused. An invitation is announced up to 5 s later.
    static let eventTimeout: Duration = .seconds(30)

    init(name: String, personalSpace: SpaceID, mailbox: String, client: SyncClient, clock: any Clock<Duration>) {
        self.name = name
        self.personalSpace = personalSpace
        self.mailbox = mailbox
        self.client = client
        self.clock = clock
    }

    func close() async { await self.client.close() }

    /// - Throws: `DemoError.connection`, which names the device.
    @discardableResult
    func call<Value: Sendable>(
        _ request: (SyncClient) async throws(SyncClientError) -> Value
    ) async throws(DemoError) -> Value {
        do { return try await request(self.client) } catch { throw .connection(device: self.name, error) }
    }

    func subscribe(to space: SpaceID, with delegation: String = "") async throws(DemoError) {
        let entry = SubscribeParams.Entry(id: space.wireText, ucan: delegation)
        let result = try await self.call { client throws(SyncClientError) in try await client.subscribe([entry]) }
        if let failure = result.errors.first { throw .notSubscribed(failure.error.rawValue) }
    }

    /// - Returns: The space's cursor after the push.
    @discardableResult
    func push(
        _ text: String, as sequence: Int64, to space: SpaceID, with delegation: String = "", sealedBy cipher: DemoCipher
    ) async throws -> Int64 {
        let id = cipher.recordID(sequence)
        let blob = try cipher.seal(ByteBuffer(string: text), id: id)
        return try await self.push(
            .init(id: id.wireText, blob: blob, expectedCursor: 0, dek: nil), to: space, with: delegation)
    }

    /// - Throws: `DemoError.pushRefused` when it was in vain.
    func push(deleting record: RecordID, at cursor: Int64, in space: SpaceID) async throws(DemoError) {
        _ = try await self.push(
            .init(id: record.wireText, blob: nil, expectedCursor: cursor, dek: nil), to: space)
    }

    /// - Returns: The space's cursor after the push.
    func push(
        _ change: PushParams.Change, to space: SpaceID, with delegation: String = ""
    ) async throws(DemoError) -> Int64 {
        let params = PushParams(space: space.wireText, ucan: delegation, changes: [change])
        switch try await self.call({ client throws(SyncClientError) in try await client.push(params) }) {
        case .accepted(let cursor): return cursor
        case .refused(let code): throw DemoError.pushRefused(code)
        }
    }

    /// Wrapped DEKs of all records and files of a space.
    func deks(of space: SpaceID) async throws -> (records: [RecordDEKEntry], files: [FileDEKEntry]) {
        do {
            return (try await self.client.recordDEKs(of: space), try await self.client.fileDEKs(of: space))
        } catch let error as SyncClientError {
            throw DemoError.connection(device: self.name, error)
        }
    }

    /// - Throws: `DemoError.sharing` when a pull from the start of `space` brings anything at all.
    func checkPullsNothing(of space: SpaceID, with delegation: String) async throws {
        let entry = PullParams.Entry(id: space.wireText, since: 0, ucan: delegation)
        do {
            try await self.client.pull([entry]) { _ in
                throw DemoError.sharing("\(self.name) could pull after it was shut out")
            }
        } catch let error as SyncClientError {
            throw DemoError.connection(device: self.name, error)
        }
    }

    /// The text of the next record of `space` that comes by notification, and its cursor.
    func nextText(of space: SpaceID, openedBy cipher: DemoCipher) async throws -> (text: String, cursor: Int64) {
        let sync = try await self.event("a record of another device") { event -> SyncNotification? in
            guard case .sync(let sync) = event, sync.space == space else { return nil }
            return sync
        }
        guard let record = sync.records.first, let blob = record.blob else {
            throw DemoError.sharing("\(self.name) was told of a change without its record")
        }
        return (String(buffer: try cipher.open(blob, id: record.id)), sync.cursor)
    }

    /// The first event that `match` takes; the ones before it are dropped.
    @discardableResult
    func event<Value: Sendable>(
        _ description: String, _ match: @escaping @Sendable (SyncEvent) -> Value?
    ) async throws -> Value {
        let value = try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask {
                while let event = await self.client.nextEvent() {
                    if let value = match(event) { return value }
                }
                return nil
            }
            group.addTask {
                try await self.clock.sleep(for: Self.eventTimeout)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
        if let value { return value }
        if let failure = self.client.failure { throw DemoError.connection(device: self.name, failure) }
        throw DemoError.sharing("\(self.name) has waited \(Self.eventTimeout.components.seconds) s for \(description)")
    }
}
