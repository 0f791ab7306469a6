import Testing

@testable import SyncServer

@Suite("Command line flags")
struct ConfigurationFlagsTests {
    @Test("Every variable has a flag of its own, derived from its name")
    func names() {
        let variables = ConfigurationVariable.all.filter { !$0.isHidden }
        #expect(variables.first?.flag == "--listen-addr")
        #expect(Set(variables.map(\.flag)).count == variables.count)
        #expect(Set(ConfigurationVariable.all.map(\.name)).count == ConfigurationVariable.all.count)
    }

    @Test("Both spellings, switches, and the last of two")
    func values() throws {
        let flags = try ServerConfiguration.parseFlags([
            "--listen-addr", "127.0.0.1:1", "--audiences=a=b", "--perf-mode", "--migrate-on-start=false", "--audiences",
            "--c",
        ])
        #expect(
            flags == [
                "LISTEN_ADDR": "127.0.0.1:1", "AUDIENCES": "--c", "PERF_MODE": "true", "MIGRATE_ON_START": "false",
            ])
        #expect(try ServerConfiguration.parseFlags([]).isEmpty)
    }

    @Test(
        "Usage errors name what is wrong",
        arguments: [
            (["--nope"], #"unknown argument "--nope""#), (["serve"], #"unknown argument "serve""#),
            (["--listen-addr"], "--listen-addr requires a value"),
            (["--rust-log", "debug"], #"unknown argument "--rust-log""#),
            ([""], #"unknown argument """#), (["--perf-mode", "true"], #"unknown argument "true""#),
        ])
    func errors(arguments: [String], message: String) {
        #expect(throws: UsageError(description: message)) { try ServerConfiguration.parseFlags(arguments) }
    }

    @Test("The help lists every flag with its default and variable")
    func help() {
        let help = ServerConfiguration.flagsHelp
        for variable in ConfigurationVariable.all where !variable.isHidden {
            #expect(help.contains("  \(variable.flag)"))
            #expect(help.contains("[\(variable.name)]"))
        }
        #expect(help.contains("--listen-addr ADDRESS\n"))
        #expect(help.contains("(default: 0.0.0.0:5379)"))
        #expect(help.contains("  --perf-mode\n"))
        #expect(!help.contains("RUST_LOG"))
    }
}
