import Foundation
import Synchronization

/// A server program of a test run, with a directory of its own. It ends with this process, however that ends, and its directory
/// goes with it.
package final class ServerProcess: Sendable {
    enum Failure: Error, Sendable {
        case noPort(errno: Int32)
    }

    /// Said at the end, it keeps the directory.
    static let keepWord = "keep\n"

    private let process: Process
    private let input: FileHandle

    private init(process: Process, input: FileHandle) {
        self.process = process
        self.input = input
    }

    /// Starts a program. What it writes is in the file `log` of `directory`.
    static func start(
        _ command: [String], directory: String, signal: String = "QUIT"
    ) throws -> ServerProcess {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", Self.supervisorScript, "sh", directory, signal] + command
        let input = Pipe()
        // Only this process may hold the end whose closing ends the server.
        _ = fcntl(input.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        process.standardInput = input
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try Self.runUnblocked(process)
        return ServerProcess(process: process, input: input.fileHandleForWriting)
    }

    /// Waits for the end of its input, or of this process, and then ends the server.
    private static let supervisorScript = """
        directory=$1; signal=$2; shift 2
        "$@" >"$directory/log" 2>&1 &
        pid=$!
        read -r word
        kill -$signal $pid 2>/dev/null
        wait $pid
        [ "$word" = keep ] || rm -rf "$directory"
        """

    /// Ends the server, and returns when it has ended.
    ///
    /// - Parameter word: `keepWord`, or nothing: then the directory is removed.
    func stop(saying word: String = "") async {
        await withCheckedContinuation { (ended: CheckedContinuation<Void, Never>) in
            let isResumed = Mutex(false)
            let resume: @Sendable () -> Void = {
                if isResumed.withLock({ value in
                    defer { value = true }
                    return !value
                }) {
                    ended.resume()
                }
            }
            self.process.terminationHandler = { _ in resume() }
            try? self.input.write(contentsOf: Data(word.utf8))
            try? self.input.close()
            if !self.process.isRunning { resume() }
        }
    }

    /// A port that nobody listens on.
    package static func freePort() throws -> Int { try Self.freePorts(1)[0] }

    /// Different ports that nobody listens on.
    static func freePorts(_ count: Int) throws -> [Int] {
        var descriptors: [Int32] = []
        defer { for descriptor in descriptors { _ = close(descriptor) } }
        return try (0..<count).map { _ in
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            descriptors.append(descriptor)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let status = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                    bind(descriptor, pointer, length) == 0 ? getsockname(descriptor, pointer, &length) : -1
                }
            }
            guard status == 0 else { throw Failure.noPort(errno: errno) }
            return Int(UInt16(bigEndian: address.sin_port))
        }
    }

    /// Starts a process in which no signal is blocked. Threads of the concurrency pool block most of them, a child inherits
    /// that, and the shell's `wait` would never hear of an end.
    private static func runUnblocked(_ process: Process) throws {
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try process.run()
    }
}
