package import NIOCore
package import SyncProtocol

/// A whole message, its text payload included when the connection keeps it.
package enum InboundMessage: Sendable, Equatable {
    case binary(ByteBuffer)
    case text(ByteBuffer?)

    /// Zero for a text that was dropped.
    var bytes: Int {
        switch self {
        case .binary(let payload): payload.readableBytes
        case .text(let payload): payload?.readableBytes ?? 0
        }
    }
}

/// What `receiveAny()` answers.
package enum Inbound: Sendable, Equatable {
    case message(InboundMessage)
    case ended(ConnectionEnd)
}

/// The one message that may wait for the session, and how the stream ended.
struct Inbox {
    private var message: InboundMessage?
    private(set) var end: ConnectionEnd?
    private var receiver: CheckedContinuation<Inbound, Never>?

    private enum Hold {
        case none
        case fromFirst
        /// The session has the first message, and has not asked for more.
        case holding
    }

    private var hold: Hold

    /// - Parameter holdsAfterFirst: makes no room for a second message before the session, which has the first, asks for it.
    init(holdsAfterFirst: Bool = false) { self.hold = holdsAfterFirst ? .fromFirst : .none }

    /// Whether the next message may be decoded.
    var hasRoom: Bool { self.message == nil && self.end == nil && self.hold != .holding }

    /// Whether the session asks for the next message, having dealt with the one before.
    var isAwaited: Bool { self.receiver != nil }

    /// The answer for a receiver, or nothing when it has to wait.
    mutating func take() -> Inbound? {
        if let message = self.message {
            self.message = nil
            self.handedOver()
            return .message(message)
        }
        return self.end.map { .ended($0) }
    }

    mutating func wait(_ receiver: CheckedContinuation<Inbound, Never>) {
        if self.hold == .holding { self.hold = .none }
        self.receiver = receiver
    }

    private mutating func handedOver() {
        if self.hold == .fromFirst { self.hold = .holding }
    }

    mutating func takeReceiver() -> CheckedContinuation<Inbound, Never>? {
        defer { self.receiver = nil }
        return self.receiver
    }

    /// - Returns: the receiver to resume with the message; without one it waits here.
    mutating func deliver(_ message: InboundMessage) -> CheckedContinuation<Inbound, Never>? {
        guard self.end == nil else { return nil }
        if let receiver = self.takeReceiver() {
            self.handedOver()
            return receiver
        }
        self.message = message
        return nil
    }

    /// The first end counts.
    ///
    /// - Parameter discarding: drops a message that waits.
    /// - Returns: the receiver to resume with the end.
    mutating func finish(_ end: ConnectionEnd, discarding: Bool) -> CheckedContinuation<Inbound, Never>? {
        if discarding { self.message = nil }
        guard self.end == nil else { return nil }
        self.end = end
        return self.takeReceiver()
    }
}
