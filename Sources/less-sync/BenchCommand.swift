import ArgumentParser
import SyncBench
import SyncProtocol

struct BenchSubcommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Put load on a server that speaks the protocol, and measure it.",
        discussion: """
            Latencies count from the moment an operation was to be sent, so that a stall of the server is charged for everything \
            it held up. Without --rate, a client sends its next operation when the one before is answered. The exit code is 0 \
            only if nothing failed. A server to try it with: less-sync dev
            """,
        subcommands: [Push.self, Pull.self, Fanout.self, Idle.self, Mixed.self, Echo.self])

    /// Where, and how long.
    struct Target: ParsableArguments {
        @Option(help: "Address of the server; with a path, that of its WebSocket endpoint.")
        var url = BenchOptions.defaultURL

        @Option(help: "Address of the development issuer that gives tokens. The server itself unless given.")
        var devIssuer: String?

        @Option(help: "Take tokens from this file instead, one on each line; for every space a user of its own.")
        var tokenFile: String?

        @Option(help: "Subprotocol: less or betterbase.")
        var family = ProtocolFamily.less.rawValue

        @Option(help: "Seconds to measure.")
        var duration = 10.0

        @Option(help: "Seconds before that which do not count.")
        var warmup = 1.0

        @Option(help: "Seconds to wait for an answer.")
        var timeout = 30.0

        @Option(help: "Threads of this program.")
        var threads = 1

        @Option(help: "A server of this machine whose processor time and memory are to be reported.")
        var serverPID: Int32?

        @Option(help: "Beginning of the names of the users; somebody new unless given.")
        var user: String?

        @Flag(help: "Print the result as JSON.")
        var json = false

        func run(_ scenario: BenchOptions.Scenario, _ change: (inout BenchOptions) -> Void) async throws {
            guard let family = ProtocolFamily(rawValue: self.family) else {
                throw ValidationError("--family must be less or betterbase")
            }
            if self.devIssuer != nil, self.tokenFile != nil {
                throw ValidationError("--dev-issuer and --token-file exclude each other")
            }
            var options = BenchOptions(scenario)
            options.url = self.url
            options.tokens = self.tokenFile.map { .file(path: $0) } ?? .devIssuer(url: self.devIssuer)
            options.family = family
            options.duration = .seconds(self.duration)
            options.warmup = .seconds(self.warmup)
            options.timeout = .seconds(self.timeout)
            options.threads = self.threads
            options.serverPID = self.serverPID
            options.user = self.user
            change(&options)
            try finish(with: await BenchCommand(options, json: self.json).run())
        }
    }

    /// How fast.
    struct Pace: ParsableArguments {
        @Option(help: "Operations a second of all clients together, at a constant rate whatever the server does.")
        var rate: Double?

        @Option(help: "Operations after which the run ends, warm-up included.")
        var operations: Int?

        func apply(to options: inout BenchOptions) {
            options.rate = self.rate
            options.operationsMax = self.operations
        }
    }

    /// What is pushed.
    struct Records: ParsableArguments {
        @Option(help: "Bytes of a record.")
        var recordSize = 1_024

        @Option(help: "Records of a push.")
        var batch = 1

        @Flag(help: "Add a wrapped key of 44 bytes to each record.")
        var dek = false

        func apply(to options: inout BenchOptions) {
            options.recordBytes = self.recordSize
            options.batch = self.batch
            options.hasDEK = self.dek
        }
    }

    /// Who does it.
    struct Clients: ParsableArguments {
        @Option(help: "Clients, each with one operation in progress at most.")
        var clients = 1

        @Option(
            help:
                "Personal spaces, each of a user of its own; as many as clients unless given. A client uses all its spaces in turn."
        )
        var spaces: Int?

        func apply(to options: inout BenchOptions) {
            options.clients = self.clients
            options.spaces = self.spaces
        }
    }
}

extension BenchSubcommand {
    struct Push: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Push new records.")
        @OptionGroup(title: "Clients") var clients: Clients
        @OptionGroup(title: "Records") var records: Records
        @OptionGroup(title: "Pace") var pace: Pace
        @OptionGroup(title: "Server and time") var target: Target

        func run() async throws {
            try await self.target.run(.push) { options in
                self.clients.apply(to: &options)
                self.records.apply(to: &options)
                self.pace.apply(to: &options)
            }
        }
    }

    struct Pull: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Pull whole spaces.")

        @Option(help: "Records to push to each space beforehand.")
        var records = 10_000

        @Option(help: "Bytes of a record.")
        var recordSize = 1_024

        @OptionGroup(title: "Clients") var clients: Clients
        @OptionGroup(title: "Pace") var pace: Pace
        @OptionGroup(title: "Server and time") var target: Target

        func run() async throws {
            try await self.target.run(.pull) { options in
                options.records = self.records
                options.recordBytes = self.recordSize
                self.clients.apply(to: &options)
                self.pace.apply(to: &options)
            }
        }
    }

    struct Fanout: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Push to spaces that many devices are subscribed to, and await every notification.")

        @Option(help: "Connections that push.")
        var publishers = 1

        @Option(help: "Connections that are told.")
        var subscribers = 100

        @Option(help: "Spaces over which both are distributed.")
        var spaces = 1

        @Option(
            help: "Without --rate: broadcasts of a space that may be on their way. Publishers do not wait for answers.")
        var window = 1

        @Flag(help: "The server speaks no protocol: it sends each message to all other connections.")
        var bare = false

        @OptionGroup(title: "Records") var records: Records
        @OptionGroup(title: "Pace") var pace: Pace
        @OptionGroup(title: "Server and time") var target: Target

        func run() async throws {
            try await self.target.run(.fanout) { options in
                options.publishers = self.publishers
                options.subscribers = self.subscribers
                options.spaces = self.spaces
                options.window = self.window
                options.isBare = self.bare
                self.records.apply(to: &options)
                self.pace.apply(to: &options)
            }
        }
    }

    struct Idle: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Hold connections that do nothing.")

        @Option(help: "Connections, each subscribed to its space.")
        var connections = 1_000

        @Option(help: "Personal spaces; one for each connection unless given.")
        var spaces: Int?

        @OptionGroup(title: "Server and time") var target: Target

        func run() async throws {
            try await self.target.run(.idle) { options in
                options.clients = self.connections
                options.spaces = self.spaces
            }
        }
    }

    struct Mixed: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Push, pull what is new, and receive notifications, all at once.")

        @Option(help: "Share of the operations that pull, 0...1.")
        var pullShare = 0.2

        @OptionGroup(title: "Clients") var clients: Clients
        @OptionGroup(title: "Records") var records: Records
        @OptionGroup(title: "Pace") var pace: Pace
        @OptionGroup(title: "Server and time") var target: Target

        func run() async throws {
            try await self.target.run(.mixed) { options in
                options.pullShare = self.pullShare
                self.clients.apply(to: &options)
                self.records.apply(to: &options)
                self.pace.apply(to: &options)
            }
        }
    }

    struct Echo: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Send messages to a plain WebSocket server that sends them back; the yardstick for latencies.")

        @Option(help: "Connections, each with one message on its way at most.")
        var clients = 1

        @Option(help: "Bytes of a message.")
        var recordSize = 1_024

        @OptionGroup(title: "Pace") var pace: Pace
        @OptionGroup(title: "Server and time") var target: Target

        func run() async throws {
            try await self.target.run(.echo) { options in
                options.clients = self.clients
                options.recordBytes = self.recordSize
                self.pace.apply(to: &options)
            }
        }
    }
}
