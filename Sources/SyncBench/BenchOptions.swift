package import SyncProtocol

/// What a load run does. `validate()` says what is wrong with it.
package struct BenchOptions: Sendable, Hashable {
    package enum Scenario: String, Sendable, Hashable, CaseIterable, Encodable {
        /// Each client pushes records to its spaces.
        case push
        /// Each client pulls its spaces from the beginning.
        case pull
        /// Publishers push, and every subscriber of their space must be told of it.
        case fanout
        /// Connections that do nothing.
        case idle
        /// Each client is subscribed, pushes, and now and then pulls what is new.
        case mixed
        /// Messages to a plain WebSocket echo and back; the yardstick for latencies.
        case echo
    }

    /// Where tokens come from.
    package enum Tokens: Sendable, Hashable {
        /// A development issuer (docs/contract/operations.md §1.1); the server itself when `url` is nil.
        case devIssuer(url: String?)
        /// A file with one token on each line; those with the same personal space are devices of one user.
        case file(path: String)
    }

    package static let defaultURL = "http://127.0.0.1:5379"

    package var scenario: Scenario
    /// Address of the server, or of its WebSocket endpoint if it has a path.
    package var url = Self.defaultURL
    package var tokens = Tokens.devIssuer(url: nil)
    package var family = ProtocolFamily.less
    /// Operations in progress at most; connections of `idle`.
    package var clients = 1
    /// Personal spaces; as many as clients when nil, one for `fanout`.
    package var spaces: Int?
    /// Bytes of a record's blob.
    package var recordBytes = 1_024
    /// Records of a push.
    package var batch = 1
    /// Adds a wrapped key of 44 bytes to each record, as apps do.
    package var hasDEK = false
    /// Records that `pull` puts into each space beforehand.
    package var records = 10_000
    /// Of `fanout`.
    package var publishers = 1
    package var subscribers = 100
    /// Broadcasts of one space on their way at most, unless there is a rate.
    package var window = 1
    /// Share of the operations of `mixed` that pull, 0...1.
    package var pullShare = 0.2
    /// Speaks no protocol: `fanout` against a server that sends each message to all other connections.
    package var isBare = false
    /// Operations a second of all clients together; nil for as many as the server takes.
    package var rate: Double?
    /// Measured time.
    package var duration: Duration = .seconds(10)
    /// Time before it, which does not count.
    package var warmup: Duration = .seconds(1)
    /// Ends the run early; warm-up included.
    package var operationsMax: Int?
    /// Longest time without an answer.
    package var timeout: Duration = .seconds(30)
    package var threads = 1
    /// A process of this machine whose processor time and memory are reported.
    package var serverPID: Int32?
    /// Begins the names of the users; somebody who has never been there when nil.
    package var user: String?

    package init(_ scenario: Scenario) { self.scenario = scenario }

    static let clientsMax = 50_000
    static let spacesMax = 100_000
    static let durationMax: Duration = .seconds(86_400)
    /// A stamp must fit.
    static let recordBytesMin = 32
    /// Bytes that a change and a push need beside blobs and keys; more than enough.
    static let changeOverhead = 192
    static let pushOverhead = 512

    /// Connections of the whole run.
    var connections: Int {
        switch self.scenario {
        case .push, .pull, .mixed: max(self.clients, self.spaceCount)
        case .fanout: self.publishers + self.subscribers
        case .idle, .echo: self.clients
        }
    }

    var spaceCount: Int { self.spaces ?? (self.scenario == .fanout ? 1 : self.clients) }

    /// Whether connections authenticate.
    var speaksProtocol: Bool { self.scenario != .echo && !self.isBare }

    /// One line for each thing that is wrong; empty when the run may start.
    package func problems() -> [String] {
        var problems: [String] = []
        func check(_ isRight: Bool, _ problem: @autoclosure () -> String) {
            if !isRight { problems.append(problem()) }
        }
        check(BenchEndpoint(self.url) != nil, "--url must be an http, https, ws or wss address without a query")
        if case .devIssuer(let url?) = self.tokens {
            check(BenchEndpoint(url)?.hasPath == false, "--dev-issuer must be an http or https address without a path")
        } else if self.tokens == .devIssuer(url: nil), self.speaksProtocol {
            check(
                BenchEndpoint(self.url)?.hasPath != true,
                "--url with a path says nothing about tokens; add --dev-issuer or --token-file")
        }
        check((1...Self.clientsMax).contains(self.clients), "--clients must be 1...\(Self.clientsMax)")
        check(self.spaces.map { (1...Self.spacesMax).contains($0) } ?? true, "--spaces must be 1...\(Self.spacesMax)")
        check((1...Limits.changesPerPushMax).contains(self.batch), "--batch must be 1...\(Limits.changesPerPushMax)")
        check(
            (Self.recordBytesMin...Limits.pullableChangeBytesMax).contains(self.recordBytes),
            "--record-size must be \(Self.recordBytesMin)...\(Limits.pullableChangeBytesMax)")
        let (bytes, overflows) = self.batch.multipliedReportingOverflow(by: self.recordBytes + Self.changeOverhead)
        check(
            !overflows && bytes <= Limits.messageBytesMax - Self.pushOverhead,
            "--batch times --record-size is more than one message holds (4 MiB)")
        check((0...10_000_000).contains(self.records), "--records must be 0...10000000")
        check((1...Self.clientsMax).contains(self.publishers), "--publishers must be 1...\(Self.clientsMax)")
        check((1...Self.clientsMax).contains(self.subscribers), "--subscribers must be 1...\(Self.clientsMax)")
        check((1...1_024).contains(self.window), "--window must be 1...1024")
        check((0...1).contains(self.pullShare), "--pull-share must be 0...1")
        if self.scenario == .fanout {
            check(
                self.spaceCount <= min(self.publishers, self.subscribers),
                "--spaces must not exceed --publishers or --subscribers: each space needs one of both")
        }
        if self.scenario == .idle {
            check(self.spaceCount <= self.clients, "--spaces must not exceed --connections")
        }
        check(!self.isBare || self.spaceCount == 1, "--bare knows no spaces")
        check(self.rate.map { $0 > 0 && $0 <= 10_000_000 } ?? true, "--rate must be above 0 and at most 10000000")
        check(self.operationsMax.map { $0 >= 1 } ?? true, "--operations must be 1 or more")
        check(
            self.duration > .zero && self.duration <= Self.durationMax, "--duration must be above 0 and at most a day")
        check(self.warmup >= .zero && self.warmup <= Self.durationMax, "--warmup must be 0 to a day")
        check(self.timeout >= .seconds(1) && self.timeout <= .seconds(600), "--timeout must be 1...600 seconds")
        check((1...64).contains(self.threads), "--threads must be 1...64")
        return problems
    }
}
