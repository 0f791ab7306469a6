package import NIOCore

/// Where an HTTP/1.1 connection stands, and how long it may stay there (docs/contract/http.md §10, architecture R4).
package struct HTTPTimeouts: Sendable {
    /// A request head must be complete so long after its first byte, or after the connection was accepted.
    package var head: TimeAmount = .seconds(10)
    /// Without a byte of a request body, or of a response being taken.
    package var progress: TimeAmount = .seconds(60)
    /// Between two requests.
    package var idle: TimeAmount = .seconds(75)
    /// For the peer to end the stream after our last response.
    package var linger: TimeAmount = .seconds(2)

    package init() {}
}

/// The stage of a connection with the deadline that belongs to it. Pure: time comes in as a value.
struct HTTPStageMachine {
    enum Stage: Equatable {
        /// Nothing, or part of a head, has arrived.
        case head
        /// The head is complete, the body is arriving.
        case body
        /// The request is complete, the response is not.
        case responding
        /// Between two requests.
        case idle
        /// The last response is written; input is dropped.
        case lingering
    }

    private let timeouts: HTTPTimeouts
    private(set) var stage = Stage.head
    private(set) var isResponseComplete = false
    private var stageDeadline: NIODeadline?
    /// While the socket takes no more of what was written.
    private var outputDeadline: NIODeadline?
    /// How much the client had taken when that was looked at last.
    private var takenBytes = 0

    init(timeouts: HTTPTimeouts, now: NIODeadline) {
        self.timeouts = timeouts
        self.stageDeadline = now + timeouts.head
    }

    /// While the socket takes no more, no input is read, and all that counts is whether the client takes something.
    var deadline: NIODeadline? {
        self.stage == .lingering ? self.stageDeadline : self.outputDeadline ?? self.stageDeadline
    }

    /// Whether input is to stay in the kernel, since what it asks for could not be told.
    var isOutputBlocked: Bool { self.outputDeadline != nil && self.stage != .lingering }

    mutating func bytesArrived(at now: NIODeadline) {
        switch self.stage {
        case .idle: self.enter(.head, until: now + self.timeouts.head)
        case .body: self.stageDeadline = now + self.timeouts.progress
        case .head, .responding, .lingering: break
        }
    }

    mutating func headCompleted(at now: NIODeadline) {
        guard self.stage != .lingering else { return }
        self.isResponseComplete = false
        self.enter(.body, until: now + self.timeouts.progress)
    }

    mutating func requestCompleted(at now: NIODeadline) {
        guard self.stage == .body else { return }
        if self.isResponseComplete {
            self.enter(.idle, until: now + self.timeouts.idle)
        } else {
            self.enter(.responding, until: nil)
        }
    }

    mutating func responseCompleted(at now: NIODeadline) {
        self.isResponseComplete = true
        if self.stage == .responding { self.enter(.idle, until: now + self.timeouts.idle) }
    }

    /// The socket has not taken all that was written.
    ///
    /// - Parameter taken: Grows when the client takes something.
    mutating func outputBlocked(taken: Int, at now: NIODeadline) {
        guard self.outputDeadline == nil else { return }
        self.takenBytes = taken
        self.outputDeadline = now + self.timeouts.progress
    }

    /// The socket has taken all that was written: the time of the stage begins anew, as nothing was read meanwhile.
    mutating func outputFreed(at now: NIODeadline) {
        guard self.outputDeadline != nil else { return }
        self.outputDeadline = nil
        switch self.stage {
        case .head: self.stageDeadline = now + self.timeouts.head
        case .body: self.stageDeadline = now + self.timeouts.progress
        case .idle: self.stageDeadline = now + self.timeouts.idle
        case .responding, .lingering: break
        }
    }

    /// Whether the connection has been where it is for too long. A client that has taken anything since this was asked last may
    /// go on taking.
    mutating func isOver(taken: Int, at now: NIODeadline) -> Bool {
        guard let deadline = self.deadline, deadline <= now else { return false }
        guard self.isOutputBlocked, taken > self.takenBytes else { return true }
        self.takenBytes = taken
        self.outputDeadline = now + self.timeouts.progress
        return false
    }

    mutating func linger(at now: NIODeadline) {
        guard self.stage != .lingering else { return }
        self.enter(.lingering, until: now + self.timeouts.linger)
    }

    private mutating func enter(_ stage: Stage, until deadline: NIODeadline?) {
        self.stage = stage
        self.stageDeadline = deadline
    }
}
