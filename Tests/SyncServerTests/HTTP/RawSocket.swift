import NIOCore
import SyncTesting

/// A socket whose answers are read as text.
struct RawSocket {
    private let socket: TestSocket

    static func connect(port: Int) async throws -> RawSocket {
        RawSocket(socket: try await TestSocket.connect(port: port))
    }

    func send(_ text: String) async throws { try await self.socket.send(ByteBuffer(string: text)) }

    func send(_ bytes: [UInt8]) async throws { try await self.socket.send(ByteBuffer(bytes: bytes)) }

    /// Waits until what arrived satisfies `condition`, or the stream has ended.
    @discardableResult
    func wait(until condition: @escaping @Sendable (ByteBuffer) -> Bool = { _ in false }) async -> ByteBuffer {
        await self.socket.wait(until: condition)
    }

    /// The next response, complete by its Content-Length; what follows stays.
    func response() async -> RawResponse {
        await self.socket.wait { RawResponse(String(buffer: $0)) != nil }
        return self.socket.take { received in
            guard let first = RawResponse(String(buffer: received)) else { return RawResponse() }
            received.moveReaderIndex(forwardBy: first.bytes)
            return first
        }
    }

    func close() async { await self.socket.close() }
}

/// A response as text.
struct RawResponse: Equatable {
    var status = 0
    var headers: [String: String] = [:]
    var body = ""
    var bytes = 0

    init() {}

    /// `nil` until head and body are complete.
    init?(_ text: String) {
        guard let end = text.utf8.firstRange(of: "\r\n\r\n".utf8) else { return nil }
        let lines = String(text[..<end.lowerBound]).split(separator: "\r\n")
        guard let line = lines.first else { return nil }
        self.status = Int(line.split(separator: " ")[1]) ?? 0
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            self.headers[parts[0].lowercased()] = String(parts.count > 1 ? parts[1].dropFirst() : "")
        }
        let rest = text[end.upperBound...].utf8
        let length = self.status < 200 ? 0 : Int(self.headers["content-length"] ?? "0") ?? 0
        guard rest.count >= length else { return nil }
        self.body = String(Substring(rest.prefix(length)))
        self.bytes = text.utf8.distance(from: text.startIndex, to: end.upperBound) + length
    }
}

extension Collection where Element: Equatable {
    fileprivate func firstRange(of pattern: some Collection<Element>) -> Range<Index>? {
        var start = self.startIndex
        while start != self.endIndex {
            if self[start...].starts(with: pattern) {
                return start..<self.index(start, offsetBy: pattern.count)
            }
            start = self.index(after: start)
        }
        return nil
    }
}
