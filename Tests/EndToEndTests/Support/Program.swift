import Foundation
import Glibc
import SyncTesting
import Synchronization

/// The real program, as another process. It is killed when its value goes away.
///
/// Started and awaited by system calls of its own: `Foundation.Process` notices an end by the closing of a descriptor, which
/// other processes that are started at the same moment may have inherited.
final class Program: Sendable {
    enum Failure: Error {
        case notStarted(code: Int32)
        case notListening(output: String, errors: String)
    }

    let id: Int32
    /// Where its output goes.
    private let outputPath: String
    private let errorPath: String
    /// As `waitpid` tells it; `nil` while the process runs.
    private let status = Mutex<Int32?>(nil)

    /// Beside the bundle of these tests.
    static let path: String = {
        let directory = URL(fileURLWithPath: CommandLine.arguments.first ?? "").deletingLastPathComponent()
        return directory.appendingPathComponent("less-sync").path
    }()

    /// - Parameters:
    ///   - environment: the whole environment.
    ///   - directory: the working directory.
    ///   - openFiles: the soft limit of open files; `nil`: that of the tests.
    ///   - executable: another program than less-sync.
    init(
        _ arguments: [String], environment: [String: String] = [:], directory: String = "/tmp", openFiles: Int? = nil,
        executable: String = Program.path
    ) throws {
        let base = FileManager.default.temporaryDirectory.path + "/less-sync-program-" + UUID().uuidString
        self.outputPath = base + ".out"
        self.errorPath = base + ".err"
        // What the program runs counts as covered too, in a profile of its own beside that of the tests.
        let profile = ProcessInfo.processInfo.environment["LLVM_PROFILE_FILE"].map {
            URL(fileURLWithPath: $0).deletingLastPathComponent().appendingPathComponent("program-%p.profraw").path
        }
        let environment = environment.merging(["LLVM_PROFILE_FILE": profile ?? "/dev/null"]) { $1 }

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, self.outputPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, self.errorPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)

        // Threads of the concurrency pool block most signals, and a child would inherit that.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))

        var id: pid_t = 0
        // The shell is there for the working directory and the limit alone: the program takes its place, and its process id.
        let limit = openFiles.map { "ulimit -Sn \($0) && " } ?? ""
        let script = limit + #"cd "$1" && shift && exec "$@""#
        let command = ["/bin/sh", "-c", script, "sh", directory, executable] + arguments
        let code = Self.withCStrings(command) { command in
            Self.withCStrings(environment.map { "\($0)=\($1)" }) { environment in
                posix_spawn(&id, "/bin/sh", &actions, &attributes, command, environment)
            }
        }
        guard code == 0 else { throw Failure.notStarted(code: code) }
        self.id = id
    }

    deinit {
        if self.isRunning {
            kill(self.id, SIGKILL)
            waitpid(self.id, nil, 0)
        }
        unlink(self.outputPath)
        unlink(self.errorPath)
    }

    private static func withCStrings<Result>(
        _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let pointers = texts.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        return body(pointers + [nil])
    }

    var standardOutput: String { (try? String(contentsOfFile: self.outputPath, encoding: .utf8)) ?? "" }
    var standardError: String { (try? String(contentsOfFile: self.errorPath, encoding: .utf8)) ?? "" }

    /// Lines on standard error that report something.
    var errorLines: [Substring] { self.standardError.split(separator: "\n").filter { $0.hasPrefix("Error: ") } }

    func send(_ signal: Int32) {
        if self.isRunning { kill(self.id, signal) }
    }

    var isRunning: Bool {
        self.status.withLock { status in
            if status == nil {
                var value: Int32 = 0
                if waitpid(self.id, &value, WNOHANG) == self.id { status = value }
            }
            return status == nil
        }
    }

    /// - Returns: The exit code, or the signal's number negated.
    func waitUntilExit(within limit: Duration = .seconds(40)) async throws -> Int32 {
        try await eventually("less-sync ends", within: limit) { !self.isRunning }
        let status = self.status.withLock { $0 } ?? 0
        let signal = status & 0x7F
        return signal == 0 ? (status >> 8) & 0xFF : -signal
    }

    /// The port of the line `server listening`; the log must be JSON.
    func port() async throws -> Int {
        var port: Int?
        try? await eventually("less-sync listens", within: .seconds(40)) {
            let hasEnded = !self.isRunning
            port = Self.port(in: self.standardOutput)
            return port != nil || hasEnded
        }
        guard let port else { throw Failure.notListening(output: self.standardOutput, errors: self.standardError) }
        return port
    }

    private static func port(in log: String) -> Int? {
        let lines = log.split(separator: "\n").filter { $0.contains(#""message":"server listening""#) }
        guard let line = lines.first, let start = line.firstRange(of: #""addr":""#)?.upperBound else { return nil }
        let address = line[start...].prefix { $0 != "\"" }
        return address.split(separator: ":").last.flatMap { Int($0) }
    }
}
