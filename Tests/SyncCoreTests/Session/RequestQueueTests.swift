import Testing

@testable import SyncCore

@Suite("Request queue", .timeLimit(.minutes(5)))
struct RequestQueueTests {
    @Test("elements come out in order; the first one, and the first after the end, needs a consumer")
    func order() async {
        let queue = RequestQueue<Int>(elementsMax: 4, costMax: 100)
        for _ in 1...2 {
            #expect(await queue.append(1, cost: 1) == .needsConsumer)
            #expect(await queue.append(2, cost: 1) == .queued)
            #expect(queue.next() == 1)
            #expect(queue.next() == 2)
            #expect(await queue.append(3, cost: 1) == .queued)
            #expect(queue.next() == 3)
            #expect(queue.next() == nil)
        }
    }

    @Test("a producer waits for room, and nothing is lost between consumers", arguments: [(1, 1_000), (1_000, 10)])
    func backPressure(elementsMax: Int, costMax: Int) async {
        let queue = RequestQueue<Int>(elementsMax: elementsMax, costMax: costMax)
        let (elements, taken) = AsyncStream.makeStream(of: Int.self)
        await withDiscardingTaskGroup { group in
            for number in 0..<200 {
                guard await queue.append(number, cost: 10) == .needsConsumer else { continue }
                group.addTask {
                    while let number = queue.next() {
                        taken.yield(number)
                        await Task.yield()
                    }
                }
            }
        }
        taken.finish()
        var expected = 0
        for await number in elements {
            #expect(number == expected)
            expected += 1
        }
        #expect(expected == 200)
    }

    @Test("an element above the cost bound is taken alone")
    func oversized() async {
        let queue = RequestQueue<Int>(elementsMax: 4, costMax: 10)
        #expect(await queue.append(1, cost: 1_000) == .needsConsumer)
        #expect(queue.next() == 1)
        #expect(await queue.append(2, cost: 1_000) == .queued)
        #expect(queue.next() == 2)
    }

    @Test("a cancelled producer stops waiting")
    func cancellation() async {
        let queue = RequestQueue<Int>(elementsMax: 1, costMax: 10)
        #expect(await queue.append(1, cost: 1) == .needsConsumer)
        let producer = Task { await queue.append(2, cost: 1) }
        producer.cancel()
        #expect(await producer.value == .cancelled)
        #expect(queue.next() == 1)
        #expect(queue.next() == nil)
    }
}
