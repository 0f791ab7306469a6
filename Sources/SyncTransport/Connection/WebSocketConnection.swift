package import NIOCore
package import SyncProtocol
import Synchronization

/// A `FrameConnection` over a socket. This half may be used from any thread; `WebSocketHandler` is the half that lives on
/// the event loop. They share the state below and meet in one coalesced wake-up.
package final class WebSocketConnection: FrameConnection {
    /// The negotiated subprotocol; empty when none was.
    package let subprotocol: String

    fileprivate struct State {
        var outbound = OutboundQueue()
        var inbox: Inbox
        /// A task that calls `WebSocketHandler.wake()` is on its way to the event loop.
        var isWakeScheduled = false
        /// The socket has not taken all that was written.
        var isSocketBusy = false
        /// The handler has stopped decoding and wants to hear when the session takes or asks for a message.
        var isHandlerPaused = false
        var roomWaiters: [UInt64: CheckedContinuation<Bool, Never>] = [:]
        var nextWaiterID: UInt64 = 0
        var closeObservers: [@Sendable () -> Void] = []
        var isGone = false
        var dropReason: DropReason?
        var peerClose: CloseFrame?
        /// Whoever began to close knows why; what the transport met afterwards is a consequence.
        var reason: ConnectionReport.Reason?
        var messagesIn: UInt64 = 0
        var bytesIn: UInt64 = 0
    }

    // Fixed after init.
    private let wakeUps: WakeUps
    private let handler: NIOLoopBoundBox<WebSocketHandler?>

    // Guarded by itself.
    private let state: Mutex<State>

    /// Call on `eventLoop`; `WebSocketHandler` attaches itself when it is added to the pipeline.
    ///
    /// - Parameter holdsAfterFirst: see `WebSocketConfiguration.firstMessageBytesMax`.
    init(subprotocol: String, wakeUps: WakeUps, holdsAfterFirst: Bool) {
        self.state = Mutex(State(inbox: Inbox(holdsAfterFirst: holdsAfterFirst)))
        self.subprotocol = subprotocol
        self.wakeUps = wakeUps
        self.handler = NIOLoopBoundBox(nil, eventLoop: wakeUps.eventLoop)
    }

    /// Why the transport gave up, if it did.
    package var dropReason: DropReason? { self.state.withLock { $0.dropReason } }

    package var peerClose: CloseFrame? { self.state.withLock { $0.peerClose } }

    package var report: ConnectionReport {
        self.state.withLock { state in
            var report = ConnectionReport(reason: state.reason ?? .connectionLost)
            report.messagesIn = state.messagesIn
            report.bytesIn = state.bytesIn
            report.messagesOut = UInt64(state.outbound.framesSent)
            report.bytesOut = UInt64(state.outbound.bytesSent)
            return report
        }
    }

    // MARK: Inbound

    package func receive() async -> ReceivedMessage {
        switch await self.receiveAny() {
        case .message(.binary(let bytes)): .binary(bytes)
        case .message(.text): .text
        case .ended(let end): .ended(end)
        }
    }

    /// As `receive()`, with the payload of text messages when the configuration keeps it.
    package func receiveAny() async -> Inbound {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let (answer, wakes) = self.state.withLock { state -> (Inbound?, Bool) in
                    var answer = state.inbox.take()
                    if answer == nil, Task.isCancelled { answer = .ended(.closedLocally) }
                    if answer == nil { state.inbox.wait(continuation) }
                    return (answer, state.isHandlerPaused && state.scheduleWake())
                }
                if wakes { self.wake() }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let receiver = self.state.withLock { $0.inbox.takeReceiver() }
            receiver?.resume(returning: .ended(.closedLocally))
        }
    }

    // MARK: Outbound

    package func offer(_ notification: Broadcast) -> OfferResult {
        let (result, wakes) = self.state.withLock { state -> (OfferResult, Bool) in
            let result = state.outbound.offer(notification, isSocketBusy: state.isSocketBusy)
            return (result, result == .queued && state.scheduleWake())
        }
        if wakes { self.wake() }
        return result
    }

    package func enqueue(_ frame: ByteBuffer) { self.enqueue(frame, isText: false) }

    /// As `enqueue(_:)`, as a text message. The protocol has none; for tests and conformance checks.
    package func enqueueText(_ text: ByteBuffer) { self.enqueue(text, isText: true) }

    private func enqueue(_ frame: ByteBuffer, isText: Bool) {
        let wakes = self.state.withLock { state -> Bool in
            state.outbound.enqueue(frame, asText: isText) && state.scheduleWake()
        }
        if wakes { self.wake() }
    }

    package func enqueue(_ run: MessageRun) {
        let wakes = self.state.withLock { state in state.outbound.enqueue(run) && state.scheduleWake() }
        if wakes { self.wake() }
    }

    package func room() async throws(ConnectionEnded) {
        let (isOpen, hasRoom, id) = self.state.withLock { state in
            state.nextWaiterID += 1
            return (state.outbound.isOpen, state.outbound.hasRoom, state.nextWaiterID)
        }
        guard isOpen else { throw ConnectionEnded() }
        if hasRoom { return }
        let mayGoOn = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer = self.state.withLock { state -> Bool? in
                    guard state.outbound.isOpen, !Task.isCancelled else { return false }
                    guard !state.outbound.hasRoom else { return true }
                    state.roomWaiters[id] = continuation
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            self.state.withLock { $0.roomWaiters.removeValue(forKey: id) }?.resume(returning: false)
        }
        guard mayGoOn else { throw ConnectionEnded() }
    }

    // MARK: Closing

    package func close(_ frame: CloseFrame) {
        self.beginClosing { $0.close(.frame(frame)) }
    }

    package func closeDiscardingQueue(_ frame: CloseFrame) {
        self.beginClosing { $0.closeDiscarding(.frame(frame)) }
    }

    package func closeEcho() {
        self.beginClosing { $0.close(.echo) }
    }

    private func beginClosing(
        as end: ConnectionEnd = .closedLocally, _ change: (inout OutboundQueue) -> Bool
    ) {
        let (receiver, waiters, wakes) = self.state.withLock { state in
            guard change(&state.outbound) else {
                return (nil as CheckedContinuation<Inbound, Never>?, [] as [CheckedContinuation<Bool, Never>], false)
            }
            if case .frame(let frame) = state.outbound.closing {
                state.reason = state.reason ?? ConnectionReport.Reason(ownClose: frame)
            }
            return (state.inbox.finish(end, discarding: true), state.takeRoomWaiters(), state.scheduleWake())
        }
        receiver?.resume(returning: .ended(end))
        for waiter in waiters { waiter.resume(returning: false) }
        if wakes { self.wake() }
    }

    package func abort() {
        self.wakeUps.eventLoop.execute { self.handler.value?.drop(.closeTimeout, reset: true) }
    }

    package func waitUntilClosed() async {
        await withCheckedContinuation { continuation in self.whenClosed { continuation.resume() } }
    }

    package func whenClosed(_ body: @escaping @Sendable () -> Void) {
        let isGone = self.state.withLock { state in
            if !state.isGone { state.closeObservers.append(body) }
            return state.isGone
        }
        if isGone { body() }
    }

    private func wake() { self.wakeUps.add(self) }
}

// MARK: - The event loop's side

extension WebSocketConnection {
    /// On the event loop.
    func attach(_ handler: WebSocketHandler?) { self.handler.value = handler }

    /// Its turn has come: see `WakeUps`.
    func wakeHandler() { self.handler.value?.wake() }

    /// What the handler has to look at after a wake-up.
    struct Work {
        var closing: OutboundQueue.Closing?
        /// A message may be decoded and delivered.
        var hasRoomForMessage: Bool
        /// The session waits for a message: everything before has been dealt with.
        var isAwaited: Bool
    }

    /// - Parameter popping: takes the first frame to write as well.
    func beginWake(popping: Bool) -> (Work, OutboundQueue.Item?) {
        self.state.withLock { state in
            state.isWakeScheduled = false
            return (state.work, popping ? state.outbound.pop(runBytesMax: WebSocketConfiguration.batchBytesMax) : nil)
        }
    }

    /// Asks for the state after a delivery. When the handler has to pause, the next `receive()` wakes it.
    func work(pausingUnless canGoOn: (Work) -> Bool) -> Work {
        self.state.withLock { state in
            let work = state.work
            state.isHandlerPaused = !canGoOn(work)
            return work
        }
    }

    /// Whether somebody waits in `room()`.
    var isRoomAwaited: Bool { self.state.withLock { !$0.roomWaiters.isEmpty } }

    func deliver(_ message: InboundMessage) {
        let receiver = self.state.withLock { state in
            state.messagesIn += 1
            state.bytesIn += UInt64(message.bytes)
            return state.inbox.deliver(message)
        }
        receiver?.resume(returning: .message(message))
    }

    /// The peer will send no more; a message that waits is still handed over.
    func inputEnded(_ end: ConnectionEnd) {
        let receiver = self.state.withLock { $0.inbox.finish(end, discarding: false) }
        receiver?.resume(returning: .ended(end))
    }

    /// The peer's Close frame has come; `nil` for one without a code.
    func peerClosed(_ frame: CloseFrame?) {
        self.state.withLock { state in
            state.peerClose = frame ?? CloseFrame(code: 1005, reason: "")
            state.reason = state.reason ?? .peerClosed
        }
        self.inputEnded(.peerClosed)
    }

    /// The transport answers a violation with its own Close frame.
    func violated(_ violation: WebSocketViolation) {
        self.dropped(.protocolViolation)
        self.beginClosing(as: .failed) { $0.close(.frame(violation.closeFrame)) }
    }

    /// The session did not answer the peer's Close in time.
    func echoUnanswered() {
        self.beginClosing(as: .peerClosed) { $0.close(.echo) }
    }

    /// The next frame to write, or a part of a run.
    ///
    /// - Parameter bytesMax: Of a part of a run.
    func pop(bytesMax: Int = WebSocketConfiguration.batchBytesMax) -> OutboundQueue.Item? {
        self.state.withLock { $0.outbound.pop(runBytesMax: bytesMax) }
    }

    /// What was popped waits for the socket, until `completedAndPop()`.
    func socketIsBusy() { self.state.withLock { $0.isSocketBusy = true } }

    /// What was popped has been written.
    ///
    /// - Returns: the next frame to write.
    func completedAndPop() -> OutboundQueue.Item? {
        let (next, waiters) = self.state.withLock { state in
            state.isSocketBusy = false
            state.outbound.completed()
            let waiters = state.outbound.hasRoom ? state.takeRoomWaiters() : []
            return (state.outbound.pop(runBytesMax: WebSocketConfiguration.batchBytesMax), waiters)
        }
        for waiter in waiters { waiter.resume(returning: true) }
        return next
    }

    /// Whether nothing waits to be written, and how the connection is to end then.
    func drainedClosing() -> OutboundQueue.Closing? {
        self.state.withLock { $0.outbound.isDrained ? $0.outbound.closing : nil }
    }

    func dropped(_ reason: DropReason) {
        self.state.withLock { state in
            state.dropReason = state.dropReason ?? reason
            state.reason = state.reason ?? ConnectionReport.Reason(reason)
        }
    }

    /// The socket is closed.
    func gone(_ end: ConnectionEnd) {
        let (receiver, rooms, observers, end) = self.state.withLock { state in
            state.outbound.end()
            state.isGone = true
            let receiver = state.inbox.finish(end, discarding: false)
            defer { state.closeObservers = [] }
            return (receiver, state.takeRoomWaiters(), state.closeObservers, state.inbox.end ?? end)
        }
        receiver?.resume(returning: .ended(end))
        for waiter in rooms { waiter.resume(returning: false) }
        for observer in observers { observer() }
    }
}

extension WebSocketConnection.State {
    fileprivate var work: WebSocketConnection.Work {
        .init(
            closing: self.outbound.closing, hasRoomForMessage: self.inbox.hasRoom, isAwaited: self.inbox.isAwaited)
    }

    /// - Returns: whether the caller has to schedule the wake-up.
    fileprivate mutating func scheduleWake() -> Bool {
        guard !self.isWakeScheduled, !self.isGone else { return false }
        self.isWakeScheduled = true
        return true
    }

    fileprivate mutating func takeRoomWaiters() -> [CheckedContinuation<Bool, Never>] {
        guard !self.roomWaiters.isEmpty else { return [] }
        defer { self.roomWaiters = [:] }
        return Array(self.roomWaiters.values)
    }
}
