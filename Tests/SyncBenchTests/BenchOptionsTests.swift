import SyncProtocol
import Testing

@testable import SyncBench

@Suite("Options of a load run")
struct BenchOptionsTests {
    @Test("the defaults are right for every scenario", arguments: BenchOptions.Scenario.allCases)
    func defaults(_ scenario: BenchOptions.Scenario) {
        #expect(BenchOptions(scenario).problems() == [])
    }

    @Test("each wrong value is named, and nothing else", arguments: WrongOption.all.indices)
    func wrong(_ index: Int) {
        let (name, change) = WrongOption.all[index]
        var options = BenchOptions(.push)
        change(&options)
        let problems = options.problems()
        #expect(problems.count == 1)
        #expect(problems.first?.hasPrefix(name + " ") == true)
    }

    @Test("several wrong values are all named")
    func several() {
        var options = BenchOptions(.push)
        options.clients = 0
        options.threads = 0
        #expect(options.problems().count == 2)
    }

    @Test("every space of a fan-out has a publisher and a subscriber")
    func fanoutSpaces() {
        var options = BenchOptions(.fanout)
        options.spaces = 2
        #expect(options.problems().count == 1)
        options.publishers = 2
        #expect(options.problems() == [])
    }

    @Test("a path is taken as that of the endpoint; otherwise the contract's is used")
    func endpoint() {
        #expect(BenchEndpoint("http://127.0.0.1:5379")?.socket == "ws://127.0.0.1:5379/api/v1/ws")
        #expect(BenchEndpoint("https://example.com/")?.socket == "wss://example.com/api/v1/ws")
        #expect(BenchEndpoint("wss://example.com/sync/ws")?.socket == "wss://example.com/sync/ws")
        #expect(BenchEndpoint("wss://example.com/sync/ws")?.origin == "https://example.com")
        #expect(BenchEndpoint("ws://[::1]:80")?.origin == "http://[::1]:80")
        #expect(BenchEndpoint("nonsense") == nil)
    }
}

@Suite("Plan of the connections")
struct ConnectionPlanTests {
    @Test("with more spaces than clients each client has several, and every space one connection")
    func moreSpaces() {
        var options = BenchOptions(.push)
        options.clients = 3
        options.spaces = 8
        let plan = ConnectionPlan(options, lanes: 2)
        #expect(plan.connections.map(\.space) == Array(0..<8))
        #expect((0..<3).map { Array(plan.connections(of: $0)) } == [[0, 3, 6], [1, 4, 7], [2, 5]])
        for worker in 0..<3 {
            #expect(Set(plan.connections(of: worker).map { plan.connections[$0].lane }).count == 1)
        }
    }

    @Test("with fewer spaces than clients each space has several connections")
    func fewerSpaces() {
        var options = BenchOptions(.push)
        options.clients = 5
        options.spaces = 2
        let plan = ConnectionPlan(options, lanes: 1)
        #expect(plan.connections.map(\.space) == [0, 1, 0, 1, 0])
        #expect(plan.firstOfEachSpace.map(\.number) == [0, 1])
    }

    @Test("publishers and subscribers are spread over the spaces")
    func fanout() {
        var options = BenchOptions(.fanout)
        options.publishers = 2
        options.subscribers = 5
        options.spaces = 2
        let plan = ConnectionPlan(options, lanes: 1)
        #expect(plan.connections.map(\.isSubscriber) == [false, false, true, true, true, true, true])
        #expect(plan.fanoutSpaces.map(\.subscribers) == [3, 2])
    }
}

private enum WrongOption {
    typealias Change = @Sendable (inout BenchOptions) -> Void

    static let all: [(name: String, change: Change)] = [
        ("--url", { $0.url = "ftp://host" }),
        ("--url", { $0.url = "http://host/?token=1" }),
        ("--url", { $0.url = "ws://host/other/ws" }),
        ("--dev-issuer", { $0.tokens = .devIssuer(url: "http://host/path") }),
        ("--clients", { $0.clients = 0 }),
        ("--clients", { $0.clients = 50_001 }),
        ("--spaces", { $0.spaces = 0 }),
        ("--batch", { $0.batch = 0 }),
        ("--record-size", { $0.recordBytes = 31 }),
        ("--batch", { $0.batch = 5_000 }),
        ("--batch", { ($0.batch, $0.recordBytes) = (2, 2_097_152) }),
        ("--records", { $0.records = -1 }),
        ("--publishers", { $0.publishers = 0 }),
        ("--subscribers", { $0.subscribers = 0 }),
        ("--window", { $0.window = 0 }),
        ("--pull-share", { $0.pullShare = 1.1 }),
        ("--rate", { $0.rate = 0 }),
        ("--rate", { $0.rate = .nan }),
        ("--operations", { $0.operationsMax = 0 }),
        ("--duration", { $0.duration = .zero }),
        ("--duration", { $0.duration = .seconds(86_401) }),
        ("--warmup", { $0.warmup = .seconds(-1) }),
        ("--timeout", { $0.timeout = .milliseconds(999) }),
        ("--threads", { $0.threads = 0 }),
    ]
}
