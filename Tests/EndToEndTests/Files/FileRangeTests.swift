import NIOCore
import SyncProtocol
import SyncTesting
import Testing

/// docs/contract/http.md §9.3, Δ-H9.
@Suite("Ranges and conditions of files", .timeLimit(.minutes(5)))
struct FileRangeTests {
    static let ranges: [(header: String, expected: Range<Int>)] = [
        ("bytes=0-0", 0..<1), ("bytes=0-99", 0..<100), ("bytes=100-", 100..<1_000), ("bytes=-1", 999..<1_000),
        ("bytes=-5000", 0..<1_000), ("bytes=999-99999999999999999999", 999..<1_000), ("Bytes=10-10", 10..<11),
    ]

    @Test("HL19: one range of bytes is 206", arguments: FileSetting.all)
    func part(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                let bytes = ByteBuffer.pattern(1_000)
                try await files.put(file, bytes)
                for (header, range) in Self.ranges {
                    let answer = try await files.get(file, ("Range", header))
                    #expect(answer.status == 206, "\(header)")
                    #expect(answer.body == bytes.getSlice(at: range.lowerBound, length: range.count), "\(header)")
                    #expect(answer.headers["content-range"] == "bytes \(range.lowerBound)-\(range.upperBound - 1)/1000")
                    #expect(answer.headers["content-length"] == String(range.count))
                    #expect(answer.headers["accept-ranges"] == "bytes")
                    #expect(answer.headers["etag"] == "\"\(file.wireText)\"")
                }
                for header in ["bytes=1000-", "bytes=1000-1001", "bytes=-0"] {
                    let answer = try await files.get(file, ("Range", header))
                    #expect(answer.status == 416, "\(header)")
                    #expect(answer.headers["content-range"] == "bytes */1000")
                    #expect(answer.message == "range not satisfiable")
                }
                let ignored = [
                    "bytes=0-1,5-6", "bytes=5-1", "bytes=a-b", "bytes=-", "items=0-1", "bytes 0-1", "bytes=1",
                    "bytes=+1-2",
                ]
                for header in ignored {
                    let answer = try await files.get(file, ("Range", header))
                    #expect(answer.status == 200, "\(header)")
                    #expect(answer.body == bytes)
                    #expect(answer.headers["content-range"] == nil)
                }
                let looked = try await files.head(file, ("Range", "bytes=0-0"))
                #expect(looked.status == 200)
                #expect(looked.headers["content-length"] == "1000")
            }
        }
    }

    @Test("If-Range and If-None-Match compare the ETag", arguments: FileSetting.all)
    func conditions(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                try await files.put(file, .pattern(100))
                let tag = "\"\(file.wireText)\""
                let range = ("Range", "bytes=0-9")
                #expect(try await files.get(file, range, ("If-Range", tag)).status == 206)
                for other in ["\"x\"", "W/\(tag)", "Tue, 24 Nov 2026 18:00:00 GMT"] {
                    let answer = try await files.get(file, range, ("If-Range", other))
                    #expect(answer.status == 200)
                    #expect(answer.body.readableBytes == 100)
                }
                for named in [tag, "W/\(tag)", "*", "\"x\", \(tag)", "\"x\" ,W/\(tag) "] {
                    for method in ["GET", "HEAD"] {
                        let answer = try await files.request(
                            method, files.path(file), files.credentials + [("If-None-Match", named), range])
                        #expect(answer.status == 304, "\(named)")
                        #expect(answer.headers["etag"] == tag)
                        #expect(answer.body.readableBytes == 0)
                    }
                }
                for other in ["\"x\"", file.wireText, ""] {
                    #expect(try await files.get(file, ("If-None-Match", other)).status == 200)
                }
                let unknown = try await files.get(.random(), ("If-None-Match", "*"))
                #expect(unknown.status == 404)
                let dated = try await files.get(file, ("If-Modified-Since", "Tue, 24 Nov 2099 18:00:00 GMT"))
                #expect(dated.status == 200)
            }
        }
    }

    @Test("ranges of an empty file", arguments: FileSetting.all)
    func empty(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                try await files.put(file, ByteBuffer())
                for (header, status) in [("bytes=0-", 416), ("bytes=-1", 200), ("bytes=-0", 416)] {
                    #expect(try await files.get(file, ("Range", header)).status == status, "\(header)")
                }
            }
        }
    }
}
