import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import SyncAuth

/// The stages in front of every handler, in the contract's order (docs/contract/http.md §2): preflight, credentials,
/// routing. Common headers are the front's business, since responses exist that never come here.
struct RequestGate: RouterMiddleware {
    typealias Context = SyncRequestContext

    /// An X-UCAN header longer than this is refused, in bytes.
    static let ucanBytesMax = 65_536

    let routes: RouteTable
    /// `nil` when the server has no trusted issuer.
    let tokens: (any TokenValidator)?
    let metrics: HTTPMetrics?

    func handle(
        _ request: Request, context: SyncRequestContext,
        next: @concurrent (Request, SyncRequestContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        var response: Response
        do {
            response = try await self.respond(to: request, context, next)
        } catch let failure as HTTPFailure {
            response = failure.response
        } catch let error as HTTPParserError {
            throw error
        } catch is NIOTooManyBytesError {
            response = HTTPFailure(.contentTooLarge, "request body too large").response
        } catch  where Self.isEndOfConnection(error) {
            // Nobody hears the answer; it is counted as what the client did.
            context.logger.debug(
                "connection lost during a request",
                metadata: ["route": "\(self.routes.template(request.uri.path) ?? "unknown")"])
            response = HTTPFailure(.badRequest, "connection lost").response
        } catch {
            context.logger.error("request failed", metadata: ["error": "\(type(of: error))"])
            response = HTTPFailure.internalError.response
        }
        for field in self.routes.headers(request.uri.path) where !response.headers.contains(field.name) {
            response.headers.append(field)
        }
        self.metrics?.finished(
            route: self.routes.template(request.uri.path), method: request.method, status: response.status,
            duration: ContinuousClock.now - start)
        return request.method == .head ? response.createHeadResponse() : response
    }

    private func respond(
        to request: Request, _ context: SyncRequestContext,
        _ next: @concurrent (Request, SyncRequestContext) async throws -> Response
    ) async throws -> Response {
        guard request.method != .options else { return Response(status: .noContent) }
        var context = context
        let path = request.uri.path
        if !self.routes.isPublic(path) {
            context.principal = try await self.authenticate(request.headers)
        }
        switch self.routes.match(request.method, path) {
        case .found:
            return try await next(request, context)
        case .unknownPath:
            return Response(status: .notFound)
        case .wrongMethod(let allowed):
            return Response(status: .methodNotAllowed, headers: [.allow: Self.list(allowed)])
        }
    }

    /// The value of `Allow`.
    static func list(_ methods: [HTTPRequest.Method]) -> String { methods.map(\.rawValue).joined(separator: ", ") }

    /// What reading a body ends with when the client is gone.
    private static func isEndOfConnection(_ error: any Error) -> Bool {
        error is IOError || error is ChannelError
    }

    /// docs/contract/http.md §3. Only the first `Authorization` header counts.
    private func authenticate(_ headers: HTTPFields) async throws -> Principal {
        guard let tokens = self.tokens else {
            throw HTTPFailure(.internalServerError, "auth validator is not configured")
        }
        guard let value = headers[values: .authorization].first else {
            self.metrics?.hadNoToken(.missing)
            throw HTTPFailure(.unauthorized, "missing authorization")
        }
        guard value.utf8.allSatisfy({ (0x20...0x7E).contains($0) || $0 == 0x09 }), value.hasPrefix("Bearer ") else {
            // An empty token arrives without the space in front of it.
            self.metrics?.hadNoToken(value == "Bearer" ? .missing : .invalid)
            throw HTTPFailure(.unauthorized, "invalid authorization header format")
        }
        let principal: Principal
        do throws(TokenError) {
            principal = try await tokens.validate(String(value.dropFirst("Bearer ".count)))
        } catch {
            throw HTTPFailure(.unauthorized, error.httpMessage)
        }
        if let ucan = headers[values: .ucan].first, ucan.utf8.count > Self.ucanBytesMax {
            throw HTTPFailure(.unauthorized, "X-UCAN header too large")
        }
        return principal
    }
}

extension HTTPField.Name {
    /// `X-UCAN`, written in lower case, which no character of it can make invalid.
    static var ucan: Self { Self(parsed: "x-ucan") ?? .authorization }
}
