import Logging
package import NIOCore
package import SyncProtocol
import SyncStorage
import Synchronization

/// Puts the notifications of this process and the changes of other ones into the order of each space's cursor, each told
/// once (docs/decisions/0012).
///
/// Without a feed, or while `run` does not, it publishes what it is given at once.
package final class ChangeRelay: Sendable {
    private enum Job: Sendable {
        /// Has work; nobody else works at it.
        case space(SpaceID)
        case catchUp
    }

    private struct State {
        var isRunning = false
        var sequences: [SpaceID: SpaceSequence] = [:]
        var isCatchingUp = false
        /// Spaces of which some change could not be told. Their subscribers are to pull once that works again.
        var behind: Set<SpaceID> = []
    }

    // Fixed after init.
    private let storage: any Storage
    private let feed: (any ChangeFeed)?
    private let broker: Broker
    private let authorities: AuthorityWatch
    private let clock: any Clock<Duration>
    private let logger: Logger
    private let (jobs, queue) = AsyncStream.makeStream(of: Job.self)

    // Guarded by itself.
    private let state = Mutex(State())

    /// Spaces that are worked at together.
    private static let workersMax = 4
    /// Before what failed is tried again.
    private static let pause: Duration = .seconds(1)
    private static let spacesPerQuery = 500
    /// Attempts at changes that keep later notifications waiting.
    private static let awaitedReadsMax = 60

    init(
        storage: any Storage, broker: Broker, authorities: AuthorityWatch, clock: any Clock<Duration>, logger: Logger
    ) {
        self.storage = storage
        self.feed = storage.changeFeed
        self.broker = broker
        self.authorities = authorities
        self.clock = clock
        self.logger = logger
    }

    // MARK: - Writes of this process

    /// Runs a write that may move the cursor of `space`, and reports so with `committed` before it returns.
    package func write(to space: SpaceID, _ body: () async -> Void) async {
        guard self.feed != nil else { return await body() }
        self.state.withLock { $0.sequences[space, default: SpaceSequence()].writeBegins() }
        await body()
        let startsWork = self.state.withLock { state in
            let startsWork = state.sequences[space]?.writeEnds() ?? false
            if let sequence = state.sequences[space], sequence.isIdle, sequence.told == nil {
                state.sequences[space] = nil
            }
            return startsWork && state.isRunning
        }
        if startsWork { self.queue.yield(.space(space)) }
    }

    /// Tells subscribers of a commit, and the other processes. Called in cursor order for each space; does not wait.
    ///
    /// - Parameters:
    ///   - sender: Gets nothing.
    ///   - frame: Made when there is somebody to get it.
    package func committed(
        _ space: SpaceID, at cursor: Int64, from sender: ConnectionID?, _ frame: () -> ByteBuffer
    ) {
        let hasSubscribers = self.broker.hasSubscribers(of: space, except: sender)
        guard let feed = self.feed else {
            if hasSubscribers { self.broker.publish(frame(), to: space, except: sender) }
            return
        }
        feed.announce(space, at: cursor)
        let content: SpaceSequence.Notice.Content = hasSubscribers ? .frame(frame()) : .nothing
        let notice = SpaceSequence.Notice(cursor: cursor, content: content, sender: sender)
        let commit = self.state.withLock { state -> SpaceSequence.Commit in
            guard state.isRunning else {
                state.sequences[space]?.didTell(cursor)
                return .publish
            }
            return state.sequences[space]?.committed(notice) ?? .publish
        }
        switch commit {
        case .publish: if case .frame(let frame) = content { self.broker.publish(frame, to: space, except: sender) }
        case .keep: break
        case .startWork: self.queue.yield(.space(space))
        }
    }

    // MARK: - Subscriptions

    /// To be called before a connection is subscribed to `spaces`; `openingEnds` follows for each.
    package func openingBegins(_ spaces: some Collection<SpaceID>) {
        guard self.feed != nil else { return }
        self.state.withLock { state in
            for space in spaces {
                // What was told to those who have gone is of no use.
                self.forgetIfUnwatched(space, &state)
                state.sequences[space, default: SpaceSequence()].openingBegins()
            }
        }
    }

    /// The broker is asked under the lock: a subscription that was opening a moment ago may have opened.
    private func forgetIfUnwatched(_ space: SpaceID, _ state: inout State) {
        guard state.sequences[space]?.isIdle == true, !self.broker.hasSubscribers(of: space, except: nil) else {
            return
        }
        state.sequences[space] = nil
    }

    /// - Parameter cursors: Of the spaces, read after their subscription; those that are missing came to nothing.
    package func openingEnds(_ spaces: some Collection<SpaceID>, at cursors: [SpaceID: Int64]) {
        guard self.feed != nil else { return }
        let startWork = self.state.withLock { state in
            let startWork = spaces.filter { state.sequences[$0]?.openingEnds(at: cursors[$0]) ?? false }
            return state.isRunning ? startWork : []
        }
        for space in startWork { self.queue.yield(.space(space)) }
    }

    // MARK: - Changes of others

    /// Hears of other processes until the task is cancelled. To be run once; returns at once without a feed.
    package func run() async {
        guard let feed = self.feed else { return }
        self.state.withLock { $0.isRunning = true }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await feed.run { self.heard($0) } }
            group.addTask { await self.catchUpRegularly() }
            group.addTask { await self.work() }
            await group.waitForAll()
        }
        self.stop()
    }

    /// What was kept for the sake of the order goes without.
    private func stop() {
        let kept = self.state.withLock { state in
            state.isRunning = false
            defer { state.sequences = [:] }
            return state.sequences.mapValues { sequence in
                var sequence = sequence
                return sequence.takeKept()
            }
        }
        for (space, notices) in kept { self.publish(notices, of: space, meta: nil) }
    }

    /// Must not block.
    private func heard(_ event: ChangeFeedEvent) {
        switch event {
        case .resumed: self.requestCatchUp()
        // At once, so that no change that was committed later is told before.
        case .revoked(let cid, let space): self.authorities.revokedElsewhere(cid, in: space)
        case .changed(let cursors):
            let watched = cursors.filter { self.broker.hasSubscribers(of: $0.key, except: nil) }
            self.announced(watched)
        }
    }

    private func announced(_ cursors: [SpaceID: Int64]) {
        let startWork = self.state.withLock { state in
            cursors.filter { state.isRunning && state.sequences[$0.key]?.announced($0.value) ?? false }
        }
        for space in startWork.keys { self.queue.yield(.space(space)) }
    }

    private func requestCatchUp() {
        let isFirst = self.state.withLock { state in
            defer { state.isCatchingUp = true }
            return !state.isCatchingUp
        }
        if isFirst { self.queue.yield(.catchUp) }
    }

    private func catchUpRegularly() async {
        while (try? await self.clock.sleep(for: Limits.relayCatchUpInterval)) != nil { self.requestCatchUp() }
    }

    // MARK: - Work

    private func work() async {
        await withTaskGroup(of: Void.self) { group in
            var working = 0
            for await job in self.jobs {
                if working == Self.workersMax { await group.next() } else { working += 1 }
                group.addTask {
                    switch job {
                    case .space(let space): await self.work(at: space)
                    case .catchUp: await self.catchUp()
                    }
                }
            }
        }
    }

    private func work(at space: SpaceID) async {
        var failures = 0
        while !Task.isCancelled {
            let step = self.state.withLock { $0.sequences[space]?.nextStep() ?? .rest }
            switch step {
            case .rest: return
            case .publish(let notices):
                let meta = notices.contains { $0.content == .nudge } ? try? await self.storage.space(space) : nil
                self.publish(notices, of: space, meta: meta)
            case .read(let after, let through, let isAwaited):
                if await self.relay(space, after: after, through: through) {
                    failures = 0
                    continue
                }
                failures += 1
                if isAwaited, failures >= Self.awaitedReadsMax {
                    failures = 0
                    self.state.withLock { _ = $0.behind.insert(space) }
                    self.didRead(space, through: through, of: nil)
                } else {
                    // Whoever were told of a gap now could not fill it, for the same reason.
                    try? await self.clock.sleep(for: Self.pause)
                }
            }
        }
    }

    private func didRead(_ space: SpaceID, through: Int64, of cursor: Int64?) {
        self.state.withLock { $0.sequences[space]?.didRead(through: through, of: cursor) }
    }

    private func publish(_ notices: [SpaceSequence.Notice], of space: SpaceID, meta: Space?) {
        for notice in notices {
            switch notice.content {
            case .nothing: break
            case .frame(let frame): self.broker.publish(frame, to: space, except: notice.sender)
            case .nudge:
                self.broker.publish(
                    RelayedChanges.nudge(space, at: notice.cursor, meta.map(PullMeta.init)), to: space, except: nil)
            }
        }
    }

    /// Tells subscribers of the changes of other processes.
    ///
    /// - Returns: False when they could not be read to the end.
    private func relay(_ space: SpaceID, after: Int64, through: Int64) async -> Bool {
        guard let feed = self.feed, self.broker.hasSubscribers(of: space, except: nil) else {
            self.didRead(space, through: through, of: nil)
            return true
        }
        do {
            if through - after > Limits.relayedCursorsMax {
                let meta = PullMeta(try await self.storage.space(space))
                let last = min(through, meta.cursor)
                if last > after {
                    self.broker.publish(RelayedChanges.nudge(space, at: last, meta), to: space, except: nil)
                }
                self.didRead(space, through: through, of: meta.cursor)
                return true
            }
            let cursor = try await feed.withChanges(of: space, after: after, through: through) { snapshot in
                var changes = RelayedChanges(space: space, meta: snapshot.meta, after: after)
                while let page = try await snapshot.nextPage() {
                    for entry in page { self.publish(changes.add(entry), of: space, changes) }
                }
                self.publish(changes.finish(through: min(through, snapshot.meta.cursor)), of: space, changes)
                return snapshot.meta.cursor
            }
            self.didRead(space, through: through, of: cursor)
            return true
        } catch StorageError.spaceNotFound {
            self.didRead(space, through: through, of: nil)
            return true
        } catch {
            self.logger.warning(
                "Changes of other servers cannot be read",
                metadata: Logger.metadata([.spaceID: space.wireText, .error: "\(error)"]))
            return false
        }
    }

    private func publish(_ frames: [ByteBuffer], of space: SpaceID, _ changes: RelayedChanges) {
        guard !frames.isEmpty else { return }
        for frame in frames { self.broker.publish(frame, to: space, except: nil) }
        self.state.withLock { $0.sequences[space]?.didTell(changes.told) }
    }

    /// Compares all watched spaces, and the tokens on which they are watched, with the database. Forgets the spaces that
    /// nobody watches.
    private func catchUp() async {
        // Whoever asks from now on may know more than what is read now.
        let spaces = self.state.withLock { state in
            state.isCatchingUp = false
            return Array(state.sequences.keys)
        }
        let watched = spaces.filter { self.broker.hasSubscribers(of: $0, except: nil) }
        let unwatched = Set(spaces).subtracting(watched)
        self.state.withLock { state in for space in unwatched { self.forgetIfUnwatched(space, &state) } }
        var found: [SpaceID: Space] = [:]
        for start in stride(from: 0, to: watched.count, by: Self.spacesPerQuery) {
            let ids = Array(watched[start..<min(start + Self.spacesPerQuery, watched.count)])
            do {
                found.merge(try await self.storage.spaces(ids)) { $1 }
            } catch {
                return await self.requestCatchUpLater()
            }
        }
        // Between the two, so that whoever was revoked before a change does not hear of it.
        guard await self.lookForRevocations() else { return }
        let behind = self.state.withLock { state in
            defer { state.behind = [] }
            return state.behind
        }
        for space in behind {
            guard let space = found[space] else { continue }
            let nudge = RelayedChanges.nudge(space.id, at: space.cursor, PullMeta(space))
            self.broker.publish(nudge, to: space.id, except: nil)
        }
        self.announced(found.mapValues(\.cursor))
    }

    private func requestCatchUpLater() async {
        guard (try? await self.clock.sleep(for: Self.pause)) != nil else { return }
        self.requestCatchUp()
    }

    /// - Returns: False when the catching up has to begin again.
    private func lookForRevocations() async -> Bool {
        guard let feed = self.feed else { return true }
        let tokens = Array(self.broker.tokens)
        for start in stride(from: 0, to: tokens.count, by: Self.spacesPerQuery) {
            let batch = tokens[start..<min(start + Self.spacesPerQuery, tokens.count)]
            do {
                let revoked = try await feed.revocations(
                    among: Dictionary(batch.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first }))
                for (space, cids) in revoked {
                    for cid in cids { self.authorities.revokedElsewhere(cid, in: space) }
                }
            } catch {
                await self.requestCatchUpLater()
                return false
            }
        }
        return true
    }
}

extension PullMeta {
    fileprivate init(_ space: Space) {
        self.init(cursor: space.cursor, keyGeneration: space.keyGeneration, rewrapEpoch: space.rewrapEpoch)
    }
}
