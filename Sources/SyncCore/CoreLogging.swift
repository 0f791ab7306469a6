import Logging
import SyncProtocol

/// Keys of log metadata (docs/contract/operations.md §11). Values never hold tokens, keys, blobs or mailbox ids.
enum LogKey: String {
    case connectionID = "connection_id"
    case requestID = "request_id"
    case method
    case spaceID = "space_id"
    case outcome
    case durationMilliseconds = "duration_ms"
    case closeCode = "close_code"
    case closeReason = "close_reason"
    case family
    case step
    case count
    case action
    case error
    case reason
    case requests
    case messagesIn = "messages_in"
    case bytesIn = "bytes_in"
    case messagesOut = "messages_out"
    case bytesOut = "bytes_out"
}

extension Logger {
    /// Metadata under keys of `LogKey` alone.
    static func metadata(_ values: KeyValuePairs<LogKey, String>) -> Logger.Metadata {
        Logger.Metadata(values.map { ($0.key.rawValue, .string($0.value)) }, uniquingKeysWith: { _, last in last })
    }
}
