import Testing

@testable import SyncStorageSQLite

@Suite("Reader pool state machine")
struct ReaderPoolStateMachineTests {
    private typealias Pool = ReaderPoolStateMachine<String>

    private func wait(_ name: String, for use: Pool.Use, in pool: inout Pool) throws -> Pool.Ticket {
        guard case .wait(let ticket) = pool.request(for: use) else { throw NotWaiting() }
        #expect(pool.attach(name, to: ticket) == nil)
        return ticket
    }

    @Test("Connections are leased while there are any, and then in the order of the requests")
    func fifo() throws {
        var pool = Pool(readers: 2)
        #expect(pool.request(for: .query) == .decided(.leased(0)))
        #expect(pool.request(for: .query) == .decided(.leased(1)))
        _ = try self.wait("first", for: .query, in: &pool)
        _ = try self.wait("second", for: .query, in: &pool)
        let first = pool.release(1, from: .query)
        #expect(first?.waiter == "first" && first?.outcome == .leased(1))
        let second = pool.release(0, from: .query)
        #expect(second?.waiter == "second" && second?.outcome == .leased(0))
        #expect(pool.release(0, from: .query) == nil)
    }

    @Test("CO14: pulls hold all connections but two; further ones wait while queries go on", arguments: [3, 4, 10])
    func cap(readers: Int) throws {
        var pool = Pool(readers: readers)
        for _ in 0..<(readers - 2) {
            guard case .decided(.leased) = pool.request(for: .pull) else { throw NotWaiting() }
        }
        _ = try self.wait("pull", for: .pull, in: &pool)
        #expect(pool.pullsOpen == readers - 2 && pool.pullsWaiting == 1)
        guard case .decided(.leased(let reader)) = pool.request(for: .query) else { throw NotWaiting() }
        #expect(pool.release(reader, from: .query) == nil)
        let next = pool.release(0, from: .pull)
        #expect(next?.waiter == "pull" && next?.outcome == .leased(0))
        #expect(pool.pullsOpen == readers - 2 && pool.pullsWaiting == 0)
    }

    @Test("With one or two connections one pull runs at a time", arguments: [1, 2])
    func atLeastOnePull(readers: Int) throws {
        var pool = Pool(readers: readers)
        guard case .decided(.leased(let reader)) = pool.request(for: .pull) else { throw NotWaiting() }
        _ = try self.wait("pull", for: .pull, in: &pool)
        #expect(pool.release(reader, from: .pull)?.waiter == "pull")
    }

    @Test("Of a query and a pull that both may go the older goes first")
    func olderFirst() throws {
        var pool = Pool(readers: 1)
        #expect(pool.request(for: .query) == .decided(.leased(0)))
        _ = try self.wait("pull", for: .pull, in: &pool)
        _ = try self.wait("query", for: .query, in: &pool)
        #expect(pool.release(0, from: .query)?.waiter == "pull")
        _ = try self.wait("second pull", for: .pull, in: &pool)
        #expect(pool.release(0, from: .pull)?.waiter == "query")
        #expect(pool.release(0, from: .query)?.waiter == "second pull")
    }

    @Test("Who gives up is forgotten, unless served already")
    func givingUp() throws {
        var pool = Pool(readers: 1)
        #expect(pool.request(for: .query) == .decided(.leased(0)))
        let impatient = try self.wait("impatient", for: .query, in: &pool)
        let patient = try self.wait("patient", for: .pull, in: &pool)
        let wakeup = pool.giveUp(impatient)
        #expect(wakeup?.waiter == "impatient" && wakeup?.outcome == .failed)
        #expect(pool.release(0, from: .query)?.waiter == "patient")
        #expect(pool.giveUp(patient) == nil)
        #expect(pool.giveUp(impatient) == nil)
    }

    @Test("What is decided before the waiter is named waits for it")
    func decidedEarly() throws {
        var pool = Pool(readers: 1)
        #expect(pool.request(for: .query) == .decided(.leased(0)))
        guard case .wait(let served) = pool.request(for: .pull), case .wait(let late) = pool.request(for: .query) else {
            throw NotWaiting()
        }
        #expect(pool.release(0, from: .query) == nil)
        #expect(pool.giveUp(late) == nil)
        #expect(pool.attach("served", to: served) == .leased(0))
        #expect(pool.attach("late", to: late) == .failed)
    }

    @Test("A closed pool fails who waits and who comes")
    func closing() throws {
        var pool = Pool(readers: 1)
        #expect(pool.request(for: .pull) == .decided(.leased(0)))
        _ = try self.wait("query", for: .query, in: &pool)
        _ = try self.wait("pull", for: .pull, in: &pool)
        let wakeups = pool.close()
        #expect(wakeups.map(\.waiter) == ["query", "pull"])
        #expect(wakeups.map(\.outcome) == [.failed, .failed])
        #expect(pool.request(for: .query) == .decided(.failed))
        #expect(pool.release(0, from: .pull) == nil)
    }
}

private struct NotWaiting: Error {}
