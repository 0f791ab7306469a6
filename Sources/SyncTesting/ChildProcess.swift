import CSpawn
import Foundation
import Glibc
import Synchronization

/// A program that runs as another process. It is killed when its value goes away.
///
/// It gets its three standard streams and nothing else of this process: the sockets of tests would not close while it holds
/// them. Its end is noticed by asking for it. `Foundation.Process` notices an end by the closing of a descriptor, which other
/// processes that are started at the same moment may have inherited.
package final class ChildProcess: Sendable {
    package enum Failure: Error, Sendable {
        case notStarted(program: String, code: Int32)
        case failed(program: String, status: Int32, output: String)
        /// It has been killed.
        case notEnded(program: String, limit: Duration, output: String)
    }

    package let id: Int32
    private let program: String
    private let leadsGroup: Bool
    /// As `waitpid` tells it; `nil` while the process runs.
    private let status = Mutex<Int32?>(nil)

    /// - Parameters:
    ///   - command: the path of the program, and its arguments.
    ///   - environment: the whole environment; `nil`: that of this process.
    ///   - directory: the working directory.
    ///   - input: the descriptor that becomes the standard input; `nil`: nothing to read.
    ///   - output: the file that standard output is added to.
    ///   - errors: the file that standard error is added to; `nil`: the same.
    ///   - leadsGroup: what it starts, and leaves behind, ends when it has ended or is killed.
    /// - Throws: `Failure.notStarted`.
    package init(
        _ command: [String], environment: [String: String]? = nil, directory: String = "/tmp", input: Int32? = nil,
        output: String = "/dev/null", errors: String? = nil, leadsGroup: Bool = false
    ) throws {
        let program = command.first ?? ""
        self.program = program
        self.leadsGroup = leadsGroup

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        } else {
            posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        }
        let appending = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, appending, 0o600)
        if let errors {
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, appending, 0o600)
        } else {
            posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        }
        cspawn_add_directory(&actions, directory)
        cspawn_add_close_from(&actions, STDERR_FILENO + 1)

        // Threads of the concurrency pool block most signals. A child would inherit that, and a shell never hear of an end.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        let flags = POSIX_SPAWN_SETSIGMASK | (leadsGroup ? POSIX_SPAWN_SETPGROUP : 0)
        posix_spawnattr_setflags(&attributes, Int16(flags))

        var id: pid_t = 0
        let environment = environment ?? ProcessInfo.processInfo.environment
        let code = Self.withCStrings(command) { command in
            Self.withCStrings(environment.map { "\($0)=\($1)" }) { environment in
                posix_spawn(&id, program, &actions, &attributes, command, environment)
            }
        }
        guard code == 0 else { throw Failure.notStarted(program: program, code: code) }
        self.id = id
    }

    deinit { self.kill() }

    private static func withCStrings<Result>(
        _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let pointers = texts.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        return body(pointers + [nil])
    }

    /// Runs a program to its end.
    ///
    /// - Returns: What it wrote.
    /// - Throws: `Failure`; `CancellationError` when the task is cancelled, and then the program is killed.
    @discardableResult
    package static func run(
        _ command: [String], directory: String = "/tmp", within limit: Duration
    ) async throws -> String {
        let path = FileManager.default.temporaryDirectory.path + "/less-sync-run-" + UUID().uuidString
        defer { unlink(path) }
        func output() -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
        let process = try ChildProcess(command, directory: directory, output: path)
        do {
            let status = try await process.waitUntilExit(within: limit)
            guard status == 0 else {
                throw Failure.failed(program: process.program, status: status, output: output())
            }
        } catch is ConditionNotMet {
            process.kill()
            throw Failure.notEnded(program: process.program, limit: limit, output: output())
        }
        return output()
    }

    package var isRunning: Bool {
        self.status.withLock { status in
            self.update(&status)
            return status == nil
        }
    }

    package func send(_ signal: Int32) {
        self.status.withLock { status in
            self.update(&status)
            if status == nil { _ = Glibc.kill(self.id, signal) }
        }
    }

    /// Ends it, and the group that it leads, and returns when it has ended.
    package func kill() {
        self.status.withLock { status in
            self.update(&status)
            guard status == nil else { return }
            _ = Glibc.kill(self.leadsGroup ? -self.id : self.id, SIGKILL)
            var value: Int32 = 0
            while waitpid(self.id, &value, 0) < 0, errno == EINTR {}
            status = value
        }
    }

    /// - Returns: The exit code, or the signal's number negated.
    /// - Throws: `ConditionNotMet` after `limit`, and the process runs on; `CancellationError`.
    package func waitUntilExit(within limit: Duration) async throws -> Int32 {
        try await eventually("the end of \(self.program)", within: limit) { !self.isRunning }
        let status = self.status.withLock { $0 } ?? 0
        let signal = status & 0x7F
        return signal == 0 ? (status >> 8) & 0xFF : -signal
    }

    private func update(_ status: inout Int32?) {
        guard status == nil else { return }
        if self.leadsGroup {
            // The group has its number for as long as nobody has waited for the leader.
            var ended = siginfo_t()
            guard waitid(P_PID, id_t(self.id), &ended, WEXITED | WNOHANG | WNOWAIT) == 0, ended.si_signo == SIGCHLD
            else { return }
            _ = Glibc.kill(-self.id, SIGKILL)
        }
        var value: Int32 = 0
        if waitpid(self.id, &value, WNOHANG) == self.id { status = value }
    }
}
