import SyncCore
import Testing

@testable import SyncServer

@Suite("Serve command")
struct ServeCommandTests {
    @Test("dev keeps its database and files in the data directory, whatever the environment names")
    func devDatabase() throws {
        let environment = [
            "DATABASE_URL": "postgres://localhost/production", "DATABASE_URL_FILE": "/none",
            "FILE_STORAGE_BACKEND": "s3", "FILE_STORAGE_PATH": "/var/production",
        ]
        let configuration = try ServeCommand(.dev, environment: environment).configuration(
            [], dataDirectory: "/tmp/somewhere")
        #expect(configuration.database == .sqlite(path: "/tmp/somewhere/less-sync.db"))
        #expect(configuration.fileStorage == .local)
        #expect(configuration.fileStoragePath == "/tmp/somewhere/files")
        #expect(configuration.listenAddress == ListenAddress(host: "127.0.0.1", port: 5379))
        let withoutFiles = try ServeCommand(.dev).configuration(
            ["--file-storage-backend", "none"], dataDirectory: "/tmp/somewhere")
        #expect(withoutFiles.fileStorage == .none)
    }

    @Test("A flag wins over the environment")
    func flags() throws {
        let environment = ["LISTEN_ADDR": "127.0.0.1:1", "TRUSTED_ISSUERS": "https://a.example"]
        let configuration = try ServeCommand(.serve, environment: environment).configuration(
            ["--listen-addr", "127.0.0.1:2"], dataDirectory: "./data")
        #expect(configuration.listenAddress.port == 2)
    }

    @Test("Performance mode lifts the limit of connections per mailbox, and nothing else does")
    func performanceMode() throws {
        var configuration = ServerConfiguration()
        configuration.connectionsPerMailboxMax = 7
        #expect(Server.Parts(configuration).engine.connectionsPerMailboxMax == 7)
        configuration.isPerformanceMode = true
        #expect(Server.Parts(configuration).engine.connectionsPerMailboxMax == nil)
    }

    @Test("Limits of the configuration reach the parts that keep them")
    func limits() {
        var configuration = ServerConfiguration()
        configuration.connectionsMax = 11
        configuration.unauthenticatedConnectionsMax = 5
        configuration.recordBlobBytesMax = 1_000
        configuration.enforcesTokenExpiry = true
        let parts = Server.Parts(configuration)
        #expect(parts.http.connectionsMax == 11)
        #expect(parts.http.unauthenticatedConnectionsMax == 5)
        #expect(parts.engine.recordBlobBytesMax == 1_000)
        #expect(parts.engine.enforcesTokenExpiry)
    }
}
