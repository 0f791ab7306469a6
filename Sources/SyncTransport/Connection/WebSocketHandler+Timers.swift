import NIOCore
import SyncProtocol

extension WebSocketHandler {
    /// One byte that is CBOR null: what the protocol calls keepalive (docs/contract/wire.md §9).
    private static let keepalive = ByteBuffer(bytes: [0xF6])

    func startTimers(_ context: ChannelHandlerContext) {
        let now = context.eventLoop.now
        if let interval = self.configuration.keepaliveInterval { self.armKeepalive(at: now + interval, interval) }
        if let interval = self.configuration.pingInterval { self.armPing(at: now + interval, interval) }
        self.armSilenceTimer(deadline: now + self.configuration.silenceMax)
    }

    private func armKeepalive(at deadline: NIODeadline, _ interval: TimeAmount) {
        guard let context = self.context else { return }
        self.keepaliveTask = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            // A full queue has traffic of its own.
            _ = self.connection.offer(Self.keepalive)
            self.armKeepalive(at: deadline + interval, interval)
        }
    }

    private func armPing(at deadline: NIODeadline, _ interval: TimeAmount) {
        guard let context = self.context else { return }
        self.pingTask = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            self.isPingQueued = true
            self.write()
            self.armPing(at: deadline + interval, interval)
        }
    }

    func cancelTimers() {
        self.keepaliveTask?.cancel()
        self.pingTask?.cancel()
        self.silenceTask?.cancel()
        self.stallTask?.cancel()
        self.closeTask?.cancel()
        (self.keepaliveTask, self.pingTask) = (nil, nil)
        (self.silenceTask, self.stallTask, self.closeTask) = (nil, nil, nil)
    }

    /// Input moves the deadline; the timer is set anew only when it fires.
    private func armSilenceTimer(deadline: NIODeadline) {
        guard let context = self.context else { return }
        self.silenceTask = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            guard let context = self.context, self.handshake.output == .open else { return }
            // What is not read cannot be missed.
            if !self.isListening { self.lastInput = context.eventLoop.now }
            let deadline = self.lastInput + self.configuration.silenceMax
            if deadline <= context.eventLoop.now {
                self.drop(.silentPeer, reset: true)
            } else {
                self.armSilenceTimer(deadline: deadline)
            }
        }
    }

    /// Runs while a batch is in flight.
    func armStallTimer() {
        guard let context = self.context, self.stallTask == nil else { return }
        let deadline = self.lastProgress + self.configuration.writeStallMax
        self.stallTask = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            self.stallTask = nil
            guard let context = self.context, self.isBatchInFlight else { return }
            if self.lastProgress + self.configuration.writeStallMax <= context.eventLoop.now {
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
