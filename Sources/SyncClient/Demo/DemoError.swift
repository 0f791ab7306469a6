package import SyncProtocol

/// Why a demo run ended early; each reads as a sentence for people.
package enum DemoError: Error, Hashable, Sendable {
    case invalidURL(String)
    case noServer(url: String, detail: String)
    case notDevServer(url: String, detail: String)
    case tokenRefused(String)
    /// Not a folder, or one that cannot be read.
    case folder(String, reason: String)
    /// One line for each of the first few; `count` of all.
    case unsendable([String], count: Int)
    case file(String, reason: String)
    case pushRefused(RPCErrorCode)
    case notSubscribed(String)
    case notPulled
    case stalled(seconds: Int)
    case connection(device: String, SyncClientError)
    case mismatch(device: String, DemoMismatch)
    /// Of the second act: something was not as it should be.
    case sharing(String)
    /// Of the third act.
    case files(String)
}

/// Why what a device received is not what was sent.
package enum DemoMismatch: Error, Hashable, Sendable {
    case gap(expected: Int64, found: Int64)
    case undecryptable(Int64)
    case malformed(Int64)
    case deleted(Int64)
    case afterManifest(Int64)
    case misplaced(path: String, index: Int64)
    case size(path: String)
    case hash(path: String)
    case unfinished(path: String)
    case manifest
    /// The space has been read to its end.
    case incomplete
}

extension DemoError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .invalidURL(let url): "\(url) is not the http or https address of a server"
        case .noServer(let url, let detail):
            "no server answers at \(url) (\(detail)). Start one with: less-sync dev"
        case .notDevServer(let url, let detail):
            "the server at \(url) issues no development tokens (\(detail)). Start one with: less-sync dev"
        case .tokenRefused(let detail): "the server refused to issue a token: \(detail)"
        case .folder(let path, let reason): "cannot read the folder \(DisplayText.path(path)): \(reason)"
        case .unsendable(let lines, let count):
            (lines + (count > lines.count ? ["… and \(count - lines.count) more"] : [])).joined(separator: "\n")
        case .file(let path, let reason): "cannot read \(DisplayText.path(path)): \(reason)"
        case .pushRefused(let code): "the server refused a push: \(code.rawValue)"
        case .notSubscribed(let code): "the server refused the subscription: \(code)"
        case .notPulled: "the server left the space out of a pull"
        case .stalled(let seconds): "the subscriber has received nothing for \(seconds) s and is not complete"
        case .connection(let device, let error): "device \(device): \(error)"
        case .mismatch(let device, let mismatch): "device \(device): \(mismatch)"
        case .sharing(let detail), .files(let detail): detail
        }
    }
}

extension DemoMismatch: CustomStringConvertible {
    package var description: String {
        switch self {
        case .gap(let expected, let found): "record \(expected) is missing: record \(found) came in its place"
        case .undecryptable(let record): "record \(record) does not decrypt: it was changed"
        case .malformed(let record): "record \(record) decrypts to something else than a part of a file"
        case .deleted(let record): "record \(record) was deleted"
        case .afterManifest(let record): "record \(record) came after the last one"
        case .misplaced(let path, let index): "part \(index) of \(DisplayText.path(path)) came out of place"
        case .size(let path): "\(DisplayText.path(path)) has another size than it should"
        case .hash(let path): "\(DisplayText.path(path)) has another SHA-256 than it should"
        case .unfinished(let path): "the end of \(DisplayText.path(path)) is missing"
        case .manifest: "the files received are not those of the manifest"
        case .incomplete: "the space ends before the manifest: records are missing"
        }
    }
}
