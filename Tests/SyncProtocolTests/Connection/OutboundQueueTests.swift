import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@Suite("Outbound queue")
struct OutboundQueueTests {
    private let frame = ByteBuffer(bytes: [1, 2, 3, 4])

    private func notification(repeating byte: UInt8, count: Int) -> Broadcast {
        Broadcast(ByteBuffer(repeating: byte, count: count))
    }

    private func notification(bytes: [UInt8]) -> Broadcast { Broadcast(ByteBuffer(bytes: bytes)) }

    @Test("Frames leave in the order they came")
    func order() {
        var queue = OutboundQueue()
        for byte: UInt8 in 0..<10 {
            if byte % 2 == 0 {
                #expect(queue.offer(notification(bytes: [byte])) == .queued)
            } else {
                #expect(queue.enqueue(ByteBuffer(bytes: [byte])) == true)
            }
        }
        for byte: UInt8 in 0..<10 { #expect(queue.pop()?.message == ByteBuffer(bytes: [byte])) }
        #expect(queue.pop()?.message == nil)
    }

    @Test("W-53: the 65th frame finds the queue full")
    func frameLimit() {
        var queue = OutboundQueue()
        for _ in 0..<63 { #expect(queue.offer(Broadcast(self.frame)) == .queued) }
        #expect(queue.hasRoom)
        #expect(queue.offer(Broadcast(self.frame)) == .queued)
        #expect(!queue.hasRoom)
        #expect(queue.offer(Broadcast(self.frame)) == .full)
        #expect(queue.frames == 64)
        #expect(queue.bytes == 64 * 4)
    }

    @Test("R3: bytes are limited as well, whichever limit is reached first")
    func byteLimit() {
        var queue = OutboundQueue(framesMax: 64, bytesMax: 10)
        #expect(queue.offer(Broadcast(self.frame)) == .queued)
        #expect(queue.offer(Broadcast(self.frame)) == .queued)
        #expect(queue.hasRoom)
        #expect(queue.offer(Broadcast(self.frame)) == .full)
        #expect(queue.offer(notification(bytes: [1, 2])) == .queued)
        #expect(!queue.hasRoom)
        #expect(queue.bytes == 10)
    }

    @Test("A frame of the greatest size fits into an empty queue, and then nothing does")
    func greatestFrame() {
        var queue = OutboundQueue()
        #expect(queue.offer(notification(repeating: 0, count: Limits.messageBytesMax)) == .queued)
        #expect(!queue.hasRoom)
        #expect(queue.offer(notification(bytes: [0])) == .full)
        _ = queue.pop()
        #expect(queue.offer(notification(bytes: [0])) == .full)
        queue.completed()
        #expect(queue.offer(notification(bytes: [0])) == .queued)
    }

    @Test("PUL-14: answers wait at half of the limits and leave the rest to notifications")
    func answersShare() {
        var queue = OutboundQueue(framesMax: 4, bytesMax: 100)
        queue.enqueue(self.frame)
        #expect(queue.hasRoom)
        queue.enqueue(self.frame)
        #expect(!queue.hasRoom)
        #expect(queue.offer(Broadcast(self.frame)) == .queued)
        #expect(queue.offer(Broadcast(self.frame)) == .queued)
        #expect(queue.offer(Broadcast(self.frame)) == .full)
        _ = queue.pop()
        queue.completed()
        #expect(queue.hasRoom)
        #expect(queue.offer(Broadcast(self.frame)) == .queued)
        #expect(!queue.hasRoom)
    }

    @Test("R3: a long answer does not shut notifications out, however long the first of them is")
    func longAnswer() {
        var queue = OutboundQueue(framesMax: 64, bytesMax: 100)
        queue.enqueue(ByteBuffer(repeating: 0, count: 100))
        #expect(!queue.hasRoom)
        #expect(queue.offer(notification(repeating: 0, count: 40)) == .queued)
        #expect(queue.offer(notification(repeating: 0, count: 11)) == .full)
        #expect(queue.offer(notification(repeating: 0, count: 10)) == .queued)
        var second = OutboundQueue(framesMax: 64, bytesMax: 100)
        second.enqueue(self.frame)
        #expect(second.offer(notification(repeating: 0, count: 100)) == .queued)
        #expect(!second.hasRoom)
    }

    private func run(of count: Int) -> MessageRun {
        var run = MessageRun()
        for byte in 0..<count {
            #expect(run.append(copying: ByteBuffer(repeating: UInt8(truncatingIfNeeded: byte), count: 126)) == true)
        }
        return run
    }

    @Test("R3: a run counts as its messages until they are written, and leaves notifications their share")
    func runs() {
        var queue = OutboundQueue(framesMax: 10, bytesMax: 100_000)
        queue.enqueue(self.frame)
        #expect(queue.enqueue(run(of: 100)) == true)
        #expect(queue.frames == 101)
        #expect(queue.bytes == 4 + 100 * 130)
        #expect(!queue.hasRoom)
        for _ in 0..<5 { #expect(queue.offer(notification(repeating: 1, count: 4)) == .queued) }
        #expect(queue.offer(notification(repeating: 1, count: 4)) == .full)
        #expect(queue.pop(runBytesMax: 1_300)?.message == self.frame)
        for part in 0..<10 {
            guard case .run(let run)? = queue.pop(runBytesMax: 1_300) else {
                Issue.record("no run")
                return
            }
            #expect(run.count == 10)
            #expect(run.buffer == self.run(of: 10 * part + 10).buffer.getSlice(at: part * 1_300, length: 1_300))
            queue.completed()
            #expect(queue.frames == 5 + 90 - 10 * part)
            #expect(queue.hasRoom == (part == 9))
        }
        for _ in 0..<5 { #expect(queue.pop(runBytesMax: 1_300)?.message?.readableBytes == 4) }
        queue.completed()
        #expect(queue.isDrained)
        #expect(queue.bytes == 0)
    }

    @Test("The messages of a run are popped one by one where no size is given")
    func runByMessage() {
        var queue = OutboundQueue()
        queue.enqueue(run(of: 3))
        queue.enqueue(self.frame)
        for byte: UInt8 in 0..<3 { #expect(queue.pop()?.message == ByteBuffer(repeating: byte, count: 126)) }
        #expect(queue.pop()?.message == self.frame)
        #expect(queue.pop()?.bytes == nil)
        queue.completed()
        #expect(queue.isDrained)
        #expect(queue.bytes == 0)
    }

    @Test("W-53: what waits of a run is dropped with the queue; an empty run is none, and after the end none is taken")
    func runDropped() {
        var queue = OutboundQueue()
        #expect(queue.enqueue(MessageRun()) == true)
        #expect(queue.isDrained)
        queue.enqueue(run(of: 100))
        _ = queue.pop(runBytesMax: 1_300)
        #expect(queue.closeDiscarding(.frame(.slowConsumer)) == true)
        #expect(queue.frames == 10)
        #expect(queue.bytes == 1_300)
        queue.completed()
        #expect(queue.isDrained)
        #expect(queue.enqueue(run(of: 1)) == false)
    }

    @Test("Responses pass the limits, notifications do not")
    func enqueueBeyond() {
        var queue = OutboundQueue(framesMax: 1, bytesMax: 4)
        #expect(queue.enqueue(self.frame) == true)
        #expect(queue.enqueue(self.frame) == true)
        #expect(queue.frames == 2)
        #expect(queue.bytes == 8)
        #expect(queue.offer(Broadcast(self.frame)) == .full)
        #expect(!queue.hasRoom)
    }

    @Test("A frame counts until it is written")
    func inFlight() {
        var queue = OutboundQueue(framesMax: 4, bytesMax: 100)
        queue.enqueue(self.frame)
        queue.enqueue(self.frame)
        #expect(queue.pop()?.message == self.frame)
        #expect(!queue.hasRoom)
        queue.completed()
        #expect(queue.hasRoom)
        #expect(queue.frames == 1)
        #expect(queue.bytes == 4)
        queue.enqueue(self.frame)
        #expect(queue.pop()?.message == self.frame)
        #expect(queue.pop()?.message == self.frame)
        #expect(!queue.isDrained)
        queue.completed()
        #expect(queue.isDrained)
        #expect(queue.bytes == 0)
    }

    @Test("Completing when nothing is in flight changes nothing")
    func completedTooOften() {
        var queue = OutboundQueue()
        queue.enqueue(self.frame)
        queue.completed()
        #expect(queue.frames == 1)
        #expect(queue.bytes == 4)
    }

    @Test("Closing keeps what waits and takes nothing more")
    func close() {
        var queue = OutboundQueue(framesMax: 1, bytesMax: 4)
        queue.enqueue(self.frame)
        #expect(queue.close(.frame(.goingAway)) == true)
        #expect(queue.closing == .frame(.goingAway))
        #expect(!queue.isOpen)
        #expect(queue.hasRoom, "nobody is to wait for room that is of no use any more")
        #expect(queue.offer(Broadcast(self.frame)) == .ended)
        #expect(queue.enqueue(self.frame) == false)
        #expect(queue.pop()?.message == self.frame)
        #expect(queue.pop()?.message == nil)
        #expect(!queue.isDrained)
        queue.completed()
        #expect(queue.isDrained)
    }

    @Test("W-53: a slow consumer's queue is dropped; what is being written completes")
    func closeDiscarding() {
        var queue = OutboundQueue()
        for _ in 0..<5 { queue.enqueue(self.frame) }
        _ = queue.pop()
        #expect(queue.closeDiscarding(.frame(.slowConsumer)) == true)
        #expect(queue.pop()?.message == nil)
        #expect(queue.frames == 1)
        #expect(queue.bytes == 4)
        #expect(!queue.isDrained)
        queue.completed()
        #expect(queue.isDrained)
        #expect(queue.bytes == 0)
    }

    @Test("The first close wins")
    func firstCloseWins() {
        var queue = OutboundQueue()
        queue.enqueue(self.frame)
        #expect(queue.close(.echo) == true)
        #expect(queue.close(.frame(.goingAway)) == false)
        #expect(queue.closeDiscarding(.frame(.slowConsumer)) == false)
        #expect(queue.closing == .echo)
        #expect(queue.frames == 1)
    }

    @Test("The end of the transport drops everything")
    func end() {
        var queue = OutboundQueue()
        for _ in 0..<3 { queue.enqueue(self.frame) }
        _ = queue.pop()
        queue.end()
        #expect(queue.hasEnded)
        #expect(queue.isDrained)
        #expect(queue.bytes == 0)
        #expect(queue.hasRoom)
        #expect(queue.pop()?.message == nil)
        #expect(queue.offer(Broadcast(self.frame)) == .ended)
        #expect(queue.enqueue(self.frame) == false)
        #expect(queue.close(.frame(.goingAway)) == false)
        #expect(queue.closing == nil)
        queue.completed()
        #expect(queue.bytes == 0)
    }

    @Test("The accounts agree with a plain model in any order of events", arguments: 0..<8)
    func model(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        var queue = OutboundQueue(framesMax: 5, bytesMax: 40)
        var waiting: [(size: Int, isAnswer: Bool)] = []
        var inFlight: [(size: Int, isAnswer: Bool)] = []
        for _ in 0..<2_000 {
            let size = Int.random(in: 0...20, using: &generator)
            let before = waiting + inFlight
            switch Int.random(in: 0..<5, using: &generator) {
            case 0, 1:
                let notifications = before.filter { !$0.isAnswer }
                let answers = min(before.filter(\.isAnswer).reduce(0) { $0 + $1.size }, 20)
                let fits =
                    before.isEmpty
                    || (min(before.count(where: \.isAnswer), 2) + notifications.count < 5
                        && (notifications.isEmpty
                            || answers + notifications.reduce(0) { $0 + $1.size } + size <= 40))
                #expect(queue.offer(notification(repeating: 7, count: size)) == (fits ? .queued : .full))
                if fits { waiting.append((size, false)) }
            case 2 where before.count < 8:
                #expect(queue.enqueue(ByteBuffer(repeating: 7, count: size)) == true)
                waiting.append((size, true))
            case 3:
                #expect(queue.pop()?.message?.readableBytes == waiting.first?.size)
                if !waiting.isEmpty { inFlight.append(waiting.removeFirst()) }
            default:
                queue.completed()
                inFlight = []
            }
            let all = waiting + inFlight
            let answers = all.filter(\.isAnswer)
            #expect(queue.frames == all.count)
            #expect(queue.bytes == all.reduce(0) { $0 + $1.size })
            #expect(
                queue.hasRoom
                    == (queue.frames < 5 && queue.bytes < 40 && answers.count < 2
                        && answers.reduce(0) { $0 + $1.size } < 20))
            #expect(queue.isDrained == (queue.frames == 0))
        }
    }
}
