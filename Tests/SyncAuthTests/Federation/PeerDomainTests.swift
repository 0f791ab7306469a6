import SyncAuth
import Testing

@Suite("Domains of other servers")
struct PeerDomainTests {
    @Test(
        "FST-1: names and URLs become one canonical form",
        arguments: [
            ("EXAMPLE.COM", "example.com"), ("example.com.", "example.com"), ("example.com:443", "example.com"),
            ("example.com:8443", "example.com:8443"), ("https://EXAMPLE.COM:443/path", "example.com"),
            ("http://example.com:8080/foo", "example.com:8080"), ("example.com..:443..", "example.com"),
            ("example.com.:443", "example.com"), ("peer:5379", "peer:5379"), ("BÜCHER.example", "bÜcher.example"),
            ("x://y://z", "y:"),
        ])
    func canonical(text: String, expected: String) {
        #expect(PeerDomain(text)?.description == expected)
    }

    @Test("Nothing left is no domain", arguments: ["", ".", "...", "https://", "/x", ":443", ".:443", "https:///x"])
    func empty(text: String) {
        #expect(PeerDomain(text) == nil)
    }

    @Test(
        "SIG-10: the domain of a key id is its host without port",
        arguments: [
            ("https://sync.example.com/.well-known/jwks.json#fed-1", "sync.example.com"),
            ("http://localhost:5379/.well-known/jwks.json#fed-1", "localhost"),
            ("https://[::1]:5379/.well-known/jwks.json#fed-1", "::1"),
            ("HTTPS://Peer.Example.COM.", "peer.example.com"),
            ("https://a.example#c", "a.example"), ("https://h?x#f", "h"),
            ("https://h:#f", "h"),
        ] as [(String, String?)])
    func keyID(id: String, expected: String?) {
        #expect(PeerDomain(keyID: id)?.description == expected)
    }

    @Test(
        "SIG-10: key ids that name no server",
        arguments: [
            "https://evil.com@trusted.com/.well-known/jwks.json#fed-1", "ftp://a/x#f", "sync.example.com/x#f",
            "https:///.well-known/jwks.json#fed-1", "https://.example.com#f", "", "#f", "https://[::1#f",
            "https://h:99999#f", "https://h:x#f", "https://h o#f",
        ])
    func wrongKeyID(id: String) {
        #expect(PeerDomain(keyID: id) == nil)
    }

    @Test("Domains sort by their bytes")
    func order() throws {
        let names = ["b.example", "a.example:9", "a.example", "ä.example"]
        #expect(
            names.compactMap { PeerDomain($0) }.sorted().map(\.description) == [names[2], names[1], names[0], names[3]])
    }
}
