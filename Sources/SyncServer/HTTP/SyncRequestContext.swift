package import Hummingbird
package import NIOCore
package import SyncAuth
import SyncTransport

/// What travels with a request.
package struct SyncRequestContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    /// Set on every route that is not public.
    package var principal: Principal?

    private let channel: any Channel

    package init(source: Source) {
        self.coreContext = .init(source: source)
        self.channel = source.channel
    }

    /// Sends bytes of the body of a response whose head has been written, past the writer of the body, which knows no files and
    /// buffers without a bound while the event loop is busy. A file handle is closed afterwards.
    ///
    /// - Returns: Completes when the socket has taken them.
    package func send(_ bytes: IOData) -> EventLoopFuture<Void> {
        let promise = self.channel.eventLoop.makePromise(of: Void.self)
        self.channel.triggerUserOutboundEvent(HTTPBodyEvent(bytes), promise: promise)
        if case .fileRegion(let region) = bytes {
            promise.futureResult.whenComplete { _ in try? region.fileHandle.close() }
        }
        return promise.futureResult
    }

    /// Waits until bytes have been sent. A task that is cancelled meanwhile closes the connection.
    package func wait(for sent: EventLoopFuture<Void>) async throws {
        try await withTaskCancellationHandler {
            try await sent.get()
        } onCancel: {
            self.channel.close(promise: nil)
        }
    }

    /// To be called before the body of the request is read: a client that waits to be asked for it sends it now.
    package func readsBody() { self.channel.triggerUserOutboundEvent(HTTPContinueEvent(), promise: nil) }
}
