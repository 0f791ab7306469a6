import Foundation
import Glibc
import SyncTesting

/// A named pipe that a program logs to, and that is read when the test says so. It goes away with its value.
final class LogPipe {
    /// Bytes that fit while nobody reads.
    static let capacity = 4_096
    /// `F_SETPIPE_SZ` of Linux.
    private static let setCapacity: Int32 = 1_031

    struct NotMade: Error {}

    private let path: String
    private let descriptor: Int32
    private(set) var text = ""

    init() throws {
        self.path = FileManager.default.temporaryDirectory.path + "/less-sync-log-" + UUID().uuidString
        // Open for both directions, so that opening waits for nobody, and a program has a reader that does not read.
        guard mkfifo(self.path, 0o600) == 0 else { throw NotMade() }
        self.descriptor = open(self.path, O_RDWR | O_NONBLOCK)
        guard self.descriptor >= 0, fcntl(self.descriptor, Self.setCapacity, Int32(Self.capacity)) >= 0 else {
            throw NotMade()
        }
    }

    deinit {
        close(self.descriptor)
        unlink(self.path)
    }

    /// The program of the build, with its standard output in the pipe.
    func start(_ arguments: [String], environment: [String: String]) throws -> Program {
        try Program(
            ["-c", #"log="$1" && shift && exec "$0" "$@" >"$log""#, Program.path, self.path] + arguments,
            environment: environment, executable: "/bin/sh")
    }

    /// Reads until a line has `message`, and no further than what is there then.
    ///
    /// - Returns: The line.
    @discardableResult
    func read(until message: String) async throws -> Substring {
        var found: Substring?
        try await eventually("\(message) is logged", within: .seconds(40)) {
            self.readWhatIsThere()
            found = self.text.split(separator: "\n").last { $0.contains(message) }
            return found != nil && self.text.last == "\n"
        }
        return found ?? ""
    }

    func readWhatIsThere() {
        var buffer = [UInt8](repeating: 0, count: Self.capacity)
        while true {
            let count = Glibc.read(self.descriptor, &buffer, buffer.count)
            guard count > 0 else { return }
            self.text += String(decoding: buffer.prefix(count), as: UTF8.self)
        }
    }
}
