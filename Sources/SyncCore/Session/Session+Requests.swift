import Logging
import SyncAuth
import SyncProtocol

extension Session {
    func context(of request: ClientFrame.Request, as principal: Principal) -> RPCContext {
        RPCContext(
            requestID: request.id, principal: principal, session: self, services: self.services, logger: self.logger)
    }

    /// Handles one request to its end: every request is answered exactly once unless the connection ends first.
    func handle(_ request: ClientFrame.Request, _ context: RPCContext) async {
        let start = ContinuousClock.now
        let row = self.services.methods.request(request.method)
        let method = row?.method.rawValue ?? MethodTable.unknownMethod
        let outcome = await self.outcome(of: request, row, context)
        let duration = ContinuousClock.now - start
        self.services.metrics.requestFinished(method: method, outcome: outcome.label, duration: duration)
        self.logger.debug(
            "RPC finished",
            metadata: Logger.metadata([
                .method: method, .requestID: context.requestIDForLog, .outcome: outcome.label,
                .durationMilliseconds: "\(duration / .milliseconds(1))",
            ]))
        self.finishWork()
    }

    func handle(_ notification: ClientFrame.Notification, as principal: Principal) {
        if let row = self.services.methods.notification(notification.method) {
            let context = RPCContext(
                requestID: "", principal: principal, session: self, services: self.services, logger: self.logger)
            row.run(notification.params, context)
        }
        self.finishWork()
    }

    private func outcome(
        of request: ClientFrame.Request, _ row: MethodTable.Request?, _ context: RPCContext
    ) async -> RPCOutcome {
        guard let row else {
            return await self.answer(RPCError(.methodNotFound, "unknown method: \(request.method)"), context)
        }
        do {
            return try await row.run(request.params, context)
        } catch {
            guard case .refused(let refusal) = error else { return .unanswered }
            context.logInternal(refusal, method: row.method.rawValue)
            return await self.answer(refusal, context)
        }
    }

    private func answer(_ error: RPCError, _ context: RPCContext) async -> RPCOutcome {
        do { try await context.room() } catch { return .unanswered }
        context.enqueue(error)
        return .refused(error.code)
    }
}
