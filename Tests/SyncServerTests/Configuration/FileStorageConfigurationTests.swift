import Testing

@testable import SyncServer

@Suite("Configuration of file storage")
struct FileStorageConfigurationTests {
    private struct NoSuchFile: Error {}

    private func read(
        _ environment: [String: String], files: [String: String] = [:]
    ) throws(ConfigurationErrors) -> ServerConfiguration {
        try ServerConfiguration.read(
            environment: environment.merging(["TRUSTED_ISSUERS": "https://a"]) { $1 },
            readFile: { path in
                guard let content = files[path] else { throw NoSuchFile() }
                return content
            })
    }

    private func errors(_ environment: [String: String]) -> [String] {
        do {
            _ = try self.read(environment)
            return []
        } catch {
            return error.errors.map(\.description)
        }
    }

    /// Complete settings, of which a test changes one.
    private func s3(_ changes: [String: String] = [:], without name: String? = nil) -> [String: String] {
        var settings = [
            "FILE_STORAGE_BACKEND": "s3", "FILE_S3_ENDPOINT": "s3.example.com", "FILE_S3_ACCESS_KEY": "key",
            "FILE_S3_SECRET_KEY": "secret", "FILE_S3_BUCKET": "files",
        ].merging(changes) { $1 }
        if let name { settings[name] = nil }
        return settings
    }

    @Test("OC10: without settings there are no files; local and fs are a directory, aliases work")
    func backends() throws {
        #expect(try self.read([:]).fileStorage == .none)
        #expect(try self.read(["FILE_STORAGE_BACKEND": "none", "FILE_STORAGE": "gcs"]).fileStorage == .none)
        let local = try self.read(["FILE_STORAGE_BACKEND": "local"])
        #expect(local.fileStorage == .local)
        #expect(local.fileStoragePath == "./data/files")
        let path = try self.read(["FILE_STORAGE_BACKEND": "fs", "FILE_STORAGE_PATH": "/var/files"])
        #expect(path.fileStorage == .local)
        #expect(path.fileStoragePath == "/var/files")
        let aliases = try self.read(["FILE_STORAGE": "fs", "FILE_FS_PATH": "/var/lib/files"])
        #expect(aliases.fileStorage == .local)
        #expect(aliases.fileStoragePath == "/var/lib/files")
    }

    @Test("OC10: another backend is an error that names the variable; the first name wins even when it is empty")
    func unknownBackends() {
        for name in ["FILE_STORAGE_BACKEND", "FILE_STORAGE"] {
            for backend in ["gcs", "Local", "S3", " s3", ""] {
                #expect(
                    self.errors([name: backend]) == [
                        "Error: invalid FILE_STORAGE_BACKEND \"\(backend)\": expected \"none\", \"local\", or \"s3\""
                    ])
            }
        }
        #expect(self.errors(["FILE_STORAGE_BACKEND": "", "FILE_STORAGE": "none"]).count == 1)
        #expect(self.errors(["FILE_STORAGE_PATH": ""]) == ["Error: FILE_STORAGE_PATH must not be empty"])
    }

    @Test("OC11: S3 needs endpoint, keys and bucket; the rest has defaults, and values are trimmed")
    func s3Settings() throws {
        let defaults = try self.read(self.s3())
        #expect(defaults.fileStorage == .s3)
        #expect(defaults.s3.region == "us-east-1")
        #expect(defaults.s3.usesTLS)
        #expect(defaults.s3.endpointURL == "https://s3.example.com")
        let other = try self.read(
            self.s3([
                "FILE_S3_REGION": "auto", "FILE_S3_USE_SSL": "false", "FILE_S3_ENDPOINT": " s3.example.com\n",
                "FILE_S3_ACCESS_KEY": " id ", "FILE_S3_SECRET_KEY": "\tword\n", "FILE_S3_BUCKET": " b ",
            ]))
        #expect(other.s3.region == "auto")
        #expect(other.s3.endpointURL == "http://s3.example.com")
        #expect(other.s3.accessKey.reveal() == "id")
        #expect(other.s3.secretKey.reveal() == "word")
        #expect(other.s3.bucket == "b")
    }

    @Test(
        "OC11: a missing or blank setting is named",
        arguments: ["FILE_S3_ENDPOINT", "FILE_S3_ACCESS_KEY", "FILE_S3_SECRET_KEY", "FILE_S3_BUCKET"])
    func missing(name: String) {
        let message = "Error: \(name) is required when FILE_STORAGE_BACKEND=s3"
        #expect(self.errors(self.s3(without: name)) == [message])
        #expect(self.errors(self.s3([name: "  "])) == [message])
    }

    @Test("OC11: all missing settings are named at once, and none while S3 is off")
    func allMissing() {
        #expect(
            self.errors(["FILE_STORAGE": "s3"])
                == [
                    "FILE_S3_ENDPOINT", "FILE_S3_ACCESS_KEY", "FILE_S3_SECRET_KEY", "FILE_S3_BUCKET",
                ].map { "Error: \($0) is required when FILE_STORAGE_BACKEND=s3" })
        #expect(self.errors(["FILE_STORAGE": "local", "FILE_S3_BUCKET": "a b"]) == [])
    }

    @Test(
        "OC12: an endpoint without a scheme gets one, an explicit scheme is kept",
        arguments: [
            ("localhost:9000", "false", "http://localhost:9000"), ("localhost:9000", "true", "https://localhost:9000"),
            ("localhost:9000", "no", "https://localhost:9000"), ("localhost:9000", "", "https://localhost:9000"),
            ("localhost:9000", "False", "https://localhost:9000"),
            ("http://localhost:9000", "true", "http://localhost:9000"),
            ("https://localhost:9000/", "false", "https://localhost:9000"),
            ("[::1]:9000", "false", "http://[::1]:9000"),
        ])
    func endpoints(endpoint: String, usesTLS: String, url: String) throws {
        let settings = self.s3(["FILE_S3_ENDPOINT": endpoint, "FILE_S3_USE_SSL": usesTLS])
        #expect(try self.read(settings).s3.endpointURL == url)
    }

    @Test(
        "Malformed settings of S3 are start-up errors",
        arguments: [
            ("FILE_S3_ENDPOINT", "http://", "empty host"), ("FILE_S3_ENDPOINT", "host:port", "invalid port number"),
            ("FILE_S3_ENDPOINT", "host/prefix", "expected a host and a port, nothing else"),
            ("FILE_S3_ENDPOINT", "user@host", "expected a host and a port, nothing else"),
            ("FILE_S3_BUCKET", "a/b", "expected letters, digits, '-', '.' and '_'"),
            ("FILE_S3_BUCKET", "..", "expected letters, digits, '-', '.' and '_'"),
            ("FILE_S3_REGION", "eu west", "not visible ASCII"), ("FILE_S3_ACCESS_KEY", "a b", "not visible ASCII"),
        ])
    func malformed(name: String, value: String, reason: String) {
        #expect(
            self.errors(self.s3([name: value])) == [
                "Error: failed to initialize S3 object store: invalid \(name): \(reason)"
            ])
    }

    @Test("Keys of S3 can be read from files, and are never shown")
    func secrets() throws {
        var settings = self.s3(without: "FILE_S3_SECRET_KEY")
        settings["FILE_S3_SECRET_KEY_FILE"] = "/run/secret"
        let configuration = try self.read(settings, files: ["/run/secret": "hidden\n"])
        #expect(configuration.s3.secretKey.reveal() == "hidden")
        #expect(!"\(configuration)".contains("hidden"))
    }
}
