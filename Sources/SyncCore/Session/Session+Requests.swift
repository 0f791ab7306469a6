import Logging
import SyncAuth
import SyncProtocol

extension Session {
    /// Handles one request to its end: every request is answered exactly once unless the connection ends first.
    func handle(_ request: ClientFrame.Request, _ context: RPCContext) async {
        let start = ContinuousClock.now
        var context = context
        context.began = start
        let report = await self.report(on: request, context)
        let duration = ContinuousClock.now - start
        let outcome = report.outcome.label
        self.services.metrics.requestFinished(method: context.method, outcome: outcome, duration: duration)
        self.debug(
            "RPC finished",
            context.metadata(
                [.outcome: outcome, .durationMilliseconds: "\(duration / .milliseconds(1))"], report.space))
        self.finishWork()
    }

    /// Notifications never wait.
    func handle(_ notification: ClientFrame.Notification, as principal: Principal) {
        if let row = self.services.methods.notification(notification.method) {
            row.run(notification.params, self.context(id: "", row.method, as: principal))
        }
        self.finishWork()
    }

    func context(id: String, _ method: Method?, as principal: Principal) -> RPCContext {
        RPCContext(
            requestID: id, method: method?.rawValue ?? MethodTable.unknownMethod, principal: principal, session: self)
    }

    private func report(on request: ClientFrame.Request, _ context: RPCContext) async -> RPCReport {
        guard let row = self.services.methods.request(request.method) else {
            return await self.answer(RPCError(.methodNotFound, "unknown method: \(request.method)"), context)
        }
        do {
            return try await row.run(request.params, context)
        } catch {
            guard case .refused(let refusal) = error else { return RPCReport(outcome: .unanswered) }
            return await self.answer(refusal, context)
        }
    }

    private func answer(_ error: RPCError, _ context: RPCContext) async -> RPCReport {
        do { try await context.room() } catch { return RPCReport(outcome: .unanswered) }
        context.enqueue(error)
        return RPCReport(outcome: .refused(error.code))
    }
}
