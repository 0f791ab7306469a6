package import Hummingbird

/// One path with its methods. Several values may name the same path.
package struct HTTPRoute: Sendable {
    package typealias Handler = @Sendable (Request, SyncRequestContext) async throws -> Response

    /// Compared exactly; a segment in braces is a parameter.
    package let path: String
    /// Served without credentials.
    package let isPublic: Bool
    /// `HEAD` is answered wherever `GET` is, unless the route is an upgrade.
    package let methods: [HTTPRequest.Method]
    package let handler: Handler

    /// - Parameter methods: not empty; in the order of the `Allow` header.
    package init(
        _ methods: [HTTPRequest.Method], _ path: String, isPublic: Bool = false, handler: @escaping Handler
    ) {
        self.methods = methods
        self.path = path
        self.isPublic = isPublic
        self.handler = handler
    }
}

/// Which paths and methods exist: what a router does not say when nothing matches.
struct RouteTable: Sendable {
    enum Match: Equatable {
        case found
        case unknownPath
        case wrongMethod(allowed: [HTTPRequest.Method])
    }

    private struct Entry {
        let path: String
        let segments: [Substring]
        let isPublic: Bool
        var methods: [HTTPRequest.Method]
    }

    private var entries: [Entry] = []

    init(_ routes: [HTTPRoute]) {
        for route in routes {
            let segments = Self.segments(route.path)
            if let index = self.entries.firstIndex(where: { $0.segments == segments }) {
                self.entries[index].methods += route.methods
            } else {
                self.entries.append(
                    Entry(path: route.path, segments: segments, isPublic: route.isPublic, methods: route.methods))
            }
        }
    }

    /// Public paths are those of the table, compared exactly: `/health/` is not `/health`.
    func isPublic(_ path: String) -> Bool { self.entry(path)?.isPublic ?? false }

    /// The path of the route as it was declared, with its parameters in braces.
    func template(_ path: String) -> String? { self.entry(path)?.path }

    func match(_ method: HTTPRequest.Method, _ path: String) -> Match {
        guard let entry = self.entry(path) else { return .unknownPath }
        return entry.methods.contains(method) ? .found : .wrongMethod(allowed: entry.methods)
    }

    private func entry(_ path: String) -> Entry? {
        let segments = Self.segments(path)
        return self.entries.first { entry in
            entry.segments.count == segments.count
                && zip(entry.segments, segments).allSatisfy { pattern, segment in
                    pattern.first == "{" ? !segment.isEmpty : pattern == segment
                }
        }
    }

    private static func segments(_ path: String) -> [Substring] {
        path.split(separator: "/", omittingEmptySubsequences: false)
    }
}
