import Testing

@testable import SyncStoragePostgres

@Suite("PostgreSQL connection URLs")
struct PostgresURLTests {
    @Test(
        "URLs that libpq understands",
        arguments: [
            "postgres://user:secret@db.example:5432/sync?sslmode=require",
            "postgresql://db.example/sync?options=-csearch_path%3Dapp",
            "postgres://user@/sync?host=/run/postgresql",
            "postgres://a:5432,b:5433/sync?target_session_attrs=read-write",
            "postgres://[::1]:5432/sync",
            "postgres://user:12#cret@db.example/sync",
            "postgres://user:se?cret@db.example/sync",
            "postgres://user:se%2Fcr%40et@db.example/sync",
            "postgres://db.example/sync?user=someone@db",
            "host=db.example port=5432 dbname=sync password=se/cr@et",
        ])
    func usable(url: String) throws {
        let options = try #require(PostgresURL.options(of: url))
        #expect(options["host"]?.contains("@") != true)
        #expect(!options.values.contains { $0.contains("cret@") })
    }

    @Test(
        "URLs that would put a part of the password into an error message",
        arguments: [
            "postgres://user:se/cret@db.example/sync",
            "postgres://user:12/cret@db.example/sync",
            "postgres://user:se@cret@db.example/sync",
            "postgres://user:se@cr/et@db.example/sync",
            "postgresql://user:se/cr?et@db.example/sync",
            "postgres://user:se@cr?et=x@db.example/sync",
            "postgres://db.example/sync?nonsense=1",
            "postgres://db.example:70000/sync",
            "postgres://user:secret@[",
            "host=db.example password=se cret",
        ])
    func unusable(url: String) { #expect(PostgresURL.options(of: url) == nil) }

    @Test("What is quoted loses what may be a part of a password")
    func redacted() {
        #expect(
            PostgresURL.withoutSecrets(#"could not translate host name "cret@db.example" to address: unknown"#)
                == #"could not translate host name "…" to address: unknown"#)
        let harmless = #"connection to server at "127.0.0.1", port 5432 failed: Connection refused"#
        #expect(PostgresURL.withoutSecrets(harmless) == harmless)
    }
}
