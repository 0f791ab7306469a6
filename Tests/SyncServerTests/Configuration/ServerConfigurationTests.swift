import Logging
import SyncAuth
import Testing

@testable import SyncServer

@Suite("Configuration")
struct ServerConfigurationTests {
    private struct NoSuchFile: Error {}

    private func read(
        _ environment: [String: String], flags: [String: String] = [:], profile: ServerConfiguration.Profile = .serve,
        files: [String: String] = [:]
    ) throws(ConfigurationErrors) -> ServerConfiguration {
        let issuers = profile == .serve ? ["TRUSTED_ISSUERS": "https://a"] : [:]
        return try ServerConfiguration.read(
            environment: issuers.merging(environment) { $1 }, flags: flags, profile: profile,
            readFile: { path in
                guard let content = files[path] else { throw NoSuchFile() }
                return content
            })
    }

    /// The messages that `environment` causes, as lines of standard error.
    private func errors(
        _ environment: [String: String], flags: [String: String] = [:], profile: ServerConfiguration.Profile = .serve,
        files: [String: String] = [:]
    ) -> [String] {
        do {
            _ = try self.read(environment, flags: flags, profile: profile, files: files)
            return []
        } catch {
            return error.errors.map(\.description)
        }
    }

    @Test("OC1: issuers and database are enough; the rest is defaults, the key set URL derived")
    func minimal() throws {
        let configuration = try self.read(["DATABASE_URL": "postgres://sync@db/sync"])
        #expect(configuration.listenAddress.description == "0.0.0.0:5379")
        #expect(
            configuration.trustedIssuers == [TrustedIssuer("https://a", keySetURL: "https://a/.well-known/jwks.json")])
        #expect(configuration.database == .postgres(Secret("postgres://sync@db/sync")))
        #expect(configuration.audiences.isEmpty)
        #expect(configuration.recordBlobBytesMax == 5_242_880)
        #expect(configuration.connectionsPerMailboxMax == 16)
        #expect(configuration.shutdownTimeout == .seconds(30))
    }

    @Test("OC2: without a database URL the data is in a SQLite file")
    func defaultDatabase() throws {
        #expect(try self.read([:]).database == .sqlite(path: "./data/less-sync.db"))
    }

    @Test(
        "Database URLs pick the backend",
        arguments: [
            ("postgres://u:p@h/d?sslmode=require", .postgres(Secret("postgres://u:p@h/d?sslmode=require"))),
            ("postgresql:///d", .postgres(Secret("postgresql:///d"))), ("sqlite:a.db", .sqlite(path: "a.db")),
            ("sqlite://a.db", .sqlite(path: "a.db")), ("sqlite:///var/a.db", .sqlite(path: "/var/a.db")),
            ("sqlite:/var/a.db", .sqlite(path: "/var/a.db")), ("sqlite::memory:", .sqliteInMemory),
        ] as [(String, DatabaseLocation)])
    func databaseURLs(url: String, expected: DatabaseLocation) throws {
        #expect(try self.read(["DATABASE_URL": url]).database == expected)
    }

    @Test(
        "A database URL of another scheme is refused without repeating what may be a password",
        arguments: [
            ("mysql://u:secret@h/d", #"unsupported DATABASE_URL scheme "mysql""#),
            ("", #"unsupported DATABASE_URL scheme """#), ("sqlite", #"unsupported DATABASE_URL scheme """#),
            ("./data.db", #"unsupported DATABASE_URL scheme """#),
            ("postgres:d", #"unsupported DATABASE_URL scheme "postgres""#),
            ("pass word:x", #"unsupported DATABASE_URL scheme """#), ("sqlite:", "DATABASE_URL names no file"),
            ("sqlite://", "DATABASE_URL names no file"),
        ])
    func unsupportedDatabase(url: String, message: String) {
        #expect(self.errors(["DATABASE_URL": url]) == ["Error: " + message])
    }

    @Test(
        "OC3: an address that is none",
        arguments: [
            "not-an-address", "", "5379", "localhost:5379", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3:80",
            "::1:80",
            "[::1]", "[1.2.3.4]:80", "[]:80", "1.2.3.4:-1", "1.2.3.4:+1", "1.2.3.4:8o", " 1.2.3.4:80", "[::1:80",
            "0x7f.1:80",
        ])
    func wrongAddress(address: String) {
        #expect(
            self.errors(["LISTEN_ADDR": address]) == [
                "Error: invalid LISTEN_ADDR \"\(address)\": expected an IP address and a port"
            ])
    }

    @Test(
        "Addresses to listen on",
        arguments: [
            ("127.0.0.1:1", "127.0.0.1:1", true), (":5379", "0.0.0.0:5379", false), ("[::1]:0", "[::1]:0", true),
            ("[::]:65535", "[::]:65535", false), ("[0:0:0:0:0:0:0:1]:80", "[0:0:0:0:0:0:0:1]:80", true),
            ("127.1.2.3:80", "127.1.2.3:80", true), ("128.0.0.1:80", "128.0.0.1:80", false),
        ])
    func addresses(text: String, expected: String, isLoopback: Bool) throws {
        let address = try self.read(["LISTEN_ADDR": text]).listenAddress
        #expect(address.description == expected)
        #expect(address.isLoopback == isLoopback)
    }

    @Test("OC4: no issuers, or white space only", arguments: [nil, "", " \t\n"])
    func noIssuers(text: String?) {
        let environment = text.map { ["TRUSTED_ISSUERS": $0] } ?? [:]
        #expect(throws: ConfigurationErrors(errors: [.init("TRUSTED_ISSUERS", "TRUSTED_ISSUERS must be set")])) {
            try ServerConfiguration.read(environment: environment, readFile: { _ in "" })
        }
    }

    @Test("OC5: an issuer with a key set URL of its own; the first = divides")
    func keySetURL() throws {
        let configuration = try self.read([
            "TRUSTED_ISSUERS": "https://a=http://auth.internal/.well-known/jwks.json?v=1"
        ])
        #expect(
            configuration.trustedIssuers == [
                TrustedIssuer("https://a", keySetURL: "http://auth.internal/.well-known/jwks.json?v=1")
            ])
    }

    @Test("OC6: trailing slashes of issuers are removed; of several entries for one issuer the last counts")
    func issuerSlashes() throws {
        #expect(try self.read(["TRUSTED_ISSUERS": "https://a///"]).trustedIssuers.map(\.issuer) == ["https://a"])
        let configuration = try self.read(["TRUSTED_ISSUERS": "https://a=https://x \n https://b\thttps://a/=https://y"])
        #expect(
            configuration.trustedIssuers == [
                TrustedIssuer("https://b"), TrustedIssuer("https://a", keySetURL: "https://y"),
            ])
    }

    @Test(
        "OC7: issuers and key set URLs must be absolute http(s) URLs",
        arguments: [
            ("not-a-url", #"invalid issuer URL "not-a-url": not an absolute URL"#),
            ("ftp://a", #"invalid issuer URL "ftp://a": must use http or https"#),
            ("https://", #"invalid issuer URL "https://": empty host"#),
            ("https:///path", #"invalid issuer URL "https:///path": empty host"#),
            ("https://a:x", #"invalid issuer URL "https://a:x": invalid port number"#),
            ("https://a:65536", #"invalid issuer URL "https://a:65536": invalid port number"#),
            ("https://ä", #"invalid issuer URL "https://ä": not visible ASCII"#),
            ("https://ok https:a", #"invalid issuer URL "https:a": not an absolute URL"#),
            ("://a", #"invalid issuer URL "://a": not an absolute URL"#),
            ("=https://a", #"invalid issuer URL "": not an absolute URL"#),
            ("https://a=", #"invalid jwks_url URL "": not an absolute URL"#),
            ("https://a=file:///keys", #"invalid jwks_url URL "file:///keys": must use http or https"#),
        ])
    func wrongIssuers(text: String, message: String) {
        #expect(self.errors(["TRUSTED_ISSUERS": text]) == ["Error: " + message])
    }

    @Test(
        "Issuers of every usual form",
        arguments: [
            "http://127.0.0.1:3000", "https://[::1]:8443/realms/x", "HTTPS://Accounts.Example.com", "https://u@h/",
        ])
    func issuers(text: String) throws {
        #expect(try self.read(["TRUSTED_ISSUERS": text]).trustedIssuers == [TrustedIssuer(text)])
    }

    @Test("OC8: audiences are trimmed and empty ones dropped")
    func audiences() throws {
        #expect(try self.read(["AUDIENCES": "x, y ,"]).audiences == ["x", "y"])
        #expect(try self.read(["AUDIENCES": " , "]).audiences.isEmpty)
    }

    @Test("OC9: the identity hash key is 32 bytes in hexadecimal, or absent")
    func identityHashKey() throws {
        let hex = String(repeating: "aF", count: 32)
        #expect(
            try self.read(["IDENTITY_HASH_KEY": " \(hex)\n"]).identityHashKey?.reveal()
                == Array(repeating: 0xaf, count: 32))
        for text in ["", "  "] { #expect(try self.read(["IDENTITY_HASH_KEY": text]).identityHashKey == nil) }
        #expect(
            self.errors(["IDENTITY_HASH_KEY": String(repeating: "ab", count: 16)]) == [
                "Error: IDENTITY_HASH_KEY must be 64 hex characters (32 bytes), got 16 bytes"
            ])
        for text in ["not-hex", "abc", "zz", "１２"] {
            #expect(self.errors(["IDENTITY_HASH_KEY": text]) == ["Error: IDENTITY_HASH_KEY must be valid hex"])
        }
    }

    @Test(
        "Numbers have a range and a message",
        arguments: [
            ("MAX_RECORD_BLOB_SIZE", ["0", "-1", "abc", "", "1.5", " 1"], "must be a positive integer"),
            ("MAX_FILE_SIZE", ["0", "99999999999999999999"], "must be a positive integer"),
            ("DATABASE_POOL_SIZE", ["2", "x", "10001"], "must be an integer from 3 to 10000"),
            ("MAX_CONNECTIONS_PER_MAILBOX", ["0"], "must be an integer from 1 to 1000000"),
            ("MAX_CONNECTIONS", ["0"], "must be an integer from 1 to 10000000"),
            ("MAX_UNAUTHENTICATED_CONNECTIONS", ["0"], "must be an integer from 1 to 10000000"),
            ("RATE_LIMIT_INVITATIONS_PER_HOUR", ["-1", "ten"], "must be an integer from 0 to 1000000000"),
            ("RATE_LIMIT_MEMBERSHIP_APPENDS_PER_HOUR", ["-1", ""], "must be an integer from 0 to 1000000000"),
            ("SHUTDOWN_TIMEOUT_SECONDS", ["0", "86401", "1s"], "must be an integer from 1 to 86400"),
            ("MIGRATE_ON_START", ["yes", "TRUE", ""], "must be true, false, 1 or 0"),
            ("PERF_MODE", ["on"], "must be true, false, 1 or 0"),
            ("ENFORCE_TOKEN_EXPIRY", ["2"], "must be true, false, 1 or 0"),
        ])
    func wrongNumbers(name: String, values: [String], message: String) {
        for value in values { #expect(self.errors([name: value]) == ["Error: \(name) \(message)"]) }
    }

    @Test(
        "Words have a list and a message",
        arguments: [
            ("SQLITE_SYNCHRONOUS", "off", #"expected "full" or "normal""#),
            ("LOG_FORMAT", "xml", #"expected "text" or "json""#),
            ("LOG_LEVEL", "loud", "expected one of trace, debug, info, notice, warning, error"),
        ])
    func wrongWords(name: String, value: String, message: String) {
        #expect(self.errors([name: value]) == ["Error: invalid \(name) \"\(value)\": \(message)"])
    }

    @Test("Every setting arrives where it belongs")
    func values() throws {
        let configuration = try self.read([
            "MAX_RECORD_BLOB_SIZE": "1", "MAX_FILE_SIZE": "2", "DATABASE_POOL_SIZE": "3",
            "SQLITE_SYNCHRONOUS": "normal",
            "MAX_CONNECTIONS_PER_MAILBOX": "4", "MAX_CONNECTIONS": "5", "MAX_UNAUTHENTICATED_CONNECTIONS": "6",
            "SHUTDOWN_TIMEOUT_SECONDS": "7", "MIGRATE_ON_START": "false", "LOG_LEVEL": "Warn", "LOG_FORMAT": "json",
            "PERF_MODE": "1", "ENFORCE_TOKEN_EXPIRY": "true", "UNKNOWN": "ignored",
            "RATE_LIMIT_INVITATIONS_PER_HOUR": "8", "RATE_LIMIT_MEMBERSHIP_APPENDS_PER_HOUR": "0",
        ])
        #expect(configuration.recordBlobBytesMax == 1)
        #expect(configuration.fileBytesMax == 2)
        #expect(configuration.databasePoolSize == 3)
        #expect(configuration.sqliteSynchronous == .normal)
        #expect(configuration.connectionsPerMailboxMax == 4)
        #expect(configuration.connectionsMax == 5)
        #expect(configuration.unauthenticatedConnectionsMax == 6)
        #expect(configuration.invitationsPerHour == 8)
        #expect(configuration.membershipAppendsPerHour == 0)
        #expect(configuration.shutdownTimeout == .seconds(7))
        #expect(!configuration.migratesOnStart)
        #expect(configuration.logLevel == .warning)
        #expect(configuration.logFormat == .json)
        #expect(configuration.isPerformanceMode)
        #expect(configuration.enforcesTokenExpiry)
    }

    @Test("LOG_FORMAT is what standard output suggests, unless it is chosen")
    func logFormat() throws {
        #expect(try self.read(["LOG_FORMAT": ""]).logFormat == nil)
        #expect(ServerLog.format(nil, isTerminal: true) == .text)
        #expect(ServerLog.format(nil, isTerminal: false) == .json)
        for format in LogFormat.allCases {
            #expect(try self.read(["LOG_FORMAT": format.rawValue]).logFormat == format)
            for isTerminal in [true, false] { #expect(ServerLog.format(format, isTerminal: isTerminal) == format) }
        }
    }

    @Test("A bare level in RUST_LOG counts when LOG_LEVEL is unset")
    func rustLog() throws {
        #expect(try self.read(["RUST_LOG": "debug"]).logLevel == .debug)
        #expect(try self.read(["RUST_LOG": "sync=debug,info"]).logLevel == .info)
        #expect(try self.read(["RUST_LOG": "debug", "LOG_LEVEL": "error"]).logLevel == .error)
    }

    @Test("The defaults of the table are those of the value")
    func defaults() throws {
        let environment = ConfigurationVariable.all.reduce(into: [String: String]()) { $0[$1.name] = $1.defaultText }
        var expected = ServerConfiguration()
        expected.trustedIssuers = [TrustedIssuer("https://a")]
        expected.warnings = ["IDENTITY_HASH_KEY is not set: application rate limits are off"]
        #expect(try self.read(environment) == expected)
        #expect(try self.read([:]) == expected)
    }

    @Test("OC20: all wrong variables are reported at once, in the order of the table, one line each")
    func allErrors() {
        let environment = [
            "LISTEN_ADDR": "x\ny", "DATABASE_URL": "redis://u:secret@h", "TRUSTED_ISSUERS": "nope also-nope",
            "IDENTITY_HASH_KEY": "secret", "PERF_MODE": "maybe", "LOG_LEVEL": "\"",
        ]
        let lines = self.errors(environment)
        #expect(
            lines == [
                #"Error: invalid LISTEN_ADDR "x\ny": expected an IP address and a port"#,
                #"Error: unsupported DATABASE_URL scheme "redis""#,
                #"Error: invalid issuer URL "nope": not an absolute URL"#,
                "Error: IDENTITY_HASH_KEY must be valid hex",
                #"Error: invalid LOG_LEVEL "\"": expected one of trace, debug, info, notice, warning, error"#,
                "Error: PERF_MODE must be true, false, 1 or 0",
            ])
        #expect(!lines.joined().contains("secret"))
    }

    @Test("A flag is stronger than the environment, which is stronger than a default")
    func precedence() throws {
        let environment = ["LISTEN_ADDR": "nonsense", "IDENTITY_HASH_KEY_FILE": "/missing"]
        let flags = ["LISTEN_ADDR": "127.0.0.1:1", "IDENTITY_HASH_KEY": ""]
        #expect(try self.read(environment, flags: flags).listenAddress.port == 1)
    }

    @Test("Secrets can be read from a file, without the newline at its end")
    func secretFiles() throws {
        let url = "postgres://u:p@h/d"
        for content in [url, url + "\n", url + "\r\n"] {
            let configuration = try self.read(["DATABASE_URL_FILE": "/secret"], files: ["/secret": content])
            #expect(configuration.database == .postgres(Secret(url)))
        }
        #expect(self.errors(["DATABASE_URL_FILE": "/no"]) == [#"Error: DATABASE_URL_FILE: cannot read "/no""#])
        #expect(
            self.errors(["DATABASE_URL_FILE": "/secret", "DATABASE_URL": "sqlite:a"], files: ["/secret": url])
                == ["Error: DATABASE_URL and DATABASE_URL_FILE are both set"])
        #expect(try self.read(["LISTEN_ADDR_FILE": "/no"]).listenAddress.port == 5379)
    }

    @Test("Settings that are probably not meant are worth a warning")
    func warnings() throws {
        let key = String(repeating: "00", count: 32)
        let configuration = try self.read(["PERF_MODE": "true", "IDENTITY_HASH_KEY": key])
        #expect(configuration.warnings == ["PERF_MODE is on: limits are lifted, not for production"])
        #expect(try self.read(["IDENTITY_HASH_KEY": key]).warnings.isEmpty)
    }

    @Test("Metrics have an address of their own, or none")
    func metricsAddress() throws {
        #expect(try self.read([:]).metricsAddress == nil)
        #expect(try self.read(["METRICS_LISTEN_ADDR": ""]).metricsAddress == nil)
        #expect(try self.read(["METRICS_LISTEN_ADDR": "127.0.0.1:9464"]).metricsAddress?.port == 9_464)
        #expect(
            self.errors(["METRICS_LISTEN_ADDR": "9464"]) == [
                #"Error: invalid METRICS_LISTEN_ADDR "9464": expected an IP address and a port"#
            ])
    }

    @Test("dev needs no issuer and listens on loopback only")
    func dev() throws {
        let configuration = try self.read([:], profile: .dev)
        #expect(configuration.listenAddress.description == "127.0.0.1:5379")
        #expect(configuration.trustedIssuers.isEmpty)
        #expect(configuration.warnings.isEmpty)
        #expect(try self.read(["LISTEN_ADDR": "[::1]:80"], profile: .dev).listenAddress.isLoopback)
        for address in ["0.0.0.0:80", "10.0.0.1:80", "[::]:80"] {
            #expect(
                self.errors(["LISTEN_ADDR": address], profile: .dev) == [
                    "Error: invalid LISTEN_ADDR \"\(address)\": dev listens on loopback only"
                ])
        }
    }

    @Test("Secrets print as <redacted>, in dumps too")
    func redaction() throws {
        let configuration = try self.read([
            "DATABASE_URL": "postgres://u:hunter2@h/d", "IDENTITY_HASH_KEY": String(repeating: "5a", count: 32),
        ])
        var dumped = ""
        dump(configuration, to: &dumped)
        for text in ["\(configuration)", String(reflecting: configuration), dumped] {
            #expect(!text.contains("hunter2"))
            #expect(!text.contains("90, 90"))
            #expect(text.contains("<redacted>"))
        }
    }
}
