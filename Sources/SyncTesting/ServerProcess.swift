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

    private let process: ChildProcess
    private let input: FileHandle

    /// Time that a server may take to end, longer than one that is told to end at once needs.
    private static let stopLimit: Duration = .seconds(30)

    private init(process: ChildProcess, input: FileHandle) {
        self.process = process
        self.input = input
    }

    /// Starts a program. What it writes is in the file `log` of `directory`.
    static func start(
        _ command: [String], directory: String, signal: String = "QUIT"
    ) throws -> ServerProcess {
        // Only this process holds the end whose closing ends the server: no child gets it.
        let input = Pipe()
        let process = try ChildProcess(
            ["/bin/sh", "-c", Self.supervisorScript, "sh", directory, signal] + command,
            input: input.fileHandleForReading.fileDescriptor, leadsGroup: true)
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

    /// Ends the server, and returns when it has ended, whether the task is cancelled or not: that takes `stopLimit` at most.
    ///
    /// - Parameter word: `keepWord`, or nothing: then the directory is removed.
    func stop(saying word: String = "") async {
        if self.process.isRunning { try? self.input.write(contentsOf: Data(word.utf8)) }
        try? self.input.close()
        _ = try? await Task { try await self.process.waitUntilExit(within: Self.stopLimit) }.value
        self.process.kill()
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
}
