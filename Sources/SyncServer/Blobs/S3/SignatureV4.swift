import Crypto
import FoundationEssentials
import SyncStorage

/// Signs requests as AWS Signature Version 4 says ("Authenticating Requests: Using the Authorization Header", Amazon S3 API
/// Reference). Pure: the time is a value.
struct SignatureV4: Sendable {
    /// Of no bytes.
    static let emptyPayloadHash = Self.hex(SHA256.hash(data: [UInt8]()))

    let accessKey: String
    let secretKey: Secret<String>
    let region: String

    /// The value of the `Authorization` header.
    ///
    /// - Parameters:
    ///   - path: as in the request line, percent-encoded.
    ///   - query: names and values, not encoded, in any order.
    ///   - headers: all that are signed: `host`, `x-amz-date`, `x-amz-content-sha256` and others. Names in lower case, each
    ///     once; values without white space at their ends.
    ///   - payloadHash: SHA-256 of the body in hexadecimal.
    ///   - time: as `Self.timeText`.
    func authorization(
        method: String, path: String, query: [(name: String, value: String)], headers: [(name: String, value: String)],
        payloadHash: String, time: String
    ) -> String {
        let headers = headers.sorted { $0.name < $1.name }
        let signedNames = headers.map(\.name).joined(separator: ";")
        let canonical = [
            method, path, Self.canonicalQuery(query), headers.map { "\($0.name):\($0.value)\n" }.joined(), signedNames,
            payloadHash,
        ].joined(separator: "\n")
        let date = String(time.prefix(8))
        let scope = "\(date)/\(self.region)/s3/aws4_request"
        let stringToSign = [
            "AWS4-HMAC-SHA256", time, scope, Self.hex(SHA256.hash(data: Array(canonical.utf8))),
        ].joined(separator: "\n")
        let signature = Self.hex(Self.code(stringToSign, key: self.signingKey(date: date)))
        return
            "AWS4-HMAC-SHA256 Credential=\(self.accessKey)/\(scope),SignedHeaders=\(signedNames),Signature=\(signature)"
    }

    /// `20130524T000000Z`.
    static func timeText(_ date: Date) -> String {
        date.formatted(
            Date.ISO8601FormatStyle(
                dateSeparator: .omitted, dateTimeSeparator: .standard, timeSeparator: .omitted, timeZone: .gmt))
    }

    /// Names and values encoded and sorted, as in the request line too.
    static func canonicalQuery(_ query: [(name: String, value: String)]) -> String {
        query.map { (Self.encoded($0.name), Self.encoded($0.value)) }
            .sorted { $0 < $1 }
            .map { "\($0)=\($1)" }
            .joined(separator: "&")
    }

    /// Everything but the unreserved characters of RFC 3986 is percent-encoded; in paths slashes stay.
    static func encoded(_ text: String, isPath: Bool = false) -> String {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                bytes.append(byte)
            case UInt8(ascii: "/") where isPath:
                bytes.append(byte)
            default:
                let digits = Array("0123456789ABCDEF".utf8)
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    private func signingKey(date: String) -> SymmetricKey {
        ["\(date)", self.region, "s3", "aws4_request"].reduce(
            SymmetricKey(data: Array("AWS4\(self.secretKey.reveal())".utf8))
        ) { key, text in SymmetricKey(data: Self.code(text, key: key)) }
    }

    private static func code(_ text: String, key: SymmetricKey) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key)
    }
}
