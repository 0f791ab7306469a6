import Foundation
import NIOCore
import Testing

/// Vectors of the Fixtures folder.
enum Fixtures {
    struct WireExample: Decodable, Sendable, CustomTestStringConvertible {
        let id: String
        let description: String
        let bytes: Int
        let hex: String

        var message: ByteBuffer { buffer(self.hex) }
        var testDescription: String { "\(self.id): \(self.description)" }
    }

    struct InboundMessage: Decodable, Sendable, CustomTestStringConvertible {
        enum Reaction: String, Decodable { case close, keepalive, ignored, notification, request }

        let hex: String
        let reaction: Reaction
        /// Reason of a close, number of an ignored type, method of the others.
        let value: String?
        let description: String

        var testDescription: String { "\(self.hex): \(self.description)" }
    }

    struct WellFormedItem: Decodable, Sendable, CustomTestStringConvertible {
        enum Kind: String, Decodable { case int, bool, text, bytes, `nil` }

        let diagnostic: String
        let hex: String
        let kind: Kind?
        let value: String?

        var testDescription: String { self.diagnostic }
    }

    struct MalformedItem: Decodable, Sendable, CustomTestStringConvertible {
        let hex: String
        let description: String

        var testDescription: String { "\(self.hex): \(self.description)" }
    }

    static let wireExamples: [WireExample] = load("wire-examples", "examples")
    static let inboundMessages: [InboundMessage] = load("malformed-inputs", "inputs")
    static let wellFormedItems: [WellFormedItem] = load("rfc8949-appendix-a", "items")
    static let malformedItems: [MalformedItem] = load("rfc8949-appendix-f", "items")

    /// The bytes of an example, empty for an unknown id: every test of it then fails.
    static func example(_ id: String) -> ByteBuffer {
        self.wireExamples.first { $0.id == id }?.message ?? ByteBuffer()
    }

    private static func load<Row: Decodable>(_ name: String, _ key: String) -> [Row] {
        do {
            guard let url = Bundle.module.url(forResource: "Fixtures/\(name)", withExtension: "json") else { return [] }
            let rows = try JSONDecoder().decode([String: Rows<Row>].self, from: Data(contentsOf: url))
            guard case .rows(let values)? = rows[key] else { return [] }
            return values
        } catch {
            Issue.record("\(name).json: \(error)")
            return []
        }
    }

    /// The file holds one array and the text of its origin.
    private enum Rows<Row: Decodable>: Decodable {
        case origin(String)
        case rows([Row])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let origin = try? container.decode(String.self) {
                self = .origin(origin)
            } else {
                self = .rows(try container.decode([Row].self))
            }
        }
    }
}

/// Bytes of a hexadecimal text; spaces are allowed.
func buffer(_ hex: String) -> ByteBuffer {
    var bytes: [UInt8] = []
    var high: UInt8?
    for character in hex where !character.isWhitespace {
        guard let digit = character.hexDigitValue else {
            preconditionFailure("A vector is not hexadecimal: \(hex)")
        }
        if let first = high {
            bytes.append(first << 4 | UInt8(digit))
            high = nil
        } else {
            high = UInt8(digit)
        }
    }
    precondition(high == nil, "A vector has half a byte: \(hex)")
    return ByteBuffer(bytes: bytes)
}

func hex(_ buffer: ByteBuffer) -> String {
    buffer.readableBytesView.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
