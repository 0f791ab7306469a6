import FoundationEssentials
import SyncAuth
import SyncClient
import SyncProtocol

/// Tokens for the connections of a run: which space each may write is written in them.
struct BenchTokens: Sendable {
    struct Grant: Hashable, Sendable {
        let token: String
        /// The personal space.
        let space: String
    }

    /// Calls of an issuer in progress at most.
    private static let callsMax = 32
    private static let fileBytesMax = 64 << 20

    /// For each connection the number of its space, from 0.
    let spaces: [Int]
    let options: BenchOptions

    /// - Throws: `BenchError.tokens`.
    func fetch() async throws -> [Grant] {
        switch self.options.tokens {
        case .devIssuer(let url): return try await self.fetch(from: url)
        case .file(let path):
            guard let content = FileManager.default.contents(atPath: path) else {
                throw BenchError.tokens("cannot read \(path)")
            }
            guard content.count <= Self.fileBytesMax else { throw BenchError.tokens("\(path) is too long") }
            return try self.grants(from: String(decoding: content, as: UTF8.self))
        }
    }

    private func fetch(from url: String?) async throws -> [Grant] {
        guard let endpoint = BenchEndpoint(url ?? self.options.url) else { throw BenchError.tokens("no address") }
        // Personal spaces belong to a user and a client together: a user each keeps the runs apart.
        let user = self.options.user ?? "bench-\(UUID().uuidString.lowercased())"
        let requests = self.spaces.enumerated().map { number, space in
            DevTokens.Request(
                user: "\(user)-\(space)", client: "less-sync-bench", mailbox: Self.mailbox(of: number))
        }
        do {
            let answers = try await DevTokens(try DemoEndpoint(endpoint.origin))
                .fetch(requests, atOnce: Self.callsMax)
            return answers.map { Grant(token: $0.token, space: $0.space.wireText) }
        } catch let error as DemoError {
            throw BenchError.tokens(String(describing: error))
        }
    }

    /// 64 hexadecimal digits (docs/contract/auth.md §2.4).
    private static func mailbox(of number: Int) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 64 - digits.count) + digits
    }

    /// Distributes the tokens of a file: its personal spaces are numbered in the order of their first token, and the
    /// connections of a space take turns in using its tokens.
    func grants(from text: String) throws(BenchError) -> [Grant] {
        var tokens: [String: [String]] = [:]
        var order: [String] = []
        for (number, line) in text.split(whereSeparator: \.isNewline).enumerated() {
            let token = String(line.filter { !$0.isWhitespace })
            guard !token.isEmpty else { continue }
            guard let space = Self.personalSpace(of: token) else {
                throw .tokens("token \(number + 1) of the file names no personal space")
            }
            if tokens[space] == nil { order.append(space) }
            tokens[space, default: []].append(token)
        }
        let needed = (self.spaces.max() ?? 0) + 1
        guard order.count >= needed else {
            throw .tokens("the file has tokens for \(order.count) personal spaces; \(needed) are needed")
        }
        var used: [Int: Int] = [:]
        return self.spaces.map { space in
            let all = tokens[order[space], default: []]
            defer { used[space, default: 0] += 1 }
            return Grant(token: all[used[space, default: 0] % all.count], space: order[space])
        }
    }

    private struct Claims: Decodable {
        let personalSpaceID: String

        enum CodingKeys: String, CodingKey {
            case personalSpaceID = "personal_space_id"
        }
    }

    /// Read, not verified: that is the server's business.
    private static func personalSpace(of token: String) -> String? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let payload = Base64URL.decode(String(parts[1])),
            let claims = try? JSONDecoder().decode(Claims.self, from: Data(payload))
        else { return nil }
        return SpaceID(wireText: claims.personalSpaceID)?.wireText
    }
}
