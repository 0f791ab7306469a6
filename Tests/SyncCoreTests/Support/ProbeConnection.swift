import NIOCore
import SyncProtocol

/// A connection that only tells which notifications it is offered.
final class ProbeConnection: FrameConnection {
    private let onOffer: @Sendable (ByteBuffer) -> Void

    init(onOffer: @escaping @Sendable (ByteBuffer) -> Void) { self.onOffer = onOffer }

    func receive() async -> ReceivedMessage { .ended(.failed) }

    func offer(_ notification: Broadcast) -> OfferResult {
        self.onOffer(notification.message)
        return .queued
    }

    func enqueue(_ frame: ByteBuffer) {}

    func room() async throws(ConnectionEnded) {}

    func close(_ frame: CloseFrame) {}

    func closeDiscardingQueue(_ frame: CloseFrame) {}

    func closeEcho() {}

    func abort() {}

    func waitUntilClosed() async {}

    func whenClosed(_ body: @escaping @Sendable () -> Void) {}
}
