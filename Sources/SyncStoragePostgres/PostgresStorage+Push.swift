import Logging
import NIOCore
import SyncProtocol
package import SyncStorage
import Synchronization

/// Pushes in progress and in the queue.
struct PushState {
    /// What a waiting push is woken for.
    enum Role: Sendable {
        /// Another caller's batch has settled it.
        case settled
        /// Its batch is to be run now, by its own caller.
        case leads(PushScheduler<PushWaiter>.Batch)
    }

    var scheduler: PushScheduler<PushWaiter>
    var closing: CheckedContinuation<Void, Never>?
    var commits = 0
    var pushes = 0
    var batches = BatchSizes()

    init(writers: Int) { self.scheduler = PushScheduler(writers: writers) }
}

/// A caller of `push`, or of another write in a space, and where its outcome goes.
final class PushWaiter: Sendable {
    /// Of a write that is no push it hears failures alone.
    let settle: @Sendable (Result<PushOutcome, StorageError>) -> Void
    private let continuation: CheckedContinuation<PushState.Role, Never>

    init(
        _ settle: @escaping @Sendable (Result<PushOutcome, StorageError>) -> Void,
        _ continuation: CheckedContinuation<PushState.Role, Never>
    ) {
        self.settle = settle
        self.continuation = continuation
    }

    func resume(_ role: PushState.Role) { self.continuation.resume(returning: role) }
}

extension PostgresStorage {
    /// Every batch is run by the caller of its first push; no task exists for it.
    package func push(
        _ push: Push, committed: @escaping @Sendable (Result<PushOutcome, StorageError>) -> Void
    ) async {
        await self.enqueue(settle: committed) { waiter, deadline in
            PushScheduler.Entry(push, deadline: deadline, waiter: waiter)
        }
    }

    /// Waits for the turn of an entry; the caller of a batch's first one runs it.
    func enqueue(
        settle: @escaping @Sendable (Result<PushOutcome, StorageError>) -> Void,
        _ makeEntry: (PushWaiter, ContinuousClock.Instant) -> PushScheduler<PushWaiter>.Entry
    ) async {
        let role = await withCheckedContinuation { (continuation: CheckedContinuation<PushState.Role, Never>) in
            let waiter = PushWaiter(settle, continuation)
            let now = ContinuousClock.now
            let entry = makeEntry(waiter, now + self.configuration.waitLimit)
            let batches = self.pushes.withLock { state in
                state.scheduler.isClosed ? nil : state.scheduler.add(entry, at: now)
            }
            if batches == nil {
                settle(.failure(.unavailable))
                waiter.resume(.settled)
            }
            for batch in batches ?? [] { self.start(batch) }
        }
        guard case .leads(let batch) = role else { return }
        await self.lead(batch)
    }

    /// Settles what is queued and refuses the rest.
    func finishPushes() async {
        await withCheckedContinuation { continuation in
            let isIdle = self.pushes.withLock { state in
                state.scheduler.close()
                if state.scheduler.isIdle { return true }
                state.closing = continuation
                return false
            }
            if isIdle { continuation.resume() }
        }
    }

    package var statistics: StorageStatistics {
        var statistics = StorageStatistics()
        self.pushes.withLock { state in
            statistics.commits = state.commits
            statistics.batches = state.batches
            statistics.pushes = state.pushes
            statistics.pushesQueued = state.scheduler.count
        }
        self.pool.addStatistics(to: &statistics)
        return statistics
    }

    private func start(_ batch: PushScheduler<PushWaiter>.Batch) {
        guard let leader = batch.entries.first ?? batch.expired.first else { return }
        leader.waiter.resume(.leads(batch))
    }

    private func lead(_ batch: PushScheduler<PushWaiter>.Batch) async {
        for entry in batch.expired { entry.waiter.settle(.failure(.unavailable)) }
        if case .alone(let run)? = batch.entries.first?.write {
            await run()
        } else if !batch.entries.isEmpty {
            await self.run(batch.entries)
        }
        let (next, closing) = self.pushes.withLock { state in
            let next = state.scheduler.finished(batch, at: .now)
            return (next, state.scheduler.isClosed && state.scheduler.isIdle ? state.closing.take() : nil)
        }
        for batch in next { self.start(batch) }
        closing?.resume()
        // The leader is this very caller.
        let leader = (batch.entries.first ?? batch.expired.first)?.waiter
        for entry in batch.expired + batch.entries where entry.waiter !== leader { entry.waiter.resume(.settled) }
    }

    /// Writes the pushes in one transaction and settles them. Where one of them may be at fault, each half of them is written
    /// apart, until the failure is that of one push alone.
    private func run(_ entries: [PushScheduler<PushWaiter>.Entry]) async {
        // What is written next stands last; pushes of one space stay in their order.
        var parts = [entries[...]]
        while let part = parts.popLast() {
            do throws(PostgresFailure) {
                let outcomes = try await self.write(part.compactMap(\.push))
                self.pushes.withLock { state in
                    state.commits += 1
                    state.batches.record(pushes: part.count)
                    state.pushes += part.count
                }
                for (entry, outcome) in zip(part, outcomes) { entry.waiter.settle(outcome) }
            } catch {
                if part.count > 1, error.mayBeOfOnePush {
                    let middle = part.startIndex + part.count / 2
                    parts += [part[middle...], part[..<middle]]
                } else if error.isLockTimeout, Self.areOfSeveralSpaces(part.compactMap(\.push)) {
                    // Another program holds the lock of one of them. That is not the others' fault.
                    parts += Self.bySpace(part).reversed()
                } else {
                    self.fail(part, error)
                }
            }
        }
    }

    /// In a batch the pushes of one space stand together.
    private static func bySpace(
        _ part: ArraySlice<PushScheduler<PushWaiter>.Entry>
    ) -> [ArraySlice<PushScheduler<PushWaiter>.Entry>] {
        var groups: [ArraySlice<PushScheduler<PushWaiter>.Entry>] = []
        var rest = part
        while let space = rest.first?.space {
            let group = rest.prefix { $0.space == space }
            groups.append(group)
            rest = rest[group.endIndex...]
        }
        return groups
    }

    private func fail(_ part: ArraySlice<PushScheduler<PushWaiter>.Entry>, _ failure: PostgresFailure) {
        let error = failure.storageError
        // Of an outage the pool tells, once for all.
        if error != .unavailable {
            self.logger.error("Pushes failed", metadata: ["error": "\(error)", "pushes": "\(part.count)"])
        }
        for entry in part { entry.waiter.settle(.failure(error)) }
    }

    /// - Throws: What failed, after some attempts where these may help.
    private func write(
        _ pushes: [Push]
    ) async throws(PostgresFailure) -> [Result<PushOutcome, StorageError>] {
        let statement = PostgresStatement(
            name: "push", sql: PushFunction.call, parameters: PushFunction.parameters(of: pushes))
        let deadline = ContinuousClock.now + self.configuration.waitLimit
        var attempt = 1
        while true {
            do throws(PostgresFailure) {
                let rows = try await self.execute(statement, isCancellable: false)
                return try PushFunction.outcomes(of: pushes.count, in: rows)
            } catch {
                // Of several spaces only one may be locked: the others do not wait for it again.
                guard error.isRetryable, !(error.isLockTimeout && Self.areOfSeveralSpaces(pushes)),
                    attempt < PostgresLimits.batchAttemptsMax, ContinuousClock.now < deadline
                else { throw error }
                attempt += 1
            }
        }
    }

    private static func areOfSeveralSpaces(_ pushes: [Push]) -> Bool {
        pushes.contains { $0.space != pushes[0].space }
    }
}

extension PushFunction {
    /// One pass over the changes: they come by the hundred thousand, and each holds two buffers.
    static func parameters(of pushes: [Push]) -> [ByteBuffer?] {
        let count = pushes.reduce(0) { $0 + $1.changes.changes.count }
        let payloadBytes = pushes.reduce(0) { $0 + $1.changes.payloadBytes }
        var spaces = PostgresArray(of: .uuid, count: pushes.count, bytes: pushes.count * 16)
        var generations = PostgresArray(of: .int4, count: pushes.count, bytes: pushes.count * 4)
        var creators = PostgresArray(of: .text, count: pushes.count, bytes: pushes.count * 32)
        var counts = PostgresArray(of: .int4, count: pushes.count, bytes: pushes.count * 4)
        var owners = PostgresArray(of: .int4, count: count, bytes: count * 4)
        var ids = PostgresArray(of: .uuid, count: count, bytes: count * 16)
        var blobs = PostgresArray(of: .bytea, count: count, bytes: payloadBytes)
        var expected = PostgresArray(of: .int8, count: count, bytes: count * 8)
        var deks = PostgresArray(of: .bytea, count: count, bytes: count * Limits.wrappedDEKBytes)
        for (index, push) in pushes.enumerated() {
            spaces.append(push.space.bits)
            generations.append(push.keyGeneration)
            creators.append(push.creator.map(PostgresValue.name))
            counts.append(Int32(push.changes.changes.count))
            for change in push.changes.changes {
                owners.append(Int32(index + 1))
                ids.append(change.id.bits)
                blobs.append(change.blob)
                expected.append(change.expectedCursor)
                deks.append(change.wrappedDEK)
            }
        }
        return [spaces, generations, creators, counts, owners, ids, blobs, expected, deks].map(\.value)
    }

    /// A violation of our own protocol.
    private static let unexpectedAnswer = PostgresFailure.statement(
        code: "08P01", message: "unexpected answer of less_sync_push")

    static func outcomes(
        of count: Int, in rows: PostgresRows
    ) throws(PostgresFailure) -> [Result<PushOutcome, StorageError>] {
        guard rows.count == 1, rows.columns == 6,
            let statuses = rows.integers(0, 0, as: Int32.self), let cursors = rows.integers(0, 1, as: Int64.self),
            let generations = rows.integers(0, 2, as: Int32.self), let rewraps = rows.integers(0, 3, as: Int32.self),
            statuses.count == count, cursors.count == count, generations.count == count, rewraps.count == count
        else { throw Self.unexpectedAnswer }
        let removedPushes = rows.integers(0, 4, as: Int32.self) ?? []
        let removedFiles = rows.integers(0, 5, as: UInt128.self) ?? []
        var removed: [Int32: [FileID]] = [:]
        for case (let push?, let file?) in zip(removedPushes, removedFiles) {
            removed[push, default: []].append(FileID(bits: file))
        }
        var outcomes: [Result<PushOutcome, StorageError>] = []
        for index in 0..<count {
            switch statuses[index].flatMap(Status.init) {
            case .accepted:
                guard let cursor = cursors[index], let generation = generations[index] else {
                    throw Self.unexpectedAnswer
                }
                let receipt = PushReceipt(
                    cursor: cursor, keyGeneration: generation, rewrapEpoch: rewraps[index],
                    removedFiles: removed[Int32(index + 1)] ?? [])
                outcomes.append(.success(.accepted(receipt)))
            case .conflict: outcomes.append(.success(.conflict))
            case .spaceNotFound: outcomes.append(.failure(.spaceNotFound))
            case .keyGenerationStale: outcomes.append(.failure(.keyGenerationStale))
            case nil: throw Self.unexpectedAnswer
            }
        }
        return outcomes
    }
}
