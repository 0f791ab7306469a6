import NIOCore
import SyncProtocol

extension WebSocketHandler {
    /// One byte that is CBOR null: what the protocol calls keepalive (docs/contract/wire.md §9).
    private static let keepalive = Broadcast(FrameEncoder.keepalive)

    func startTimers(_ context: ChannelHandlerContext) {
        let now = context.eventLoop.now
        if let interval = self.configuration.keepaliveInterval { self.nextKeepalive = now + interval }
        if let interval = self.configuration.pingInterval { self.nextPing = now + interval }
        self.armTimer()
    }

    func cancelTimers() {
        self.timer?.cancel()
        self.stallTask?.cancel()
        self.closeTask?.cancel()
        (self.timer, self.stallTask, self.closeTask) = (nil, nil, nil)
    }

    /// One timer for all that comes again and again. Input moves the end of the silence; the timer is set anew only when it
    /// fires.
    private func armTimer() {
        guard let context = self.context else { return }
        let deadline = min(self.nextKeepalive, self.nextPing, self.lastInput + self.configuration.silenceMax)
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.timerFired() }
    }

    private func timerFired() {
        guard let now = self.context?.eventLoop.now else { return }
        guard !self.isSilenceOver(at: now) else { return self.drop(.silentPeer, reset: true) }
        if let interval = self.configuration.pingInterval, self.nextPing <= now {
            self.nextPing = self.nextPing + interval
            self.isPingQueued = true
        }
        if let interval = self.configuration.keepaliveInterval, self.nextKeepalive <= now {
            self.nextKeepalive = self.nextKeepalive + interval
            // A full queue has traffic of its own.
            _ = self.connection.offer(Self.keepalive)
        }
        self.write()
        self.armTimer()
    }

    private func isSilenceOver(at now: NIODeadline) -> Bool {
        // What is not read cannot be missed.
        if !self.isListening { self.lastInput = now }
        return self.lastInput + self.configuration.silenceMax <= now
    }

    /// Call when a batch is in flight.
    func startStallTimer() {
        guard let context = self.context, self.stallTask == nil else { return }
        self.acknowledgedBytes = self.configuration.acknowledgedBytes(context.channel)
        self.armStallTimer()
    }

    /// Looks several times within the limit, so that a peer which took something just before a look has little more time.
    private func armStallTimer() {
        guard let context = self.context else { return }
        let limit = self.configuration.writeStallMax
        let look = context.eventLoop.now + .nanoseconds(limit.nanoseconds / WebSocketConfiguration.stallLooks)
        let deadline = min(self.lastProgress + limit, look)
        self.stallTask = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            self.stallTask = nil
            guard let context = self.context, self.isBatchInFlight else { return }
            if let bytes = self.configuration.acknowledgedBytes(context.channel), bytes != self.acknowledgedBytes {
                self.acknowledgedBytes = bytes
                self.progressed()
            }
            if self.lastProgress + limit <= context.eventLoop.now {
                self.drop(.writeStall, reset: true)
            } else {
                self.armStallTimer()
            }
        }
    }

    /// One timer for all stages of the end: each replaces the one before.
    func armCloseTimer(_ delay: TimeAmount, _ body: @escaping (WebSocketHandler) -> Void) {
        guard let context = self.context else { return }
        self.closeTask?.cancel()
        self.closeTask = context.eventLoop.assumeIsolated().scheduleTask(in: delay) { body(self) }
    }
}
