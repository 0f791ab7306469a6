import SyncAuth
import SyncClient
import SyncProtocol
import SyncTesting
import Testing

/// A pull in progress that its client does not read, which keeps a graceful shutdown busy.
enum BusyPull {
    static func start(port: Int, issuer: TestIssuerServer) async throws -> WireClient {
        let url = "http://127.0.0.1:\(port)/api/v1/ws"
        let user = issuer.user("alice")
        let space = try #require(user.personalSpace).wireText
        let pusher = try await SyncClient.connect(to: url, token: try issuer.token(user))
        for number in 1...40 {
            _ = try await pusher.push(PushParams(space: space, changes: [.large(number, bytes: 1 << 20)]))
        }
        await pusher.close()

        let client = try await WireClient.connect(to: url, offering: ["less-rpc-v1"])
        client.send(FrameEncoder.auth(token: try issuer.token(user)))
        client.request("pull", .pull, PullParams(spaces: [.init(id: space, since: 0)]))
        _ = try await client.next()
        return client
    }
}
