import Metrics
import NIOCore

/// Counts the bytes of files that come and go in bodies of requests and responses, those of transfers that fail included
/// (docs/contract/operations.md §12).
struct FileTraffic: Sendable {
    private let receivedBytes: Counter
    private let sentBytes: Counter

    init(factory: any MetricsFactory) {
        self.receivedBytes = Counter(
            label: "file_bytes_total", dimensions: [("direction", "received")], factory: factory)
        self.sentBytes = Counter(label: "file_bytes_total", dimensions: [("direction", "sent")], factory: factory)
    }

    func received(_ bytes: ByteBuffer) { self.receivedBytes.increment(by: bytes.readableBytes) }

    /// - Parameter sent: Completes when the socket has taken them.
    func sends(_ count: Int, _ sent: EventLoopFuture<Void>) {
        sent.whenSuccess { self.sentBytes.increment(by: count) }
    }
}
