import Foundation
import Glibc
import NIOCore
import NIOPosix
import SyncTesting
import Testing

@Suite("Programs that tests start", .timeLimit(.minutes(2)))
struct ChildProcessTests {
    @Test("A program inherits its standard streams and no other descriptor")
    func descriptors() async throws {
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        // What lists them has one of its own for that.
        #expect(try await ChildProcess.run(["/bin/ls", "/proc/self/fd"], within: .seconds(20)) == "0\n1\n2\n3\n")
        let program = try Program(["/proc/self/fd"], executable: "/bin/ls")
        #expect(try await program.waitUntilExit() == 0)
        #expect(program.standardOutput == "0\n1\n2\n3\n")
    }

    @Test("A program that does not end within its limit is killed and named, one that fails tells why")
    func failures() async throws {
        let error = await #expect(throws: ChildProcess.Failure.self) {
            try await ChildProcess.run(["/bin/sh", "-c", "echo busy; exec sleep 60"], within: .seconds(2))
        }
        guard case .notEnded("/bin/sh", limit: .seconds(2), output: "busy\n") = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        let failure = await #expect(throws: ChildProcess.Failure.self) {
            try await ChildProcess.run(["/bin/sh", "-c", "echo no >&2; exit 3"], within: .seconds(20))
        }
        guard case .failed("/bin/sh", status: 3, output: "no\n") = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(throws: ChildProcess.Failure.self) { _ = try ChildProcess(["/no/such/program"]) }
    }

    @Test("What a shell has started ends with it, whether it ends or is killed", arguments: [false, true])
    func group(isKilled: Bool) async throws {
        let script = "sleep 600 & echo $!" + (isKilled ? "; wait" : "")
        let shell = try Program(["-c", script], executable: "/bin/bash", leadsGroup: true)
        try await eventually("the shell tells the process") { shell.standardOutput.hasSuffix("\n") }
        let id = shell.standardOutput.trimmingCharacters(in: .whitespacesAndNewlines)
        if isKilled { shell.kill() }
        #expect(try await shell.waitUntilExit() == (isKilled ? -SIGKILL : 0))
        try await eventually("the process has ended") {
            guard let state = try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8) else { return true }
            return state.contains(") Z ")
        }
    }

    @Test("Nothing that a test waits for outlasts its cancellation")
    func cancellation() async throws {
        let clock = TestClock()
        let (gate, other) = (Gate(), Gate())
        // It accepts, and says nothing.
        let silent = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0).get()
        let socket = try await TestSocket.connect(port: try #require(silent.localAddress?.port))
        let waits: [Task<Void, Never>] = [
            Task { await clock.waitForSleepers(1) },
            Task { await gate.wait() },
            Task { _ = try? await other.awaitArrival() },
            Task { _ = await socket.drop(1) },
            Task { _ = try? await eventually("never", within: .seconds(600)) { false } },
            Task { _ = try? await ChildProcess.run(["/bin/sleep", "600"], within: .seconds(600)) },
        ]
        for wait in waits { wait.cancel() }
        for wait in waits { await wait.value }
        await socket.close()
        try await silent.close()
    }
}
