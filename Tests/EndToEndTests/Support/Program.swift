import Foundation
import Glibc
import SyncTesting

/// The real program, as another process. It is killed when its value goes away.
final class Program: Sendable {
    enum Failure: Error {
        case notListening(output: String, errors: String)
    }

    private let process: ChildProcess
    /// Where its output goes.
    private let outputPath: String
    private let errorPath: String

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
    ///   - leadsGroup: as of `ChildProcess`, for a shell.
    init(
        _ arguments: [String], environment: [String: String] = [:], directory: String = "/tmp", openFiles: Int? = nil,
        executable: String = Program.path, leadsGroup: Bool = false
    ) throws {
        let base = FileManager.default.temporaryDirectory.path + "/less-sync-program-" + UUID().uuidString
        self.outputPath = base + ".out"
        self.errorPath = base + ".err"
        // What the program runs counts as covered too, in a profile of its own beside that of the tests.
        let profile = ProcessInfo.processInfo.environment["LLVM_PROFILE_FILE"].map {
            URL(fileURLWithPath: $0).deletingLastPathComponent().appendingPathComponent("program-%p.profraw").path
        }
        let environment = environment.merging(["LLVM_PROFILE_FILE": profile ?? "/dev/null"]) { $1 }

        // The shell is there for the limit alone: the program takes its place, and its process id.
        let shell = openFiles.map { ["/bin/sh", "-c", #"ulimit -Sn "$1" && shift && exec "$@""#, "sh", "\($0)"] } ?? []
        self.process = try ChildProcess(
            shell + [executable] + arguments, environment: environment, directory: directory, output: self.outputPath,
            errors: self.errorPath, leadsGroup: leadsGroup)
    }

    deinit {
        self.process.kill()
        unlink(self.outputPath)
        unlink(self.errorPath)
    }

    var id: Int32 { self.process.id }

    var standardOutput: String { (try? String(contentsOfFile: self.outputPath, encoding: .utf8)) ?? "" }
    var standardError: String { (try? String(contentsOfFile: self.errorPath, encoding: .utf8)) ?? "" }

    /// Lines on standard error that report something.
    var errorLines: [Substring] { self.standardError.split(separator: "\n").filter { $0.hasPrefix("Error: ") } }

    func send(_ signal: Int32) { self.process.send(signal) }

    /// Ends it, and the group that it leads.
    func kill() { self.process.kill() }

    var isRunning: Bool { self.process.isRunning }

    /// - Returns: The exit code, or the signal's number negated.
    func waitUntilExit(within limit: Duration = .seconds(40)) async throws -> Int32 {
        try await self.process.waitUntilExit(within: limit)
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
