package import SyncProtocol

/// The end of a WebSocket: RFC 6455 §7 and the TCP close below it, so that our Close frame is not lost to a reset.
///
/// Our Close is written behind what is queued. Then the peer's Close is awaited unless it came first, our direction is
/// shut down, and input is dropped until the peer's end of stream; only then is the socket closed. Closing with unread
/// input would make the kernel send a reset, which can overtake the Close frame.
package struct CloseHandshake: Sendable {
    package enum Input: Equatable, Sendable {
        /// Frames are decoded.
        case open
        /// The peer's Close frame has come; what follows is dropped.
        case closed(CloseFrame?)
        /// The peer ended the stream without a Close frame.
        case ended
        /// The peer broke the protocol; what follows is dropped.
        case discarding
    }

    package enum Output: Equatable, Sendable {
        case open
        /// Nothing more is queued; the Close frame goes out when the queue is empty.
        case draining
        case closeSent
        /// Our direction is shut down.
        case finished
    }

    package enum Action: Equatable, Sendable {
        case none
        /// Wait a bounded time for the session to choose the answer to the peer's Close.
        case awaitAnswer
        /// Wait a bounded time for the peer's Close.
        case awaitPeerClose
        /// Shut our direction down, then drop input for a bounded time until the stream ends.
        case shutDownOutput
        /// Drop input for a bounded time until the stream ends.
        case awaitEnd
        case closeSocket
    }

    private let role: WebSocketConfiguration.Role
    package private(set) var input = Input.open
    package private(set) var output = Output.open
    private var hasInputEnded = false

    package init(role: WebSocketConfiguration.Role) { self.role = role }

    /// This side wants to close.
    ///
    /// - Returns: false if it did already.
    package mutating func beginClosing() -> Bool {
        guard self.output == .open else { return false }
        self.output = .draining
        return true
    }

    package mutating func receivedClose(_ frame: CloseFrame?) -> Action {
        guard self.input == .open else { return .none }
        self.input = .closed(frame)
        switch self.output {
        case .open: return .awaitAnswer
        case .draining, .finished: return .none
        case .closeSent: return self.finish()
        }
    }

    package mutating func receivedEnd() -> Action {
        self.hasInputEnded = true
        if self.input == .open { self.input = .ended }
        switch self.output {
        case .open: return self.input == .ended ? .awaitAnswer : .none
        case .draining: return .none
        case .closeSent, .finished: return .closeSocket
        }
    }

    package mutating func violated() -> Action {
        guard self.input == .open else { return .none }
        self.input = .discarding
        return self.output == .closeSent ? self.finish() : .none
    }

    /// What to write when the queue is empty; `nil` when this end is to have no Close frame.
    package func farewell(for closing: OutboundQueue.Closing) -> Farewell? {
        switch (closing, self.input) {
        case (.frame(let frame), _): .frame(frame)
        case (.echo, .closed(let frame)): frame.map { .frame(CloseFrame(code: $0.code, reason: "")) } ?? .empty
        case (.echo, _): nil
        }
    }

    package enum Farewell: Equatable, Sendable {
        case frame(CloseFrame)
        /// A Close frame without payload, as the peer's was.
        case empty
    }

    package mutating func sentFarewell() -> Action {
        guard self.output == .draining else { return .none }
        self.output = .closeSent
        return self.input == .open ? .awaitPeerClose : self.finish()
    }

    /// There is no Close frame to send.
    package mutating func finishWithoutFarewell() -> Action {
        guard self.output == .draining else { return .none }
        return self.finish()
    }

    private mutating func finish() -> Action {
        self.output = .finished
        if self.hasInputEnded { return .closeSocket }
        // The server closes first (RFC 6455 §7.1.1), so that TIME_WAIT stays on its side.
        return self.role == .server ? .shutDownOutput : .awaitEnd
    }
}
