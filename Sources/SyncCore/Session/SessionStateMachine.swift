import SyncAuth
import SyncProtocol

/// The protocol state of one client connection (docs/contract/wire.md §3–§5): events in, one action out, no I/O and no clock.
///
/// Work is counted so that a connection which is due to close ends at the moment its last request is answered.
struct SessionStateMachine {
    enum MessageAction: Equatable {
        /// Validate this token, then report with `authenticated` or `authenticationFailed`.
        case authenticate(token: String)
        /// Handle under the identity of now, then report with `finishedWork`.
        case request(ClientFrame.Request, Principal)
        /// As `request`, without an answer.
        case notification(ClientFrame.Notification, Principal)
        case ignore
        /// Close the connection and read nothing more.
        case close(CloseFrame)
        /// The peer began to close: answer in kind and read nothing more.
        case closeEcho
        /// Read nothing more; somebody closes or has closed the connection.
        case stop
    }

    enum Authentication: Equatable {
        case register(MailboxKey)
        case close(CloseFrame)
        case stop
    }

    private enum State: Equatable {
        case awaitingAuth
        case authenticating
        case open(Principal)
        /// Open, but nothing new is begun; closed with this frame when the work is done.
        case draining(Principal, CloseFrame)
        case closed
    }

    private var state: State = .awaitingAuth
    /// Requests and notifications begun and not finished, in both lanes.
    private var workInProgress = 0

    /// The identity that the next request is handled under; `nil` unless open.
    var principal: Principal? {
        switch self.state {
        case .open(let principal), .draining(let principal, _): principal
        case .awaitingAuth, .authenticating, .closed: nil
        }
    }

    mutating func received(_ message: ReceivedMessage) -> MessageAction {
        switch self.state {
        case .awaitingAuth: self.receivedFirst(message)
        case .open(let principal): self.receivedOpen(message, principal)
        case .authenticating, .draining, .closed: .stop
        }
    }

    /// The auth timeout has passed without a message.
    mutating func authTimedOut() -> MessageAction {
        guard self.state == .awaitingAuth else { return .stop }
        return self.close(.authFailed("auth timeout"))
    }

    mutating func authenticated(_ result: Result<Principal, TokenError>) -> Authentication {
        guard self.state == .authenticating else { return .stop }
        switch result {
        case .failure(let error):
            self.state = .closed
            return .close(.authFailed(error.closeReason))
        case .success(let principal) where !principal.hasScope(.sync):
            self.state = .closed
            return .close(.authFailed("sync scope required"))
        case .success(let principal):
            self.state = .open(principal)
            return .register(MailboxKey(principal))
        }
    }

    /// The whole identity is replaced for later requests; nothing else changes (docs/contract/wire.md §14).
    mutating func refreshed(_ principal: Principal) {
        switch self.state {
        case .open: self.state = .open(principal)
        case .draining(_, let frame): self.state = .draining(principal, frame)
        case .awaitingAuth, .authenticating, .closed: break
        }
    }

    /// One request or notification has been dealt with.
    ///
    /// - Returns: The frame to close with, when that was all that a draining connection waited for.
    mutating func finishedWork() -> CloseFrame? {
        self.workInProgress -= 1
        return self.closeIfDrained()
    }

    /// Begins nothing new and closes with `frame` once the requests in progress are answered.
    ///
    /// - Returns: `frame`, when nothing is in progress.
    mutating func drain(_ frame: CloseFrame) -> CloseFrame? {
        switch self.state {
        case .open(let principal):
            self.state = .draining(principal, frame)
            return self.closeIfDrained()
        case .awaitingAuth, .authenticating:
            self.state = .closed
            return frame
        case .draining, .closed:
            return nil
        }
    }

    /// True while new messages may be asked for.
    var mayRead: Bool {
        if case .open = self.state { true } else { false }
    }

    var isDraining: Bool {
        if case .draining = self.state { true } else { false }
    }

    var isAwaitingAuth: Bool {
        if case .awaitingAuth = self.state { true } else { false }
    }

    var isClosed: Bool {
        if case .closed = self.state { true } else { false }
    }

    mutating func ended() { self.state = .closed }

    private mutating func receivedFirst(_ message: ReceivedMessage) -> MessageAction {
        switch message {
        case .ended(.closedLocally): return self.stop()
        case .ended(.peerClosed): return self.close(.authFailed("connection closed before auth"))
        case .ended(.failed): return self.close(.authFailed("failed to read auth frame"))
        case .text: return self.close(.authFailed("expected binary auth frame"))
        case .binary(let bytes):
            do {
                let token = try FrameDecoder.decodeAuthToken(bytes)
                self.state = .authenticating
                return .authenticate(token: token)
            } catch {
                return self.close(error.close)
            }
        }
    }

    private mutating func receivedOpen(_ message: ReceivedMessage, _ principal: Principal) -> MessageAction {
        switch message {
        case .ended(.closedLocally): return self.stop()
        case .ended(.peerClosed), .ended(.failed):
            self.state = .closed
            return .closeEcho
        case .text: return self.close(.protocolError("expected binary rpc frame"))
        case .binary(let bytes):
            do {
                switch try FrameDecoder.decodeClientFrame(bytes) {
                case .keepalive, .ignored: return .ignore
                case .request(let request):
                    self.workInProgress += 1
                    return .request(request, principal)
                case .notification(let notification):
                    self.workInProgress += 1
                    return .notification(notification, principal)
                }
            } catch {
                return self.close(error.close)
            }
        }
    }

    private mutating func close(_ frame: CloseFrame) -> MessageAction {
        self.state = .closed
        return .close(frame)
    }

    private mutating func stop() -> MessageAction {
        self.state = .closed
        return .stop
    }

    private mutating func closeIfDrained() -> CloseFrame? {
        guard case .draining(_, let frame) = self.state, self.workInProgress == 0 else { return nil }
        self.state = .closed
        return frame
    }
}
