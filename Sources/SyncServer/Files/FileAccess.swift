import HTTPTypes
import Hummingbird
import Logging
import SyncAuth
import SyncCore
import SyncProtocol
import SyncStorage

/// A file that a request names, and what the caller may do there.
struct FileAccess<Grant: Sendable>: Sendable {
    let grant: Grant
    let file: FileID
}

/// Decides on requests for files in the contract's order (docs/contract/http.md §9.1).
struct FileGate: Sendable {
    let authorizer: SpaceAuthorizer
    let spaces: SpaceService

    /// Whoever finds no file has to see to the first contact.
    func authorizeRead(_ request: Request, _ context: SyncRequestContext) async throws -> FileAccess<ReadGrant> {
        let (principal, space, file) = try self.identify(context)
        do throws(AuthorizationError) {
            let grant = try await self.authorizer.authorizeRead(principal, of: space, ucan: Self.ucan(of: request))
            return FileAccess(grant: grant, file: file)
        } catch {
            throw Self.failure(error, missing: "file not found", context)
        }
    }

    func authorizeWrite(_ request: Request, _ context: SyncRequestContext) async throws -> FileAccess<WriteGrant> {
        let (principal, space, file) = try self.identify(context)
        do throws(AuthorizationError) {
            let grant = try await self.authorizer.authorizeWrite(principal, to: space, ucan: Self.ucan(of: request))
            do { try await self.spaces.firstContact(grant) } catch { throw .undecided(error) }
            return FileAccess(grant: grant, file: file)
        } catch {
            throw Self.failure(error, missing: "space not found", context)
        }
    }

    private func identify(
        _ context: SyncRequestContext
    ) throws(HTTPFailure) -> (Principal, SpaceID, FileID) {
        guard let principal = context.principal, principal.scopes.contains("files") else {
            throw HTTPFailure(.forbidden, "files scope required")
        }
        guard let space: SpaceID = context.identifier("space_id") else {
            throw HTTPFailure(.badRequest, "invalid space ID")
        }
        guard let file: FileID = context.identifier("id") else { throw HTTPFailure(.badRequest, "invalid file ID") }
        return (principal, space, file)
    }

    /// What cannot be read counts as missing.
    private static func ucan(of request: Request) -> String { request.headers.readable(.ucan) ?? "" }

    /// Refused and undecided are different answers: who could not be judged may try again.
    private static func failure(
        _ error: AuthorizationError, missing: String, _ context: SyncRequestContext
    ) -> HTTPFailure {
        switch error {
        case .refused(let refusal):
            context.logger.debug("file access refused", metadata: ["reason": "\(refusal)"])
            switch refusal {
            case .unknownSpace, .notShared: return HTTPFailure(.notFound, missing)
            case .noDelegation, .noDID: return HTTPFailure(.unauthorized, "authorization required")
            case .delegation: return HTTPFailure(.forbidden, "access denied")
            }
        case .undecided(let cause):
            context.logger.error("file access undecided", metadata: ["error": "\(cause)"])
            return .internalError
        }
    }
}

extension SyncRequestContext {
    /// A UUID in the path, in any of its forms, `nil` for anything else. The router leaves percent-encoding as it is.
    func identifier<Subject>(_ parameter: String) -> Identifier<Subject>? {
        self.parameters.get(parameter).flatMap(Self.percentDecoded).flatMap { Identifier(anyUUIDText: $0) }
    }

    private static func percentDecoded(_ text: String) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let decoded = UInt8(String(rest.prefix(2)) ?? "", radix: 16) else { return nil }
            bytes.append(decoded)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
