public import NIOCore

/// Frames to the bytes of one binary message (docs/contract/wire.md §5, §6). One allocation each, of the exact size.
public enum FrameEncoder {
    static let keepaliveByte: UInt8 = 0xF6

    /// The single byte `F6`, shared by all connections (docs/contract/wire.md §9).
    public static let keepalive = ByteBuffer(bytes: [Self.keepaliveByte])
}

// MARK: - Sent by the server

extension FrameEncoder {
    public static func response(id: String, result: some WireEncodable) -> ByteBuffer {
        CBORWriter.encode { Self.writeResponse(id, result, to: &$0) }
    }

    /// Bytes of the whole frame.
    public static func responseSize(id: String, result: some WireEncodable) -> Int {
        CBORWriter.measure { Self.writeResponse(id, result, to: &$0) }
    }

    private static func writeResponse(_ id: String, _ result: some WireEncodable, to writer: inout CBORWriter) {
        Self.writeHead(of: .response, id: id, keys: 3, to: &writer)
        writer.write(key: "result")
        result.encode(to: &writer)
    }

    public static func error(id: String, _ error: ErrorBody) -> ByteBuffer {
        CBORWriter.encode { writer in
            Self.writeHead(of: .response, id: id, keys: 3, to: &writer)
            writer.write(key: "error")
            error.encode(to: &writer)
        }
    }

    public static func error(id: String, code: RPCErrorCode, message: String) -> ByteBuffer {
        Self.error(id: id, ErrorBody(code: code, message: message))
    }

    public static func chunk(id: String, name: ChunkName, data: some WireEncodable) -> ByteBuffer {
        CBORWriter.encode { writer in
            Self.writeChunkHead(id: id, name: name, to: &writer)
            data.encode(to: &writer)
        }
    }

    /// Everything of a chunk before its data.
    static func writeChunkHead(id: String, name: ChunkName, to writer: inout CBORWriter) {
        Self.writeHead(of: .chunk, id: id, keys: 4, to: &writer)
        writer.write(key: "name")
        writer.write(name.rawValue)
        writer.write(key: "data")
    }

    /// The `sync` notification, or its nudge where it would exceed `Limits.messageBytesMax` (docs/contract/rpc.md §2.6).
    public static func sync(_ notification: SyncNotification) -> ByteBuffer {
        let size = Self.notificationSize(method: .sync, params: notification)
        guard size <= Limits.messageBytesMax else {
            return Self.notification(method: .sync, params: notification.nudge)
        }
        return CBORWriter.encode(size: size) { Self.writeNotification(.sync, notification, to: &$0) }
    }

    private static func writeHead(of type: FrameType, id: String, keys: Int, to writer: inout CBORWriter) {
        writer.writeMap(keys)
        writer.write(key: "type")
        writer.write(type.rawValue)
        writer.write(key: "id")
        writer.write(id)
    }
}

// MARK: - Sent by both sides

extension FrameEncoder {
    public static func notification(method: Method, params: some WireEncodable) -> ByteBuffer {
        CBORWriter.encode { Self.writeNotification(method, params, to: &$0) }
    }

    /// Bytes of the whole frame.
    public static func notificationSize(method: Method, params: some WireEncodable) -> Int {
        CBORWriter.measure { Self.writeNotification(method, params, to: &$0) }
    }

    private static func writeNotification(_ method: Method, _ params: some WireEncodable, to writer: inout CBORWriter) {
        writer.writeMap(3)
        writer.write(key: "type")
        writer.write(FrameType.notification.rawValue)
        writer.write(key: "method")
        writer.write(method.rawValue)
        writer.write(key: "params")
        params.encode(to: &writer)
    }
}

// MARK: - Sent by the client

extension FrameEncoder {
    /// In the SDK's key order.
    public static func request(id: String, method: Method, params: some WireEncodable) -> ByteBuffer {
        CBORWriter.encode { writer in
            writer.writeMap(4)
            writer.write(key: "id")
            writer.write(id)
            writer.write(key: "type")
            writer.write(FrameType.request.rawValue)
            writer.write(key: "method")
            writer.write(method.rawValue)
            writer.write(key: "params")
            params.encode(to: &writer)
        }
    }

    /// The first frame of a connection (docs/contract/wire.md §4).
    public static func auth(token: String) -> ByteBuffer {
        Self.notification(method: .auth, params: TokenParams(token: token))
    }
}
