package import Hummingbird
import NIOCore
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

    /// To be called before the body of the request is read: a client that waits to be asked for it sends it now.
    package func readsBody() { self.channel.triggerUserOutboundEvent(HTTPContinueEvent(), promise: nil) }
}
