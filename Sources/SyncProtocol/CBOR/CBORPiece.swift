import NIOCore

/// Parts of a message that is written in one go, each a function that appends to a span with room for it. For the few messages
/// that come by the thousand: a `CBORWriter` asks its buffer for each item whether it is alone and has room.
enum CBORPiece {
    static func append(_ bytes: RawSpan, to output: inout OutputRawSpan) {
        output.withUnsafeMutableBytes { memory, count in
            bytes.withUnsafeBytes { bytes in
                let free = UnsafeMutableRawBufferPointer(rebasing: memory[count...])
                // A buffer that is too short for its source is a trap.
                free.copyMemory(from: bytes)
                count += bytes.count
            }
        }
    }

    static func append(_ bytes: ByteBuffer, to output: inout OutputRawSpan) {
        Self.append(bytes.readableBytesSpan, to: &output)
    }

    /// Bytes of the head of an item with this argument.
    static func headBytes(_ argument: UInt64) -> Int {
        switch argument {
        case ..<24: 1
        case ...0xFF: 2
        case ...0xFFFF: 3
        case ...0xFFFF_FFFF: 5
        default: 9
        }
    }

    static func appendHead(_ major: UInt8, _ argument: UInt64, to output: inout OutputRawSpan) {
        switch argument {
        case ..<24:
            output.append(major << 5 | UInt8(truncatingIfNeeded: argument))
        case ...0xFF:
            output.append(major << 5 | 24)
            output.append(UInt8(truncatingIfNeeded: argument))
        case ...0xFFFF:
            output.append(major << 5 | 25)
            output.append(UInt16(truncatingIfNeeded: argument).bigEndian, as: UInt16.self)
        case ...0xFFFF_FFFF:
            output.append(major << 5 | 26)
            output.append(UInt32(truncatingIfNeeded: argument).bigEndian, as: UInt32.self)
        default:
            output.append(major << 5 | 27)
            output.append(argument.bigEndian, as: UInt64.self)
        }
    }

    /// A byte string.
    static func append(item bytes: RawSpan, to output: inout OutputRawSpan) {
        Self.appendHead(CBORSyntax.Major.bytes, UInt64(bytes.byteCount), to: &output)
        Self.append(bytes, to: &output)
    }

    static func append(_ value: Int64, to output: inout OutputRawSpan) {
        let isNegative = value < 0
        Self.appendHead(
            isNegative ? CBORSyntax.Major.negative : CBORSyntax.Major.unsigned,
            UInt64(bitPattern: isNegative ? ~value : value), to: &output)
    }

    static func bytes(of value: Int64) -> Int { Self.headBytes(UInt64(bitPattern: value < 0 ? ~value : value)) }

    /// The canonical text of an id, without its head.
    static func appendText<Subject>(of id: Identifier<Subject>, to output: inout OutputRawSpan) {
        let bits = id.bits
        let hyphen = UInt8(ascii: "-")
        let middle = UUIDText.digits(of: UInt32(truncatingIfNeeded: bits >> 64))
        let variant = UUIDText.digits(of: UInt32(truncatingIfNeeded: bits >> 32))
        output.append(UUIDText.digits(of: UInt32(truncatingIfNeeded: bits >> 96)).bigEndian, as: UInt64.self)
        output.append(hyphen)
        output.append(UInt32(truncatingIfNeeded: middle >> 32).bigEndian, as: UInt32.self)
        output.append(hyphen)
        output.append(UInt32(truncatingIfNeeded: middle).bigEndian, as: UInt32.self)
        output.append(hyphen)
        output.append(UInt32(truncatingIfNeeded: variant >> 32).bigEndian, as: UInt32.self)
        output.append(hyphen)
        output.append(UInt32(truncatingIfNeeded: variant).bigEndian, as: UInt32.self)
        output.append(UUIDText.digits(of: UInt32(truncatingIfNeeded: bits)).bigEndian, as: UInt64.self)
    }
}
