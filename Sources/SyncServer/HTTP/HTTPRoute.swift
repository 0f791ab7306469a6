package import HTTPTypes
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
    /// Its handler reads the body piece by piece and bounds it. Other bodies are cut off after 64 KiB.
    package let streamsBody: Bool
    /// On every response of the path, to `OPTIONS` too; they take the place of common headers of the same names.
    package let headers: HTTPFields
    package let handler: Handler

    /// - Parameter methods: not empty; in the order of the `Allow` header.
    package init(
        _ methods: [HTTPRequest.Method], _ path: String, isPublic: Bool = false, streamsBody: Bool = false,
        headers: HTTPFields = [:], handler: @escaping Handler
    ) {
        self.methods = methods
        self.path = path
        self.isPublic = isPublic
        self.streamsBody = streamsBody
        self.headers = headers
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
        /// Those whose handlers read the body themselves.
        var streaming: [HTTPRequest.Method]
        var headers: HTTPFields
    }

    private var entries: [Entry] = []

    init(_ routes: [HTTPRoute]) {
        for route in routes {
            let segments = Self.segments(route.path)
            if let index = self.entries.firstIndex(where: { $0.segments == segments }) {
                self.entries[index].methods += route.methods
                self.entries[index].headers.append(contentsOf: route.headers)
                if route.streamsBody { self.entries[index].streaming += route.methods }
            } else {
                self.entries.append(
                    Entry(
                        path: route.path, segments: segments, isPublic: route.isPublic, methods: route.methods,
                        streaming: route.streamsBody ? route.methods : [], headers: route.headers))
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

    /// `nil` for an unknown path.
    func methods(of path: String) -> [HTTPRequest.Method]? { self.entry(path)?.methods }

    func headers(_ path: String) -> HTTPFields { self.entry(path)?.headers ?? [:] }

    /// - Parameter path: Without a query.
    func streamsBody(_ method: String, _ path: some StringProtocol) -> Bool {
        self.entry(path)?.streaming.contains { $0.rawValue == method } ?? false
    }

    /// Asked several times for each request, so it makes nothing on the heap.
    private func entry(_ path: some StringProtocol) -> Entry? {
        self.entries.first { Self.matches($0.segments, path.utf8) }
    }

    private static func matches(_ pattern: [Substring], _ path: some Collection<UInt8>) -> Bool {
        var rest = path[...]
        for (number, segment) in pattern.enumerated() {
            let end = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
            // The last segment of one has to be the last of the other.
            guard (end == rest.endIndex) == (number == pattern.count - 1) else { return false }
            let matches = segment.first == "{" ? end > rest.startIndex : rest[..<end].elementsEqual(segment.utf8)
            guard matches else { return false }
            if end < rest.endIndex { rest = rest[rest.index(after: end)...] }
        }
        return true
    }

    private static func segments(_ path: String) -> [Substring] {
        path.split(separator: "/", omittingEmptySubsequences: false)
    }
}
