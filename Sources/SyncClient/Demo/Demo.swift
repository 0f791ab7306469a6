import FoundationEssentials
import SyncProtocol

/// Shows a server at work: three devices of one user send a folder through it, encrypted, and verify what comes out.
///
/// A pushes, B is subscribed meanwhile, C pulls everything afterwards. The key stays in this process.
package struct Demo: Sendable {
    package struct Options: Sendable {
        package var folder: String
        /// Address of the server.
        package var url = Self.defaultURL
        /// Whose space is used; somebody who has never been there by default.
        package var user: String?

        package static let defaultURL = "http://127.0.0.1:5379"

        package init(folder: String) { self.folder = folder }
    }

    /// Takes a line about the progress, from time to time.
    package typealias Watch = @Sendable (String) -> Void

    private static let clientName = "less-sync-demo"

    private let options: Options
    private let clock = ContinuousClock()

    package init(_ options: Options) { self.options = options }

    /// - Parameter watchInterval: Time between two lines to `watch`.
    /// - Throws: `DemoError` for everything that keeps a device from having and verifying everything.
    package func run(watchInterval: Duration = .milliseconds(200), _ watch: @escaping Watch) async throws -> DemoReport
    {
        let cipher = DemoCipher()
        let endpoint = try DemoEndpoint(self.options.url)
        let source = try DemoSource(folder: self.options.folder, cipher: cipher)
        let summary = try await source.summarize()
        guard summary.refused.count == 0 else {
            throw DemoError.unsendable(summary.refused.lines, count: summary.refused.count)
        }
        let user = self.options.user ?? "demo-\(UUID().uuidString.lowercased())"
        let tokens = try await DevTokens(endpoint)
            .fetch(DemoDevice.allCases.count, user: user, client: Self.clientName)
        let progress = DemoProgress()
        let sessions = zip(DemoDevice.allCases, tokens).map { device, answer in
            DemoSession(device: device, space: answer.space, clock: self.clock) { () throws(SyncClientError) in
                try await SyncClient.connect(to: endpoint.sockets, token: answer.token)
            }
        }
        let run = DemoRun(
            cipher: cipher, source: source, progress: progress, writer: sessions[0], subscriber: sessions[1],
            puller: sessions[2], clock: self.clock)
        let result = try await run.run(reportingEvery: watchInterval) { watch(progress.line(total: summary.bytes)) }
        return DemoReport(
            rows: DemoDevice.allCases.map { device in
                let state = progress[device]
                return DemoReport.Row(
                    device: device.rawValue, task: device.task, records: state.counts.records,
                    bytes: state.counts.fileBytes, cursor: state.cursor,
                    seconds: (result.durations[device] ?? .zero) / .seconds(1))
            },
            user: user, space: sessions[0].space.wireText, files: result.subscriber.verifier.counts.files,
            liveRecords: result.subscriber.liveRecords, catchUps: result.subscriber.catchUps,
            foreignRecords: result.puller.verifier.counts.foreignRecords, skipped: summary.skipped.all,
            changed: await source.changedFiles.all)
    }
}
