import FoundationEssentials
import Glibc

/// What the kernel says about a process of this machine.
struct ProcessUsage: Hashable, Sendable {
    /// User and system time.
    var cpuSeconds: Double
    var residentBytes: Int

    /// `nil` when there is no such process.
    static func of(_ pid: Int32) -> ProcessUsage? {
        guard let stat = Self.read("/proc/\(pid)/stat"), let status = Self.read("/proc/\(pid)/status") else {
            return nil
        }
        return ProcessUsage(stat: stat, status: status, ticksPerSecond: Double(sysconf(Int32(_SC_CLK_TCK))))
    }

    static var own: ProcessUsage? { Self.of(getpid()) }

    /// One, five and fifteen minutes.
    static var loadAverage: [Double] {
        (Self.read("/proc/loadavg") ?? "").split(separator: " ").prefix(3).compactMap { Double($0) }
    }

    private static func read(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }
}

extension ProcessUsage {
    /// From the text of `/proc/PID/stat` and `/proc/PID/status`.
    init?(stat: String, status: String, ticksPerSecond: Double) {
        // The name in parentheses may hold anything; the fields after it are counted from 3.
        guard let name = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: name)...].split(separator: " ")
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return nil }
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        let kibibytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }
        guard let kibibytes else { return nil }
        self.cpuSeconds = (user + system) / ticksPerSecond
        self.residentBytes = kibibytes * 1_024
    }
}
