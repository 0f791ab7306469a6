import Testing

@testable import SyncStorageSQLite

@Suite("Reader pool state machine")
struct ReaderPoolStateMachineTests {
    private typealias Pool = ReaderPoolStateMachine<String>

    private func wait(_ name: String, for use: Pool.Use, in pool: inout Pool) throws -> Pool.Ticket {
        guard case .wait(let ticket, _) = pool.request(for: use, at: .zero) else { throw NotWaiting() }
        #expect(pool.attach(name, to: ticket) == nil)
        return ticket
    }

    @Test("Connections are leased while there are any, and then in the order of the requests")
    func fifo() throws {
        var pool = Pool(readers: 2, waitLimit: .seconds(30))
        #expect(pool.request(for: .query, at: .zero) == .decided(.leased(0)))
        #expect(pool.request(for: .query, at: .zero) == .decided(.leased(1)))
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
        var pool = Pool(readers: readers, waitLimit: .seconds(30))
        for _ in 0..<(readers - 2) {
            guard case .decided(.leased) = pool.request(for: .pull, at: .zero) else { throw NotWaiting() }
        }
        _ = try self.wait("pull", for: .pull, in: &pool)
        #expect(pool.pullsOpen == readers - 2 && pool.pullsWaiting == 1)
        guard case .decided(.leased(let reader)) = pool.request(for: .query, at: .zero) else { throw NotWaiting() }
        #expect(pool.release(reader, from: .query) == nil)
        let next = pool.release(0, from: .pull)
        #expect(next?.waiter == "pull" && next?.outcome == .leased(0))
        #expect(pool.pullsOpen == readers - 2 && pool.pullsWaiting == 0)
    }

    @Test("With one or two connections one pull runs at a time", arguments: [1, 2])
    func atLeastOnePull(readers: Int) throws {
        var pool = Pool(readers: readers, waitLimit: .seconds(30))
        guard case .decided(.leased(let reader)) = pool.request(for: .pull, at: .zero) else { throw NotWaiting() }
        _ = try self.wait("pull", for: .pull, in: &pool)
        #expect(pool.release(reader, from: .pull)?.waiter == "pull")
    }

    @Test("Of a query and a pull that both may go the older goes first")
    func olderFirst() throws {
        var pool = Pool(readers: 1, waitLimit: .seconds(30))
        #expect(pool.request(for: .query, at: .zero) == .decided(.leased(0)))
        _ = try self.wait("pull", for: .pull, in: &pool)
        _ = try self.wait("query", for: .query, in: &pool)
        #expect(pool.release(0, from: .query)?.waiter == "pull")
        _ = try self.wait("second pull", for: .pull, in: &pool)
        #expect(pool.release(0, from: .pull)?.waiter == "query")
        #expect(pool.release(0, from: .query)?.waiter == "second pull")
    }

    @Test("Who gives up is forgotten, unless served already")
    func givingUp() throws {
        var pool = Pool(readers: 1, waitLimit: .seconds(30))
        #expect(pool.request(for: .query, at: .zero) == .decided(.leased(0)))
        let impatient = try self.wait("impatient", for: .query, in: &pool)
        let patient = try self.wait("patient", for: .pull, in: &pool)
        let wakeup = pool.giveUp(impatient)
        #expect(wakeup?.waiter == "impatient" && wakeup?.outcome == .failed)
        #expect(pool.release(0, from: .query)?.waiter == "patient")
        #expect(pool.giveUp(patient) == nil)
        #expect(pool.giveUp(impatient) == nil)
    }

    @Test("One timer is for all who wait: it fails those whose time is up, and goes on for the others")
    func expiry() throws {
        var pool = Pool(readers: 1, waitLimit: .seconds(30))
        #expect(pool.request(for: .query, at: .zero) == .decided(.leased(0)))
        var timers: [Duration?] = []
        for (name, use, seconds) in [("first", .query, 1), ("second", .pull, 2), ("third", .query, 9)]
            as [(String, Pool.Use, Int)]
        {
            guard case .wait(let ticket, let timer) = pool.request(for: use, at: .seconds(seconds)) else {
                throw NotWaiting()
            }
            #expect(pool.attach(name, to: ticket) == nil)
            timers.append(timer)
        }
        #expect(timers == [.seconds(31), nil, nil])
        let early = pool.expire(at: .seconds(30))
        #expect(early.wakeups.isEmpty && early.timer == .seconds(31))
        let first = pool.expire(at: .seconds(32))
        #expect(first.wakeups.map(\.waiter) == ["first", "second"])
        #expect(first.wakeups.allSatisfy { $0.outcome == .failed } && first.timer == .seconds(39))
        #expect(pool.release(0, from: .query)?.waiter == "third")
        #expect(pool.expire(at: .seconds(39)).timer == nil)
        guard case .wait(_, let timer) = pool.request(for: .query, at: .seconds(50)) else { throw NotWaiting() }
        #expect(timer == .seconds(80))
    }

    @Test("What is decided before the waiter is named waits for it")
    func decidedEarly() throws {
        var pool = Pool(readers: 1, waitLimit: .seconds(30))
        #expect(pool.request(for: .query, at: .zero) == .decided(.leased(0)))
        guard case .wait(let served, _) = pool.request(for: .pull, at: .zero),
            case .wait(let late, _) = pool.request(for: .query, at: .zero)
        else {
            throw NotWaiting()
        }
        #expect(pool.release(0, from: .query) == nil)
        #expect(pool.giveUp(late) == nil)
        #expect(pool.attach("served", to: served) == .leased(0))
        #expect(pool.attach("late", to: late) == .failed)
    }

    @Test("A closed pool fails who waits and who comes")
    func closing() throws {
        var pool = Pool(readers: 1, waitLimit: .seconds(30))
        #expect(pool.request(for: .pull, at: .zero) == .decided(.leased(0)))
        _ = try self.wait("query", for: .query, in: &pool)
        _ = try self.wait("pull", for: .pull, in: &pool)
        let wakeups = pool.close()
        #expect(wakeups.map(\.waiter) == ["query", "pull"])
        #expect(wakeups.map(\.outcome) == [.failed, .failed])
        #expect(pool.request(for: .query, at: .zero) == .decided(.failed))
        #expect(pool.release(0, from: .pull) == nil)
    }
}

private struct NotWaiting: Error {}
