package import Hummingbird
package import SyncAuth

/// What travels with a request.
package struct SyncRequestContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    /// Set on every route that is not public.
    package var principal: Principal?

    package init(source: Source) { self.coreContext = .init(source: source) }
}
