/// What a run has shown.
package struct DemoReport: Hashable, Sendable {
    package struct Row: Hashable, Sendable {
        package var device: String
        package var task: String
        package var records: Int64
        /// Of the files.
        package var bytes: Int64
        package var cursor: Int64
        package var seconds: Double
    }

    package var rows: [Row]
    package var user: String
    package var space: String
    package var files: Int64
    /// Of B's records, how many came by notification.
    package var liveRecords: Int64
    /// How often B had to pull.
    package var catchUps: Int
    /// Records of other runs that C met.
    package var foreignRecords: Int64
    /// A line for each of the first few symbolic links and special files, and for the rest.
    package var skipped: [String]
    /// As `skipped`; these files should have been sent.
    package var changed: [String]

    /// Everything that the folder holds has reached both devices. Both have verified every hash, or there is no report.
    package var isComplete: Bool { self.changed.isEmpty }

    /// For standard output: a table and a few lines.
    package var text: String {
        var lines = Self.table(self.rows)
        lines.append("")
        lines.append("User \(DisplayText.path(self.user)), space \(self.space).")
        lines.append(
            "\(Self.count(self.files, "file")) verified by SHA-256 on B and on C; "
                + "B received \(DisplayText.grouped(self.liveRecords)) records live"
                + (self.catchUps == 0 ? "." : " and pulled \(Self.count(Int64(self.catchUps), "time")) to catch up."))
        if self.foreignRecords > 0 {
            lines.append("\(Self.count(self.foreignRecords, "record")) of other runs left alone.")
        }
        lines += self.skipped.map { "skipped: \($0)" }
        lines += self.changed.map { "failed: \($0)" }
        return lines.joined(separator: "\n") + "\n"
    }

    static func count(_ count: Int64, _ noun: String) -> String {
        "\(DisplayText.grouped(count)) \(noun)\(count == 1 ? "" : "s")"
    }

    private static func table(_ rows: [Row]) -> [String] {
        let header = ["device", "", "records", "bytes", "cursor", "seconds", "MB/s"]
        let cells = rows.map { row in
            [
                row.device, row.task, DisplayText.grouped(row.records), DisplayText.grouped(row.bytes),
                DisplayText.grouped(row.cursor), DisplayText.fixed(row.seconds, digits: 2),
                row.seconds > 0 ? DisplayText.fixed(Double(row.bytes) / row.seconds / 1_000_000, digits: 1) : "–",
            ]
        }
        let widths = header.indices.map { column in ([header] + cells).map { $0[column].count }.max() ?? 0 }
        return ([header] + cells).map { row in
            row.indices.map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                return column < 2 ? row[column] + space : space + row[column]
            }.joined(separator: "  ")
        }
    }
}

extension SampledLines {
    /// The lines, and one more for those that were not kept.
    var all: [String] {
        self.count > self.lines.count ? self.lines + ["… and \(self.count - self.lines.count) more"] : self.lines
    }
}
