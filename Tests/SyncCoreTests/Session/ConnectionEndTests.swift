import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncCore

/// docs/contract/operations.md §11.
@Suite("The line of a connection's end", .timeLimit(.minutes(5)))
struct ConnectionEndTests {
    private func endings(_ harness: EngineHarness) -> [String] {
        harness.logs.lines.filter { $0.contains(" connection ended ") }
    }

    @Test("One line, with the reason, the duration and what has passed")
    func line() async throws {
        try await EngineHarness.run { harness in
            let client = harness.connect()
            _ = try await client.subscribe(Principal.fixture().space)
            _ = try await client.push([.fixture(1)], to: Principal.fixture().space)
            #expect(self.endings(harness).isEmpty)
            client.connection.sendClose()
            await harness.waitUntilServed(client)

            #expect(self.endings(harness).count == 1)
            let line = try #require(self.endings(harness).first)
            #expect(line.hasPrefix("info "))
            for pair in [
                "reason=peer_closed", "requests=2", "messages_in=3", "messages_out=2", "family=less", "connection_id=",
                "duration_ms=",
            ] {
                #expect(line.contains(pair), "\(pair) in \(line)")
            }
            #expect(!line.contains("bytes_in=0") && !line.contains("bytes_out=0"), "\(line)")
        }
    }

    @Test("What this side closes with is the reason")
    func ownClose() async throws {
        try await EngineHarness.run { harness in
            let client = harness.connect()
            try await client.settle()
            client.connection.sendText()
            await harness.waitUntilServed(client)
            let line = try #require(self.endings(harness).first)
            #expect(line.hasPrefix("info ") && line.contains("reason=protocol_error"), "\(line)")
        }
    }

    @Test("Who never authenticated is told of at debug level only")
    func unauthenticated() async throws {
        try await EngineHarness.run { harness in
            let client = harness.open()
            client.authenticate("nonsense")
            await harness.waitUntilServed(client)
            let line = try #require(self.endings(harness).first)
            #expect(line.hasPrefix("debug ") && line.contains("reason=auth_failed"), "\(line)")
            #expect(line.contains("requests=0"), "\(line)")
        }
    }

    @Test("A connection that breaks is lost")
    func lost() async throws {
        try await EngineHarness.run { harness in
            let client = harness.connect()
            try await client.settle()
            client.connection.fail()
            await harness.waitUntilServed(client)
            let line = try #require(self.endings(harness).first)
            #expect(line.contains("reason=connection_lost"), "\(line)")
        }
    }
}
