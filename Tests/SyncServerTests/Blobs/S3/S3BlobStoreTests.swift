import Foundation
import NIOCore
import NIOHTTP1
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncServer

/// What only a bucket can show, against a server that verifies signatures.
@Suite("S3 blob store", .enabled(if: TestBlobStore.available.contains(.s3)), .timeLimit(.minutes(2)))
struct S3BlobStoreTests {
    @Test("BL7, OC13: a store is made, prepared and closed without a connection; the first use says what is wrong")
    func noNetwork() async throws {
        try await TemporaryDirectory.with { directory in
            var configuration = ServerConfiguration()
            configuration.fileStorage = .s3
            configuration.fileStoragePath = directory + "/files"
            // Nobody listens there, and a connection would be refused.
            configuration.s3.endpoint = "http://127.0.0.1:1"
            configuration.s3.accessKey = Secret("a")
            configuration.s3.secretKey = Secret("b")
            configuration.s3.bucket = "c"
            let files = try #require(try await OpenedFileStorage.open(configuration))
            await #expect { _ = try await files.store.length(of: .random()) } throws: { error in
                guard case .unavailable(let detail) = error as? BlobError else { return false }
                return detail.hasPrefix("HEAD: ")
            }
            await files.store.close()
            #expect(TemporaryDirectory.files(below: directory) == [])
        }
    }

    @Test("BL9: an object put by hand at the documented path is read, and objects are put there")
    func layout() async throws {
        try await TestBucket.with { bucket async throws in
            try await bucket.withClient { client async throws in
                let store = S3BlobStore(client: client, fileBytesMax: 100)
                let byHand = FileKey.random()
                let request = S3Client.Request(
                    method: .PUT, key: "spaces/\(byHand.space.wireText)/files/\(byHand.file.wireText)",
                    body: ByteBuffer(string: "by hand"),
                    payloadHash: "c9616cb59d02c9ee41e1bd3f02c60ee7ca83b44ecf5719ced43f1a14e0391ed9")
                #expect(try await client.send(request).status == .ok)
                #expect(try await store.bytes(of: byHand) == ByteBuffer(string: "by hand"))
                // What lies beside the objects is not one of them.
                let other = S3Client.Request(method: .PUT, key: "spaces/README", body: ByteBuffer())
                #expect(try await client.send(other).status == .ok)
                #expect(try await store.allEntries().map(\.key) == [byHand])
            }
        }
    }

    @Test("A wrong secret, an unknown key and a missing bucket are named, and nothing is stored")
    func misconfigured() async throws {
        try await TestBucket.with { bucket async throws in
            func expect(_ detail: String, _ change: (inout S3Variables) -> Void) async throws {
                var other = bucket
                change(&other.variables)
                try await other.withStore { store async throws in
                    await #expect(throws: BlobError.failed(detail: "PUT was answered with \(detail)")) {
                        try await store.put(.random(), patternedBytes(5))
                    }
                    await #expect(throws: BlobError.failed(detail: "GET was answered with \(detail)")) {
                        _ = try await store.open(.random(), range: nil)
                    }
                    await #expect(throws: BlobError.failed(detail: "GET was answered with \(detail)")) {
                        _ = try await store.allEntries()
                    }
                }
            }
            try await expect("403 SignatureDoesNotMatch") { $0.secretKey = Secret("wrong") }
            try await expect("403 InvalidAccessKeyId") { $0.accessKey = Secret("unknown") }
            try await expect("404 NoSuchBucket") { $0.bucket = "missing" }
            try await bucket.withStore { store async throws in #expect(try await store.allEntries() == []) }
        }
    }

    @Test("Abandoned uploads leave no parts; those that a process left are removed once they are old")
    func leftovers() async throws {
        try await TestBucket.with { bucket async throws in
            try await bucket.withClient { client async throws in
                let store = S3BlobStore(client: client, fileBytesMax: TestBlobStore.fileBytesMax)
                func uploads() async throws -> Int {
                    let answer = try await client.send(S3Client.Request(method: .GET, query: [("uploads", "")]))
                    return S3Answer.elements("Upload", in: answer.text[...]).count
                }
                let abandoned = try await store.begin(.random(), length: 8_000_000)
                try await abandoned.append(patternedBytes(6_000_000))
                #expect(try await uploads() == 1)
                await abandoned.abandon()
                #expect(try await uploads() == 0)

                let left = try await store.begin(.random(), length: 8_000_000)
                try await left.append(patternedBytes(6_000_000))
                try await store.removeUnfinished(before: Date() - 3_600)
                #expect(try await uploads() == 1)
                try await store.removeUnfinished(before: Date() + 3_600)
                #expect(try await uploads() == 0)
                await #expect(throws: BlobError.self) {
                    try await left.append(patternedBytes(2_000_000)); try await left.finish()
                }
            }
        }
    }

    @Test("A server that goes away is unavailable, and the same store works again when it is back")
    func outage() async throws {
        let server = try await ObjectStoreServer.start()
        try await TestBucket.with(server) { bucket async throws in
            try await bucket.withStore { store async throws in
                let key = FileKey.random()
                try await store.put(key, patternedBytes(70_000))
                await server.crash()
                await #expect { _ = try await store.open(key, range: nil) } throws: { error in
                    guard case .unavailable = error as? BlobError else { return false }
                    return true
                }
                try await server.resume()
                // It answers before it knows where its data is.
                while (try? await store.bytes(of: key)) != patternedBytes(70_000) {
                    try await Task.sleep(for: .milliseconds(50))
                }
                #expect(try await store.length(of: key) == 70_000)
            }
        }
        await server.remove()
    }

    // MARK: Faults

    /// Runs `body` with a store behind a proxy that makes `decide`'s faults, and waits no time between attempts.
    private func withFaults(
        _ decide: @escaping @Sendable (FaultProxy.Seen) -> FaultProxy.Fault?,
        _ body: (S3BlobStore, FaultProxy) async throws -> Void
    ) async throws {
        try await TestBucket.with { bucket async throws in
            try await FaultProxy.run(to: bucket, decide) { proxied, proxy in
                let client = S3Client(proxied.variables, clock: ImpatientClock())
                do {
                    try await body(S3BlobStore(client: client, fileBytesMax: TestBlobStore.fileBytesMax), proxy)
                } catch {
                    await client.close()
                    throw error
                }
                await client.close()
            }
        }
    }

    private static let slowDown =
        "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"

    @Test("What may succeed the next time is tried again: 503, 500, 429, 408 and lost connections")
    func retries() async throws {
        try await self.withFaults { seen in
            switch seen.earlier {
            case 0: .answer(.serviceUnavailable, body: Self.slowDown)
            case 1: seen.method == .GET ? .answer(.tooManyRequests) : .answer(.internalServerError)
            case 2: seen.method == .PUT ? .drop : .answer(.requestTimeout)
            default: nil
            }
        } _: { store, proxy async throws in
            let key = FileKey.random()
            #expect(try await store.put(key, patternedBytes(90_000)))
            #expect(proxy.requests.count == 4)
            #expect(try await store.bytes(of: key) == patternedBytes(90_000))
            #expect(try await store.length(of: key) == 90_000)
            try await store.delete(key)
            #expect(try await store.length(of: key) == nil)
        }
    }

    @Test("After the last attempt the service is unavailable, and the code says why")
    func noMoreRetries() async throws {
        try await self.withFaults { _ in
            .answer(.serviceUnavailable, body: Self.slowDown)
        } _: { store, proxy async throws in
            let error = BlobError.unavailable(detail: "PUT was answered with 503 SlowDown")
            await #expect(throws: error) { try await store.put(.random(), patternedBytes(9)) }
            #expect(proxy.requests.count == S3Limits.attemptsMax)
        }
    }

    @Test("What will not succeed the next time is not tried again")
    func refusal() async throws {
        try await self.withFaults { _ in
            .answer(.forbidden)
        } _: { store, proxy async throws in
            await #expect(throws: BlobError.failed(detail: "PUT was answered with 403 Forbidden")) {
                try await store.put(.random(), patternedBytes(9))
            }
            #expect(proxy.requests.count == 1)
        }
    }

    @Test("A service without conditional PUT is asked first whether the object is there")
    func withoutConditions() async throws {
        try await self.withFaults { seen in
            seen.headers.contains(name: "if-none-match") ? .answer(.notImplemented) : nil
        } _: { store, proxy async throws in
            let key = FileKey.random()
            #expect(try await store.put(key, patternedBytes(9)))
            #expect(try await !store.put(key, patternedBytes(10)))
            #expect(try await store.length(of: key) == 9)
            #expect(proxy.requests.map(\.method) == [.PUT, .HEAD, .PUT, .PUT, .HEAD, .HEAD])
        }
    }

    @Test("A conflict is tried once more, and then means that somebody else's object is there")
    func conflicts() async throws {
        try await self.withFaults { seen in
            seen.headers.contains(name: "if-none-match") && seen.earlier != 1 ? .answer(.conflict) : nil
        } _: { store, proxy async throws in
            #expect(try await store.put(.random(), patternedBytes(9)))
            #expect(proxy.requests.count == 2)
            #expect(try await !store.put(.random(), patternedBytes(9)))
            #expect(proxy.requests.count == 4)
        }
    }

    @Test("A large object is asked for before it is completed, because not every service looks at the condition then")
    func conditionOfLargeObjects() async throws {
        try await self.withFaults { _ in
            nil
        } _: { store, proxy async throws in
            let key = FileKey.random()
            #expect(try await store.put(key, patternedBytes(5_500_000)))
            let before = proxy.requests.count
            #expect(try await !store.put(key, patternedBytes(6_000_000)))
            #expect(proxy.requests.dropFirst(before).map(\.method) == [.POST, .PUT, .PUT, .HEAD, .DELETE])
            #expect(try await store.length(of: key) == 5_500_000)
        }
    }

    @Test("A large object whose completion was answered by nobody is there all the same", arguments: [true, false])
    func lostCompletion(replacing: Bool) async throws {
        try await self.withFaults { seen in
            seen.uri.contains("uploadId") && seen.method == .POST ? .loseAnswer : nil
        } _: { store, _ async throws in
            let key = FileKey.random()
            #expect(try await store.put(key, patternedBytes(5_500_000), replacing ? .replacing : .ifAbsent))
            #expect(try await store.bytes(of: key) == patternedBytes(5_500_000))
        }
    }

    @Test("A completion that fails after its head is a failure")
    func failedCompletion() async throws {
        try await self.withFaults { seen in
            seen.uri.contains("uploadId") && seen.method == .POST
                ? .answer(.ok, body: "<Error><Code>InternalError</Code></Error>") : nil
        } _: { store, _ async throws in
            let key = FileKey.random()
            await #expect(throws: BlobError.failed(detail: "POST was answered with 200 InternalError")) {
                try await store.put(key, patternedBytes(5_500_000))
            }
            #expect(try await store.length(of: key) == nil)
        }
    }

    @Test("A body that ends early is an error, not the end")
    func cutBody() async throws {
        try await self.withFaults { seen in
            seen.method == .GET ? .cutBody : nil
        } _: { store, _ async throws in
            let key = FileKey.random()
            try await store.put(key, patternedBytes(500_000))
            var count = 0
            await #expect(throws: BlobError.self) {
                for try await bytes in try await store.open(key, range: nil).body { count += bytes.readableBytes }
            }
            #expect(count < 500_000)
        }
    }

    @Test(
        "An answer that is not the range that was asked for is refused",
        arguments: [
            (HTTPResponseStatus.ok, "bytes 10-19/100"), (.partialContent, "bytes 0-9/100"),
            (.partialContent, "bytes 10-18/100"), (.partialContent, ""),
        ])
    func wrongRange(status: HTTPResponseStatus, range: String) async throws {
        try await self.withFaults { _ in
            .answer(status, body: "0123456789", headers: ["content-range": range])
        } _: { store, _ async throws in
            let detail =
                status == .ok ? "GET was answered with 200 OK" : "an answer without the range that was asked for"
            await #expect(throws: BlobError.failed(detail: detail)) {
                _ = try await store.open(.random(), range: 10..<20)
            }
        }
    }

    @Test("A service that lists the same page again and again is not asked for ever")
    func listingThatStandsStill() async throws {
        let page = """
            <R><IsTruncated>true</IsTruncated><NextContinuationToken>a</NextContinuationToken>\
            <NextKeyMarker>b</NextKeyMarker><NextUploadIdMarker>c</NextUploadIdMarker></R>
            """
        try await self.withFaults { seen in
            // Else a store that trusts the service would go on until the time limit.
            .answer(.ok, body: seen.earlier < 10 ? page : "<R><IsTruncated>false</IsTruncated></R>")
        } _: { store, proxy async throws in
            await #expect(throws: S3BlobListing.standsStill) { _ = try await store.allEntries() }
            #expect(proxy.requests.count == 2)
            await #expect(throws: S3BlobListing.standsStill) { try await store.removeUnfinished(before: Date()) }
            #expect(proxy.requests.count == 4)
        }
    }

    @Test("A cancelled request is not tried again")
    func cancelled() async throws {
        try await self.withFaults { _ in
            .answer(.serviceUnavailable)
        } _: { store, proxy async throws in
            let reading = Task {
                while !Task.isCancelled { await Task.yield() }
                return try await store.length(of: .random())
            }
            reading.cancel()
            await #expect(throws: BlobError.self) { try await reading.value }
            #expect(proxy.requests.count <= 1)
        }
    }
}
