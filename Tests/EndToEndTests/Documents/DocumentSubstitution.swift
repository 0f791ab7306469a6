/// What a test puts in the place of something in a command of a document, and why. A command that is not named here runs as it
/// stands.
struct DocumentSubstitution: Sendable {
    /// `nil`: in all of them.
    let document: String?
    let text: String
    let replacement: String
    let reason: String

    private init(_ text: String, in document: String? = nil, is replacement: String, because reason: String) {
        self.text = text
        self.document = document
        self.replacement = replacement
        self.reason = reason
    }

    func applies(to block: DocumentBlock) -> Bool {
        (self.document ?? block.document) == block.document && block.text.contains(self.text)
    }

    private static let performance = "docs/performance.md"

    /// Applied in this order. One that no command contains fails the test.
    static let all: [DocumentSubstitution] = [
        // Places and addresses of this machine.
        Self("127.0.0.1:5379", is: "127.0.0.1:$TEST_PORT", because: "the port may be in use"),
        Self("/usr/local/bin", is: "$TEST_ROOT/usr/local/bin", because: "nothing outside is written"),
        Self("/var/lib/less-sync", is: "$TEST_ROOT/var/lib/less-sync", because: "nothing outside is written"),
        Self("/backup", is: "$TEST_ROOT/backup", because: "nothing outside is written"),
        Self("/etc/", is: "$TEST_ROOT/etc/", because: "nothing outside is written"),
        Self("/run/secrets", is: "$TEST_ROOT/run/secrets", because: "the secret is one of the test's"),
        Self(
            "postgres://sync:password@localhost/sync", is: "\"$TEST_POSTGRES\"",
            because: "the server and the database are those of the tests"),
        Self(
            "postgres://sync@localhost/sync", is: "\"$TEST_POSTGRES\"",
            because: "the server and the database are those of the tests"),
        Self("/path/to/weed", is: "$TEST_ROOT/weed", because: "no test of files runs"),

        // What needs root, a service manager or a container engine.
        Self(
            "sudo -u postgres createuser sync --pwprompt", is: "createuser --help | grep -e --pwprompt",
            because: "asks a person for a password, and makes a user for all databases of the server"),
        Self(
            "sudo -u postgres createdb sync --owner sync", is: "createdb --help | grep -e --owner",
            because: "the database is that of the tests"),
        Self(
            "systemctl ", is: "true systemctl ",
            because: "there is no service manager in a test; `systemd-analyze verify` reads the unit in another one"),
        Self(
            "docker ", is: "true docker ",
            because: "there is no container engine in a test; another one reads the Dockerfile"),

        // What would disturb other tests.
        Self(
            "pg_dump --format=custom --file=", is: "pg_dump --help | grep -e --format= -e --file= #",
            because: "the database has the schemas of other tests, which come and go"),

        // What takes minutes.
        Self(
            "make test ", is: "make -n test | grep -x Scripts/test # ",
            because: "it is what runs this test; Scripts/test runs below, with the compiler replaced"),
        Self(
            "make autobahn ", is: "make -n autobahn | grep -x Scripts/autobahn.sh && test -x Scripts/autobahn.sh # ",
            because: "it downloads the client and takes ten minutes"),
        Self(
            "Scripts/coverage --files",
            is: "(Scripts/coverage --files 2>&1 || true) | grep -e covered -e 'is missing' #",
            because: "the numbers are those of the last full run, which may not have been"),

        // Loads that are larger than a test bears.
        Self("--spaces 1000 ", in: performance, is: "--spaces 8 ", because: "a debug build, beside other tests"),
        Self("--rate 50 ", in: performance, is: "--rate 10 ", because: "a debug build, beside other tests"),
        Self("--records 10000 ", in: performance, is: "--records 50 ", because: "a debug build, beside other tests"),
        Self("--subscribers 1000 ", in: performance, is: "--subscribers 9 ", because: "a debug build"),
        Self(
            "--connections 10000 --server-pid 4711", in: performance,
            is: "--connections 20 --server-pid $(cat $TEST_ROOT/server.pid)", because: "it is the server of the test"),
        Self("--clients 100 --rate 500", in: performance, is: "--clients 4 --rate 20", because: "a debug build"),
        Self(
            "less-sync bench echo   --url ws://127.0.0.1:9000/", in: performance,
            is: "exits 1 $TEST_PROGRAM bench echo --url ws://127.0.0.1:1/",
            because: "there is no such yardstick in a test; 1 says that the arguments are right and nobody answers"),
    ]
}
