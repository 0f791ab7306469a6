import Foundation
import Testing

@testable import SyncServer

/// The examples of "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk", Amazon S3 API
/// Reference: its keys, requests and signatures.
@Suite("Signature version 4")
struct SignatureV4Tests {
    private static let signature = SignatureV4(
        accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        region: "us-east-1")

    struct Example: Sendable {
        var method = "GET"
        var path = "/"
        var query: [(name: String, value: String)] = []
        var headers: [(name: String, value: String)] = []
        var payloadHash = SignatureV4.emptyPayloadHash
        var signedHeaders = "host;x-amz-content-sha256;x-amz-date"
        var signature: String
    }

    @Test(
        "The published examples are signed as published",
        arguments: [
            Example(
                path: "/test.txt", headers: [("range", "bytes=0-9")],
                signedHeaders: "host;range;x-amz-content-sha256;x-amz-date",
                signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
            Example(
                method: "PUT", path: "/test%24file.text",
                headers: [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
                payloadHash: "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
                signedHeaders: "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
            Example(
                query: [("lifecycle", "")],
                signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            Example(
                query: [("prefix", "J"), ("max-keys", "2")],
                signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ])
    func examples(example: Example) {
        let time = SignatureV4.timeText(Date(timeIntervalSince1970: 1_369_353_600))
        #expect(time == "20130524T000000Z")
        let headers =
            example.headers + [
                ("x-amz-date", time), ("host", "examplebucket.s3.amazonaws.com"),
                ("x-amz-content-sha256", example.payloadHash),
            ]
        let authorization = Self.signature.authorization(
            method: example.method, path: example.path, query: example.query, headers: headers,
            payloadHash: example.payloadHash, time: time)
        #expect(
            authorization == "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                + "SignedHeaders=\(example.signedHeaders),Signature=\(example.signature)")
    }

    @Test(
        "Paths keep their slashes, queries keep nothing but unreserved characters, and are sorted by their encoded form"
    )
    func encoding() {
        #expect(SignatureV4.encoded("a/b c~d-e.f_g$é", isPath: true) == "a/b%20c~d-e.f_g%24%C3%A9")
        #expect(SignatureV4.encoded("a/b=c&d+") == "a%2Fb%3Dc%26d%2B")
        #expect(
            SignatureV4.canonicalQuery([("b", "2"), ("a", "y"), ("a", "x"), ("A", ""), ("é", "1")])
                == "%C3%A9=1&A=&a=x&a=y&b=2")
    }

    @Test(
        "The Host header leaves out the default port of its scheme",
        arguments: [
            ("https://s3.example.com", "s3.example.com"), ("https://s3.example.com:443", "s3.example.com"),
            ("https://s3.example.com:80", "s3.example.com:80"), ("http://s3.example.com:80", "s3.example.com"),
            ("http://[::1]:9000", "[::1]:9000"), ("HTTP://a:9000", "a:9000"),
        ])
    func host(url: String, host: String) { #expect(S3Client.hostHeader(of: url) == host) }
}
