import NIOCore
import SyncProtocol
import SyncTransport
import Synchronization

/// The raw end of a connection: frames as bytes, and nothing read that a test does not ask for.
final class WireClient: Sendable {
    /// The connection ended where a frame was expected.
    struct Ended: Error, Hashable {
        let close: CloseFrame?
    }

    let connection: WebSocketConnection

    private init(_ connection: WebSocketConnection) { self.connection = connection }

    static func connect(to url: String, offering subprotocols: [String]) async throws -> WireClient {
        var options = WebSocketClient.Options(subprotocols: subprotocols)
        options.connection.messageBytesMax = 16 << 20
        return WireClient(try await WebSocketClient.connect(to: url, options))
    }

    func send(_ bytes: ByteBuffer) { self.connection.enqueue(bytes) }

    func send(hex: String) { self.send(ByteBuffer(hex: hex)) }

    func request(_ id: String, _ method: Method, _ params: some WireEncodable) {
        self.send(FrameEncoder.request(id: id, method: method, params: params))
    }

    /// The next message that is no keepalive.
    func nextBytes() async throws -> ByteBuffer {
        while true {
            switch await self.connection.receive() {
            case .binary(let bytes) where bytes == ByteBuffer(bytes: [0xF6]): continue
            case .binary(let bytes): return bytes
            case .text: throw Ended(close: nil)
            case .ended: throw Ended(close: self.connection.peerClose)
            }
        }
    }

    func next() async throws -> ServerFrame { try FrameDecoder.decodeServerFrame(try await self.nextBytes()) }

    /// The result of the request `id`; other frames before it are dropped.
    func result<Result: WireDecodable>(of id: String, as type: Result.Type = Result.self) async throws -> Result {
        while true {
            switch try await self.next() {
            case .response(id: id, let result): return try result.decode()
            case .failure(id: id, let error): throw error
            default: continue
            }
        }
    }

    /// Reads to the end.
    func closeFrame() async -> CloseFrame? {
        while true {
            do { _ = try await self.nextBytes() } catch { return (error as? Ended)?.close }
        }
    }

    /// Answers a request that does nothing: everything sent before has been dealt with.
    func settle() async throws {
        self.send(hex: "a3647479706500666d6574686f6462787866706172616d73a0")
        while true {
            if case .failure(id: "", _) = try await self.next() { return }
        }
    }

    func close() async {
        self.connection.close(CloseFrame(code: 1000, reason: ""))
        await self.connection.waitUntilClosed()
    }
}

extension ByteBuffer {
    /// From pairs of hex digits; white space is skipped.
    init(hex: String) {
        let digits = hex.compactMap(\.hexDigitValue)
        self.init()
        for index in stride(from: 0, to: digits.count - 1, by: 2) {
            self.writeInteger(UInt8(digits[index] << 4 | digits[index + 1]))
        }
    }

    var hex: String {
        self.readableBytesView.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }
}
