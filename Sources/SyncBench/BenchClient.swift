import DequeModule
import NIOCore
import SyncProtocol
import SyncTransport

/// One authenticated connection. All of it belongs to its event loop.
final class BenchClient {
    enum Failure: Error, Hashable {
        case timedOut
        case ended(CloseFrame?)
        case refused(code: String)
        case protocolViolation(String)

        var description: String {
            switch self {
            case .timedOut: "no answer in time"
            case .ended(let frame?): "connection closed: \(frame.code) \(frame.reason)"
            case .ended(nil): "connection lost"
            case .refused(let code): "refused: \(code)"
            case .protocolViolation(let detail): "protocol violation: \(detail)"
            }
        }
    }

    typealias Answer = Result<FramePayload, Failure>

    private struct Request {
        let number: UInt64
        let deadline: UInt64
        let onChunk: ((_ name: String, FramePayload) -> Void)?
        let onAnswer: (Answer) -> Void
    }

    let space: String
    private let socket: EventLoopWebSocket
    private let timeout: UInt64
    /// In progress, in the order of sending, which is that of their deadlines too.
    private var requests: Deque<Request> = []
    private var sent: UInt64 = 0
    private(set) var isOpen = true

    /// Sees each message first; true when there is nothing else to do with it.
    var onMessage: ((ByteBuffer) -> Bool)?
    /// Takes the parameters of each notification.
    var onNotification: ((FramePayload) -> Void)?
    /// Called at most once, unless this side closed the connection. The requests in progress have failed before.
    var onEnd: ((Failure) -> Void)?

    /// - Parameters:
    ///   - token: Sent at once; nil for servers that speak no protocol.
    ///   - timeout: Nanoseconds.
    init(_ socket: EventLoopWebSocket, token: String?, space: String, timeout: UInt64) {
        self.socket = socket
        self.space = space
        self.timeout = timeout
        socket.onMessage = { message in self.receive(message) }
        socket.onEnd = { frame in self.end(.ended(frame)) }
        if let token { socket.send(FrameEncoder.auth(token: token)) }
    }

    /// Sends a request; `onAnswer` is called exactly once.
    func send(
        _ method: Method, _ params: some WireEncodable, onChunk: ((String, FramePayload) -> Void)? = nil,
        onAnswer: @escaping (Answer) -> Void
    ) {
        guard self.isOpen else { return onAnswer(.failure(.ended(nil))) }
        self.sent += 1
        self.requests.append(
            Request(
                number: self.sent, deadline: BenchClock.now() + self.timeout, onChunk: onChunk, onAnswer: onAnswer))
        self.socket.send(FrameEncoder.request(id: String(self.sent), method: method, params: params))
    }

    /// Sends a message that no protocol explains.
    func sendBare(_ message: ByteBuffer) { self.socket.send(message) }

    /// Requests without an answer.
    var requestsInProgress: Int { self.requests.count }

    /// Fails a request that is overdue, and with it the connection: what comes later would answer nobody.
    func tick(_ now: UInt64) {
        guard let request = self.requests.first, request.deadline < now else { return }
        self.end(.timedOut)
    }

    func close() {
        self.isOpen = false
        (self.requests, self.onEnd, self.onMessage, self.onNotification) = ([], nil, nil, nil)
        self.socket.close()
    }

    private func receive(_ message: ByteBuffer) {
        if let onMessage = self.onMessage, onMessage(message) { return }
        guard let frame = try? FrameDecoder.decodeServerFrame(message) else {
            return self.end(.protocolViolation("undecodable frame"))
        }
        switch frame {
        case .response(let id, let result): self.answer(id, .success(result))
        case .failure(let id, let error): self.answer(id, .failure(.refused(code: error.code)))
        case .chunk(let id, let name, let data):
            guard let index = self.index(of: id), let onChunk = self.requests[index].onChunk else {
                return self.end(.protocolViolation("chunk of no request"))
            }
            onChunk(name, data)
        case .notification(_, let params): self.onNotification?(params)
        case .keepalive, .ignored: break
        }
    }

    private func answer(_ id: String, _ answer: Answer) {
        guard let index = self.index(of: id) else {
            return self.end(.protocolViolation("answer to no request"))
        }
        self.requests.remove(at: index).onAnswer(answer)
    }

    private func index(of id: String) -> Int? {
        guard let number = UInt64(id) else { return nil }
        return self.requests.firstIndex { $0.number == number }
    }

    private func end(_ failure: Failure) {
        guard self.isOpen else { return }
        self.isOpen = false
        self.socket.close()
        let (requests, onEnd) = (self.requests, self.onEnd)
        (self.requests, self.onEnd, self.onMessage, self.onNotification) = ([], nil, nil, nil)
        for request in requests { request.onAnswer(.failure(failure)) }
        onEnd?(failure)
    }
}

/// The clock of all latencies: monotonic, the same on every thread.
enum BenchClock {
    /// Nanoseconds since an arbitrary instant.
    static func now() -> UInt64 { NIODeadline.now().uptimeNanoseconds }
}

extension Duration {
    /// Nanoseconds; 0 when negative, and capped at 292 years.
    var nanoseconds: UInt64 {
        let seconds = self.components.seconds
        guard self > .zero, seconds < Int64.max / 1_000_000_000 else { return self > .zero ? .max / 2 : 0 }
        return UInt64(seconds) * 1_000_000_000 + UInt64(self.components.attoseconds / 1_000_000_000)
    }
}
