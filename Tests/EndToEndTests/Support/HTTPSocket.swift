import NIOCore
import SyncTesting

/// A socket that speaks HTTP/1.1 as badly as a test wants, and reads the answers one by one.
struct HTTPSocket: Sendable {
    private let socket: TestSocket

    /// The connection ended before the answer was complete.
    struct Ended: Error {}

    static func connect(port: Int) async throws -> HTTPSocket {
        HTTPSocket(socket: try await TestSocket.connect(port: port))
    }

    func send(_ text: String) async throws { try await self.send(ByteBuffer(string: text)) }

    func send(_ bytes: ByteBuffer) async throws { try await self.socket.send(bytes) }

    /// A request head; `headers` in any order.
    func sendHead(_ method: String, _ path: String, _ headers: [(String, String)]) async throws {
        let lines = ["\(method) \(path) HTTP/1.1", "Host: x"] + headers.map { "\($0): \($1)" }
        try await self.send(lines.joined(separator: "\r\n") + "\r\n\r\n")
    }

    /// The next response, interim ones included.
    ///
    /// - Parameter method: Of the request: one to `HEAD` has no body.
    func response(to method: String = "GET") async throws -> HTTPAnswer {
        await self.socket.wait { HTTPAnswer.isComplete($0, method) }
        let answer = self.socket.take { HTTPAnswer(taking: &$0, method) }
        guard let answer else { throw Ended() }
        return answer
    }

    /// Waits until the peer has ended its direction.
    ///
    /// - Returns: What arrived and was not read.
    func end() async -> ByteBuffer { await self.socket.wait() }

    /// Drops at least so many bytes of what arrives from now on.
    func drop(_ count: Int) async -> Int { await self.socket.drop(count) }

    func closeOutput() async throws { try await self.socket.closeOutput() }

    func close() async { await self.socket.close() }

    func reset() async throws { try await self.socket.reset() }
}

struct HTTPAnswer: Equatable, Sendable {
    let status: Int
    /// Names in lower case.
    let headers: [String: String]
    let body: ByteBuffer

    var text: String { String(buffer: self.body) }

    /// What `{"error":"…"}` says.
    var message: String? {
        let (start, end) = (#"{"error":""#, #""}"#)
        guard self.text.hasPrefix(start), self.text.hasSuffix(end) else { return nil }
        return String(self.text.dropFirst(start.count).dropLast(end.count))
    }

    private struct Head {
        var status: Int
        var headers: [String: String]
        var bytes: Int
        var bodyBytes: Int

        init?(_ buffer: ByteBuffer, _ method: String) {
            let view = buffer.readableBytesView.prefix(65_536)
            guard let end = view.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
            let lines = String(decoding: view[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
            self.status = lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
            self.headers = [:]
            for line in lines.dropFirst() {
                let parts = line.split(separator: ":", maxSplits: 1)
                self.headers[parts[0].lowercased()] = String(parts.count > 1 ? parts[1].dropFirst() : "")
            }
            self.bytes = end.upperBound - view.startIndex
            let hasBody = method != "HEAD" && self.status >= 200 && self.status != 204 && self.status != 304
            self.bodyBytes = hasBody ? Int(self.headers["content-length"] ?? "0") ?? 0 : 0
        }
    }

    static func isComplete(_ buffer: ByteBuffer, _ method: String) -> Bool {
        guard let head = Head(buffer, method) else { return false }
        return buffer.readableBytes >= head.bytes + head.bodyBytes
    }

    fileprivate init?(taking buffer: inout ByteBuffer, _ method: String) {
        guard Self.isComplete(buffer, method), let head = Head(buffer, method) else { return nil }
        buffer.moveReaderIndex(forwardBy: head.bytes)
        guard let body = buffer.readSlice(length: head.bodyBytes) else { return nil }
        self.status = head.status
        self.headers = head.headers
        self.body = body
    }
}
