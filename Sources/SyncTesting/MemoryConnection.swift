import DequeModule
package import NIOCore
package import SyncProtocol
import Synchronization

/// A `FrameConnection` without a socket. The test holds the client's end: it sends messages, reads what the server queued,
/// or lets it lie, which is a client that does not read.
package final class MemoryConnection: FrameConnection {
    /// What the client's end sees.
    package enum Received: Hashable, Sendable {
        case frame(ByteBuffer)
        case close(CloseFrame)
        /// The server answered the client's own Close frame.
        case closeEcho
    }

    private struct State {
        var inbound: Deque<ReceivedMessage> = []
        var end: ConnectionEnd?
        var queue = OutboundQueue()
        var isGone = false
        /// Read, and not taken by `next()`.
        var read: Deque<ByteBuffer> = []
        var framesRead = 0
        var messagesIn: UInt64 = 0
        var bytesIn: UInt64 = 0

        var receiver: CheckedContinuation<Void, Never>?
        var reader: CheckedContinuation<Void, Never>?
        var nextWaiter = 0
        var roomWaiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var closeWaiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var closeObservers: [@Sendable () -> Void] = []

        mutating func takeRoomWaiters() -> [CheckedContinuation<Void, Never>] {
            guard self.queue.hasRoom else { return [] }
            defer { self.roomWaiters = [:] }
            return Array(self.roomWaiters.values)
        }

        /// What is to be called, outside the lock, when the connection closes or ends.
        mutating func takeAllWaiters() -> [@Sendable () -> Void] {
            var waiters = Array(self.roomWaiters.values)
            self.roomWaiters = [:]
            var observers: [@Sendable () -> Void] = []
            if self.isGone {
                waiters += self.closeWaiters.values
                self.closeWaiters = [:]
                observers = self.closeObservers
                self.closeObservers = []
            }
            if let receiver = self.receiver.take() { waiters.append(receiver) }
            if let reader = self.reader.take() { waiters.append(reader) }
            return observers + waiters.map { waiter in { waiter.resume() } }
        }
    }

    // Fixed after init.
    private let lingersAfterClose: Bool
    private let readsAtOnce: Bool

    // Guarded by itself.
    private let state = Mutex(State())

    /// - Parameters:
    ///   - lingersAfterClose: The connection stays after a close, as one whose peer does not answer, until `vanish()`.
    ///   - readsAtOnce: The client never has unread frames, however seldom its task gets to run: `next()` takes what has been
    ///     read. It is no slow consumer.
    package init(lingersAfterClose: Bool = false, readsAtOnce: Bool = false) {
        self.lingersAfterClose = lingersAfterClose
        self.readsAtOnce = readsAtOnce
    }

    // MARK: - The client's end

    package func send(_ message: ByteBuffer) { self.deliver(.binary(message)) }

    package func sendText() { self.deliver(.text) }

    /// The client's Close frame, or the end of its stream.
    package func sendClose() { self.finish(.peerClosed) }

    /// The transport breaks: nothing arrives any more in either direction.
    package func fail() {
        let waiters = self.state.withLock { state in
            state.end = state.end ?? .failed
            state.queue.end()
            state.isGone = true
            return state.takeAllWaiters()
        }
        for waiter in waiters { waiter() }
    }

    package func abort() { self.vanish() }

    /// Ends a connection that lingers.
    package func vanish() {
        let waiters = self.state.withLock { state in
            state.isGone = true
            return state.takeAllWaiters()
        }
        for waiter in waiters { waiter() }
    }

    /// Waits for the next thing that the server sent. After a close it is that close, again and again; `nil` when the
    /// transport has failed or the task is cancelled.
    package func next() async -> Received? {
        while !Task.isCancelled {
            let (received, isOver, waiters) = self.state.withLock { state in
                let received = Self.take(from: &state)
                return (received, received == nil && state.queue.hasEnded, state.takeRoomWaiters())
            }
            for waiter in waiters { waiter.resume() }
            if received != nil || isOver { return received }
            await self.state.wait(at: \.reader) { state in
                !state.read.isEmpty || state.queue.frames > 0 || state.queue.closing != nil || state.queue.hasEnded
            }
        }
        return nil
    }

    /// Frames that the server queued and the client has not read.
    package var unreadFrames: Int { self.state.withLock { $0.queue.frames } }

    /// Bytes of those frames.
    package var unreadBytes: Int { self.state.withLock { $0.queue.bytes } }

    /// Frames that the client has read.
    package var framesRead: Int { self.state.withLock { $0.framesRead } }

    /// Messages that the client sent and the server has not read.
    package var unreceivedMessages: Int { self.state.withLock { $0.inbound.count } }

    /// True once the server has called a closing member.
    package var isClosing: Bool { self.state.withLock { $0.queue.closing != nil } }

    private static func read(from state: inout State) -> ByteBuffer? {
        guard let message = state.queue.pop()?.message else { return nil }
        state.queue.completed()
        state.framesRead += 1
        return message
    }

    private static func take(from state: inout State) -> Received? {
        if let message = state.read.popFirst() ?? Self.read(from: &state) { return .frame(message) }
        switch state.queue.closing {
        case .frame(let frame): return .close(frame)
        case .echo: return .closeEcho
        case nil: return nil
        }
    }

    private func deliver(_ message: ReceivedMessage) {
        let receiver = self.state.withLock { state in
            guard state.end == nil else { return CheckedContinuation<Void, Never>?.none }
            state.inbound.append(message)
            state.messagesIn += 1
            if case .binary(let bytes) = message { state.bytesIn += UInt64(bytes.readableBytes) }
            return state.receiver.take()
        }
        receiver?.resume()
    }

    private func finish(_ end: ConnectionEnd) {
        let receiver = self.state.withLock { state in
            state.end = state.end ?? end
            return state.receiver.take()
        }
        receiver?.resume()
    }

    // MARK: - FrameConnection

    package func receive() async -> ReceivedMessage {
        while !Task.isCancelled {
            let message = self.state.withLock { state -> ReceivedMessage? in
                if state.end == .closedLocally { return .ended(.closedLocally) }
                return state.inbound.popFirst() ?? state.end.map { .ended($0) }
            }
            if let message { return message }
            await self.state.wait(at: \.receiver) { !$0.inbound.isEmpty || $0.end != nil }
        }
        return .ended(.closedLocally)
    }

    package func offer(_ notification: Broadcast) -> OfferResult {
        let (result, reader) = self.state.withLock { state in
            let result = state.queue.offer(notification)
            return (result, result == .queued ? self.arrived(in: &state) : nil)
        }
        reader?.resume()
        return result
    }

    package func enqueue(_ frame: ByteBuffer) {
        let reader = self.state.withLock { state in state.queue.enqueue(frame) ? self.arrived(in: &state) : nil }
        reader?.resume()
    }

    package func enqueue(_ run: MessageRun) {
        let reader = self.state.withLock { state in state.queue.enqueue(run) ? self.arrived(in: &state) : nil }
        reader?.resume()
    }

    /// - Returns: Who is to be resumed.
    private func arrived(in state: inout State) -> CheckedContinuation<Void, Never>? {
        if self.readsAtOnce {
            while let message = Self.read(from: &state) { state.read.append(message) }
        }
        return state.reader.take()
    }

    package func room() async throws(ConnectionEnded) {
        while !Task.isCancelled {
            let (isOpen, hasRoom, id) = self.state.withLock { state in
                state.nextWaiter += 1
                return (state.queue.isOpen, state.queue.hasRoom, state.nextWaiter)
            }
            guard isOpen else { throw ConnectionEnded() }
            if hasRoom { return }
            await self.state.wait(at: \.roomWaiters[id]) { $0.queue.hasRoom }
        }
        throw ConnectionEnded()
    }

    package func close(_ frame: CloseFrame) { self.close { $0.close(.frame(frame)) } }

    package func closeDiscardingQueue(_ frame: CloseFrame) { self.close { $0.closeDiscarding(.frame(frame)) } }

    package func closeEcho() { self.close { $0.close(.echo) } }

    package var report: ConnectionReport {
        self.state.withLock { state in
            var report = ConnectionReport(reason: .connectionLost)
            switch state.queue.closing {
            case .frame(let frame): report.reason = ConnectionReport.Reason(ownClose: frame)
            case .echo: report.reason = .peerClosed
            case nil: break
            }
            report.messagesIn = state.messagesIn
            report.bytesIn = state.bytesIn
            report.messagesOut = UInt64(state.queue.framesSent)
            report.bytesOut = UInt64(state.queue.bytesSent)
            return report
        }
    }

    package func waitUntilClosed() async {
        let id = self.state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await self.state.wait(at: \.closeWaiters[id]) { $0.isGone }
    }

    package func whenClosed(_ body: @escaping @Sendable () -> Void) {
        let isGone = self.state.withLock { state in
            if !state.isGone { state.closeObservers.append(body) }
            return state.isGone
        }
        if isGone { body() }
    }

    private func close(_ change: (inout OutboundQueue) -> Bool) {
        let waiters = self.state.withLock { state -> [@Sendable () -> Void] in
            guard change(&state.queue) else { return [] }
            state.end = .closedLocally
            if !self.lingersAfterClose { state.isGone = true }
            return state.takeAllWaiters()
        }
        for waiter in waiters { waiter() }
    }
}
