import Testing

@testable import SyncCore

@Suite("Request queue", .timeLimit(.minutes(5)))
struct RequestQueueTests {
    @Test("elements come out in order, and nil after the end")
    func order() async {
        let queue = RequestQueue<Int>(elementsMax: 4, costMax: 100)
        for number in 1...3 { #expect(await queue.append(number, cost: 1)) }
        queue.finish()
        for number in 1...3 { #expect(await queue.next() == number) }
        #expect(await queue.next() == nil)
    }

    @Test("a consumer waits for the producer and a producer for room", arguments: [(1, 1_000), (1_000, 10)])
    func backPressure(elementsMax: Int, costMax: Int) async {
        let queue = RequestQueue<Int>(elementsMax: elementsMax, costMax: costMax)
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for number in 0..<200 { _ = await queue.append(number, cost: 10) }
                queue.finish()
            }
            group.addTask {
                var expected = 0
                while let number = await queue.next() {
                    #expect(number == expected)
                    expected += 1
                }
                #expect(expected == 200)
            }
        }
    }

    @Test("an element above the cost bound is taken alone")
    func oversized() async {
        let queue = RequestQueue<Int>(elementsMax: 4, costMax: 10)
        #expect(await queue.append(1, cost: 1_000))
        #expect(await queue.next() == 1)
        #expect(await queue.append(2, cost: 1_000))
        #expect(await queue.next() == 2)
    }

    @Test("a cancelled producer and a cancelled consumer stop waiting")
    func cancellation() async {
        let queue = RequestQueue<Int>(elementsMax: 1, costMax: 10)
        let consumer = Task { await queue.next() }
        consumer.cancel()
        #expect(await consumer.value == nil)
        #expect(await queue.append(1, cost: 1))
        let producer = Task { await queue.append(2, cost: 1) }
        producer.cancel()
        #expect(await producer.value == false)
        #expect(await queue.next() == 1)
    }
}
