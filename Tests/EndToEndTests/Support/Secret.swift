import Foundation
import NIOCore

/// Something that must not show up in a log, in no encoding.
struct Secret: Sendable {
    let name: String
    private let bytes: [UInt8]

    init(_ name: String, _ text: String) {
        self.name = name
        self.bytes = Array(text.utf8)
    }

    init(_ name: String, _ bytes: ByteBuffer) {
        self.name = name
        self.bytes = Array(bytes.readableBytesView)
    }

    /// Bytes of one piece: a log that holds the beginning of a secret, or any longer part, holds a whole piece of it.
    private static let pieceBytes = 16

    /// Whether the secret, or a piece of it, is in `log`: as text, in hexadecimal digits or in base64, wherever in what was
    /// encoded it lay.
    func isIn(_ log: String) -> Bool {
        let log = Array(log.utf8)
        return self.needles.contains { Self.contains(log, $0) }
    }

    private var needles: [[UInt8]] {
        let pieces = stride(from: 0, to: self.bytes.count, by: Self.pieceBytes).map { start in
            Array(self.bytes[start..<min(start + Self.pieceBytes, self.bytes.count)])
        }
        let whole = pieces.count > 1 ? pieces.filter { $0.count == Self.pieceBytes } : pieces
        return whole.flatMap(Self.encodings)
    }

    private static func encodings(_ piece: [UInt8]) -> [[UInt8]] {
        let hex = piece.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        var texts = [hex, hex.uppercased()]
        // Base64 takes three bytes at a time, and the piece may begin at any of them. Of its ends only whole groups count.
        for skipped in 0..<3 {
            let inner = piece.dropFirst(skipped)
            let encoded = Data(inner.prefix(inner.count / 3 * 3)).base64EncodedString()
            texts.append(encoded)
            texts.append(
                encoded.replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_"))
        }
        return [piece] + texts.map { Array($0.utf8) }
    }

    private static func contains(_ log: [UInt8], _ needle: [UInt8]) -> Bool {
        guard !needle.isEmpty, log.count >= needle.count else { return false }
        return Data(log).range(of: Data(needle)) != nil
    }
}
