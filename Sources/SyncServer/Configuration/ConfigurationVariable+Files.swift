extension ConfigurationVariable {
    /// Where files are kept (docs/contract/operations.md §2.2).
    static let files: [ConfigurationVariable] = [
        ConfigurationVariable(
            "FILE_STORAGE_BACKEND", aliases: ["FILE_STORAGE"], default: "none", valueName: "WORD",
            help: "Where files are kept: none (no file routes), local (a directory) or s3",
            sets: \.fileStorage, parse: Self.fileStorage),
        ConfigurationVariable(
            "FILE_STORAGE_PATH", aliases: ["FILE_FS_PATH"], default: "./data/files", valueName: "DIRECTORY",
            help: "Directory of the local backend, and of unfinished resumable uploads with every backend",
            sets: \.fileStoragePath,
            parse: { text throws(ConfigurationError) in
                guard !text.isEmpty else {
                    throw ConfigurationError("FILE_STORAGE_PATH", "FILE_STORAGE_PATH must not be empty")
                }
                return text
            }),
        ConfigurationVariable(
            "FILE_S3_ENDPOINT", valueName: "URL", help: "Address of the S3-compatible service",
            sets: \.s3.endpoint, parse: { Self.trimmed($0[...]) }),
        ConfigurationVariable(
            "FILE_S3_ACCESS_KEY", valueName: "TEXT", help: "Access key id", isSecret: true,
            sets: \.s3.accessKey, parse: { Secret(Self.trimmed($0[...])) }),
        ConfigurationVariable(
            "FILE_S3_SECRET_KEY", valueName: "TEXT", help: "Secret access key", isSecret: true,
            sets: \.s3.secretKey, parse: { Secret(Self.trimmed($0[...])) }),
        ConfigurationVariable(
            "FILE_S3_BUCKET", valueName: "NAME", help: "Bucket, which must exist",
            sets: \.s3.bucket, parse: { Self.trimmed($0[...]) }),
        ConfigurationVariable(
            "FILE_S3_REGION", default: "us-east-1", valueName: "NAME", help: "Region that requests are signed for",
            sets: \.s3.region, parse: { $0 }),
        ConfigurationVariable(
            "FILE_S3_USE_SSL", default: "true", valueName: "WORD",
            help: "false: http for an endpoint that does not say; anything else: https",
            sets: \.s3.usesTLS, parse: { $0 != "false" }),
    ]

    private static func fileStorage(_ text: String) throws(ConfigurationError) -> FileStorage {
        switch text {
        case "none": return .none
        case "local", "fs": return .local
        case "s3": return .s3
        default:
            throw ConfigurationError(
                "FILE_STORAGE_BACKEND",
                "invalid FILE_STORAGE_BACKEND \(ConfigurationError.quoted(text)): "
                    + #"expected "none", "local", or "s3""#)
        }
    }
}

extension ServerConfiguration {
    /// What is missing or malformed for the backend that was chosen.
    var fileStorageProblems: [ConfigurationError] {
        guard self.fileStorage == .s3 else { return [] }
        let required = [
            ("FILE_S3_ENDPOINT", self.s3.endpoint), ("FILE_S3_ACCESS_KEY", self.s3.accessKey.reveal()),
            ("FILE_S3_SECRET_KEY", self.s3.secretKey.reveal()), ("FILE_S3_BUCKET", self.s3.bucket),
        ]
        var problems = required.filter { $0.1.isEmpty }.map { name, _ in
            ConfigurationError(name, "\(name) is required when FILE_STORAGE_BACKEND=s3")
        }
        func check(_ name: String, _ problem: String?) {
            guard let problem, !problems.contains(where: { $0.variable == name }) else { return }
            problems.append(
                ConfigurationError(name, "failed to initialize S3 object store: invalid \(name): \(problem)"))
        }
        check("FILE_S3_ENDPOINT", self.s3.endpointProblem)
        check("FILE_S3_ACCESS_KEY", S3Variables.isVisibleASCII(self.s3.accessKey.reveal()) ? nil : "not visible ASCII")
        check("FILE_S3_BUCKET", self.s3.bucketProblem)
        check("FILE_S3_REGION", S3Variables.isVisibleASCII(self.s3.region) ? nil : "not visible ASCII")
        return problems
    }
}

extension S3Variables {
    fileprivate var endpointProblem: String? {
        let url = self.endpointURL
        if let problem = AbsoluteURL.problem(of: url) { return problem }
        let authority = url.drop { $0 != ":" }.dropFirst(3)
        return authority.contains { "/?#@".contains($0) } ? "expected a host and a port, nothing else" : nil
    }

    /// The names that need no escaping in a path; AWS allows fewer, other services more.
    fileprivate var bucketProblem: String? {
        let isName = self.bucket.utf8.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "-._".utf8.contains(byte)
        }
        return isName && !self.bucket.allSatisfy { $0 == "." } && self.bucket.utf8.count <= 255
            ? nil : "expected letters, digits, '-', '.' and '_'"
    }

    fileprivate static func isVisibleASCII(_ text: String) -> Bool { text.utf8.allSatisfy { 0x21...0x7e ~= $0 } }
}
