import Logging
import SyncProtocol
import SyncStorage
import Synchronization

/// LISTEN and NOTIFY on a connection of its own (docs/decisions/0012).
///
/// Outside of the transactions that it tells of: a transaction that notifies holds a lock on the order of all commits.
final class PostgresChangeFeed: ChangeFeed {
    private struct State {
        var isRunning = false
        /// What has not gone out.
        var cursors: [SpaceID: Int64] = [:]
        /// There was more than is kept.
        var hasOverflowed = false
        /// Wakes the task that has the connection.
        var wake: AsyncStream<Void>.Continuation?
    }

    // Fixed after init.
    private let pool: PostgresPool
    private let thread: EventThread
    private let logger: Logger
    /// Names this process to the others.
    let origin = UInt64.random(in: 1 ... .max)

    /// One channel for each schema: servers in different ones have nothing to tell each other.
    static let channelExpression = "'less_sync_' || current_schema()::regnamespace::oid::text"

    // Guarded by itself.
    private let state = Mutex(State())

    init(pool: PostgresPool, thread: EventThread, logger: Logger) {
        self.pool = pool
        self.thread = thread
        self.logger = logger
    }

    func announce(_ space: SpaceID, at cursor: Int64) {
        let wake = self.state.withLock { state -> AsyncStream<Void>.Continuation? in
            guard state.isRunning else { return nil }
            if state.cursors.count >= PostgresLimits.announcedSpacesMax, state.cursors[space] == nil {
                state.hasOverflowed = true
                state.cursors = [:]
            }
            guard !state.hasOverflowed else { return state.wake }
            state.cursors[space] = max(cursor, state.cursors[space] ?? 0)
            // The others have woken it.
            return state.cursors.count == 1 ? state.wake : nil
        }
        wake?.yield()
    }

    func withChanges<Result: Sendable>(
        of space: SpaceID, after: Int64, through: Int64, _ body: (any PullSnapshot) async throws -> Result
    ) async throws -> Result {
        try await self.pool.withConnection(
            { connection in
                try await self.pool.pull(space, since: after, through: through, on: connection, body)
            }, unavailable: { $0 })
    }

    func revocations(among tokens: [SpaceID: Set<String>]) async throws(StorageError) -> [SpaceID: Set<String>] {
        let cids = tokens.values.reduce(into: Set()) { $0.formUnion($1) }
        guard !cids.isEmpty else { return [:] }
        let statement = PostgresStatement(
            name: "revocations_among",
            sql: """
                SELECT space_id, ucan_cid FROM revocations
                WHERE space_id = ANY ($1::uuid[]) AND ucan_cid = ANY ($2::text[])
                """,
            parameters: [PostgresValue.ids(Array(tokens.keys)), PostgresValue.texts(Array(cids))])
        let rows: PostgresRows?
        do {
            rows = try await self.pool.withConnection(
                { connection throws(PostgresFailure) in
                    try await connection.execute([statement], within: self.pool.configuration.waitLimit)
                }, unavailable: { _ in .unavailable }
            ).first
        } catch {
            throw error.storageError
        }
        var revoked: [SpaceID: Set<String>] = [:]
        guard let rows else { return revoked }
        for row in 0..<rows.count {
            guard let space = rows.id(row, 0) as SpaceID?, let cid = rows.text(row, 1) else {
                throw .database(detail: "unexpected types in revocations")
            }
            // A CID of one space may be revoked in another that was asked for.
            if tokens[space]?.contains(cid) == true { revoked[space, default: []].insert(cid) }
        }
        return revoked
    }

    func run(_ receive: @escaping @Sendable (ChangeFeedEvent) -> Void) async {
        self.state.withLock { $0.isRunning = true }
        defer { self.state.withLock { $0 = State() } }
        var delay = PostgresLimits.feedDelayMin
        var isWarned = false
        while !Task.isCancelled {
            let (wakeUps, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
            do throws(StorageError) {
                let connection = try await self.connect(receive, wake)
                delay = PostgresLimits.feedDelayMin
                if isWarned { self.logger.info("Changes of other servers are heard again") }
                isWarned = false
                receive(.resumed)
                await self.serve(connection, wakeUps, wake)
                connection.close()
            } catch {
                if case .database = error {
                    self.logger.error("Cannot listen to other servers", metadata: ["error": "\(error)"])
                }
            }
            guard !Task.isCancelled else { return }
            if !isWarned { self.logger.warning("Changes of other servers are not heard") }
            isWarned = true
            try? await Task.sleep(for: delay)
            delay = min(delay * 2, PostgresLimits.feedDelayMax)
        }
    }

    /// - Returns: A connection that listens.
    private func connect(
        _ receive: @escaping @Sendable (ChangeFeedEvent) -> Void, _ wake: AsyncStream<Void>.Continuation
    ) async throws(StorageError) -> PostgresConnection {
        let origin = self.origin
        let listener = PostgresListener(
            received: { payload in
                if let revocation = RevocationAnnouncement(payload: payload) {
                    if revocation.origin != origin {
                        receive(.revoked(cid: revocation.cid, space: revocation.space))
                    }
                    return
                }
                guard let announcement = ChangeAnnouncement(payload: payload), announcement.origin != origin else {
                    return
                }
                receive(announcement.cursors.isEmpty ? .resumed : .changed(announcement.cursors))
            }, ended: { wake.finish() })
        let limit = self.pool.configuration.waitLimit
        // Whoever cannot connect hears of it from the pool.
        let connection = try await PostgresConnection.connect(
            to: self.pool.configuration.url, on: self.thread, within: limit, settings: .feedSettings(waitLimit: limit),
            log: { _ in }, notice: { [logger] in logger.note($0) }, listener: listener)
        do {
            guard let channel = try await connection.execute([Self.channel], within: limit).first?.text(0, 0) else {
                throw PostgresFailure.unavailable
            }
            _ = try await connection.execute([PostgresStatement(sql: "LISTEN \(channel)")], within: limit)
            return connection
        } catch {
            connection.close()
            throw (error as? PostgresFailure ?? .unavailable).storageError
        }
    }

    private static let channel = PostgresStatement(sql: "SELECT \(PostgresChangeFeed.channelExpression)")

    /// Sends until the connection is lost or the task is cancelled.
    private func serve(
        _ connection: PostgresConnection, _ wakeUps: AsyncStream<Void>, _ wake: AsyncStream<Void>.Continuation
    ) async {
        self.state.withLock { $0.wake = wake }
        defer { self.state.withLock { $0.wake = nil } }
        let limit = min(self.pool.configuration.waitLimit, PostgresLimits.feedAnswerMax)
        // What was announced while there was no connection.
        wake.yield()
        await withTaskGroup { group in
            group.addTask {
                // A connection that is lost without a word is found out by using it.
                while (try? await Task.sleep(for: PostgresLimits.feedHeartbeat)) != nil { wake.yield() }
            }
            for await _ in wakeUps {
                guard !Task.isCancelled, await self.send(on: connection, within: limit) else { break }
                // What comes meanwhile goes together.
                try? await Task.sleep(for: PostgresLimits.feedPause)
            }
            group.cancelAll()
        }
        // Before it goes, what was committed last.
        if Task.isCancelled { _ = await self.send(on: connection, within: PostgresLimits.feedGoodbyeLimit) }
    }

    /// - Returns: False when the connection is lost.
    private func send(on connection: PostgresConnection, within limit: Duration) async -> Bool {
        let (cursors, hasOverflowed) = self.state.withLock { state in
            defer {
                state.cursors = [:]
                state.hasOverflowed = false
            }
            return (state.cursors, state.hasOverflowed)
        }
        let payloads =
            cursors.isEmpty && !hasOverflowed
            ? [] : ChangeAnnouncement.payloads(from: self.origin, hasOverflowed ? [:] : cursors)
        var statements = payloads.map { payload in
            PostgresStatement(
                name: "notify",
                sql: "SELECT pg_notify(\(Self.channelExpression), $1::text)",
                parameters: [PostgresValue.text(payload)])
        }
        if statements.isEmpty { statements = [PostgresStatement(name: "ping", sql: "SELECT 1")] }
        do {
            _ = try await connection.execute(statements, within: limit)
            return true
        } catch {
            // Perhaps they have gone out. To say so twice does no harm.
            self.state.withLock { state in
                state.cursors.merge(cursors) { max($0, $1) }
                state.hasOverflowed = state.hasOverflowed || hasOverflowed
            }
            return false
        }
    }
}
