import Synchronization

/// How far the devices are, for whoever watches.
final class DemoProgress: Sendable {
    struct Device: Hashable, Sendable {
        var counts = DemoCounts()
        var cursor: Int64 = 0
        /// Counts the changes.
        var changes = 0
    }

    private let devices = Mutex<[DemoDevice: Device]>([:])

    func add(_ counts: DemoCounts, cursor: Int64, _ device: DemoDevice) {
        self.devices.withLock {
            $0[device, default: Device()].counts.add(counts)
            $0[device, default: Device()].cursor = cursor
            $0[device, default: Device()].changes += 1
        }
    }

    func set(_ counts: DemoCounts, cursor: Int64, _ device: DemoDevice) {
        self.devices.withLock {
            let changes = ($0[device]?.changes ?? 0) + 1
            $0[device] = Device(counts: counts, cursor: cursor, changes: changes)
        }
    }

    subscript(device: DemoDevice) -> Device { self.devices.withLock { $0[device] ?? Device() } }

    /// One line: the share of each device that has begun, and the bytes of the one that is furthest.
    ///
    /// - Parameter total: Bytes of all files, as counted beforehand.
    func line(total: Int64) -> String {
        let devices = self.devices.withLock { $0 }
        let shares = DemoDevice.allCases.map { device -> String in
            guard let state = devices[device] else { return "\(device.rawValue) –" }
            return "\(device.rawValue) \(Self.percent(state.counts.fileBytes, of: total))"
        }
        let sent = devices[.writer]?.counts.fileBytes ?? 0
        return "\(shares.joined(separator: "   "))   \(DisplayText.bytes(sent)) of \(DisplayText.bytes(total)) sent"
    }

    private static func percent(_ part: Int64, of total: Int64) -> String {
        guard total > 0 else { return "100 %" }
        return "\(Int64((Double(part) / Double(total) * 100).rounded(.down))) %"
    }
}

extension DemoCounts {
    mutating func add(_ other: DemoCounts) {
        self.files += other.files
        self.records += other.records
        self.fileBytes += other.fileBytes
        self.blobBytes += other.blobBytes
        self.abandonedFiles += other.abandonedFiles
        self.foreignRecords += other.foreignRecords
    }
}
