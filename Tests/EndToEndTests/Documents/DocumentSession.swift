import Foundation
import SyncTesting
import Testing

/// Somebody who types the commands of one document, from the first to the last, in one shell.
struct DocumentSession {
    let document: String
    let blocks: [DocumentBlock]
    /// A new database, for whoever wants PostgreSQL.
    let postgresURL: String

    /// What is there before the first command, and not said by the document.
    private static let preparations = [
        // The block is about a server that has been configured.
        "docs/configuration.md": "export TRUSTED_ISSUERS=https://accounts.example.com",
        // So are the loads about one that runs.
        "docs/performance.md": "less-sync dev",
    ]

    struct Result {
        let status: Int32
        /// Both streams, by the place of the block.
        var output: [String: String] = [:]
        /// For a failure: of the last block that began, and of the last server.
        var last = ""
        var serverLog = ""
    }

    func run() async throws -> Result {
        var result = Result(status: -1)
        try await withTemporaryDirectory { root in
            try Self.furnish(root)
            try self.script.write(toFile: root + "/document.sh", atomically: true, encoding: .utf8)
            let shell = try Program(
                [root + "/document.sh"], environment: try self.environment(root), directory: root + "/repository",
                executable: "/bin/bash", leadsGroup: true)
            result = Result(status: try await shell.waitUntilExit(within: .seconds(180)))
            for line in shell.standardOutput.split(separator: "\n", omittingEmptySubsequences: false) {
                if line.hasPrefix(Self.marker) {
                    result.last = String(line.dropFirst(Self.marker.count))
                } else {
                    result.output[result.last, default: ""] += line + "\n"
                }
            }
            result.serverLog = (try? String(contentsOfFile: root + "/server.log", encoding: .utf8)) ?? ""
        }
        return result
    }

    private static let marker = "@@ "

    private var script: String {
        var script = """
            set -euo pipefail
            exec 2>&1
            # Not made by the tests: another program that they start at that moment would keep them open for writing.
            for script in "$TEST_ROOT"/bin/*.txt; do install -m 755 "$script" "${script%.txt}"; done
            trap less-sync-stop EXIT
            exits() { local code=0; "${@:2}" || code=$?; [ "$code" = "$1" ]; }
            \(Self.preparations[self.document] ?? ":")

            """
        for block in self.blocks where block.language == "sh" {
            var text = block.text
            for substitution in DocumentSubstitution.all where substitution.applies(to: block) {
                text = text.replacingOccurrences(of: substitution.text, with: substitution.replacement)
            }
            script += "echo '\(Self.marker)\(block.place)'\n\(text)"
        }
        return script
    }

    private func environment(_ root: String) throws -> [String: String] {
        let port = try ServerProcess.freePort()
        let path = ["\(root)/bin", PostgresServer.programs, ProcessInfo.processInfo.environment["PATH"]]
        return [
            "PATH": path.compactMap(\.self).joined(separator: ":"), "HOME": root + "/home", "LANG": "C.UTF-8",
            "TEST_ROOT": root, "TEST_PORT": "\(port)", "TEST_POSTGRES": self.postgresURL,
            "TEST_PROGRAM": Program.path, "LISTEN_ADDR": "127.0.0.1:\(port)",
            // Scripts/install-packages has nothing to install.
            "LESS_SYNC_TEST_WEED": root + "/weed",
        ]
    }

    /// The repository, with a compiler that does nothing and a program that has been built, and places to write to.
    private static func furnish(_ root: String) throws {
        let files = FileManager.default
        for directory in [
            "bin", "home/Pictures/Holiday", "repository/.build/release", "repository/.build/debug", "usr/local/bin",
            "var/lib", "backup", "run/secrets", "etc/systemd/system",
        ] {
            try files.createDirectory(atPath: "\(root)/\(directory)", withIntermediateDirectories: true)
        }
        // What a server of the developer keeps in `data` is not for tests.
        let others: Set = [".build", ".git", "data"]
        for name in try files.contentsOfDirectory(atPath: DocumentBlock.root) where !others.contains(name) {
            try files.createSymbolicLink(
                atPath: "\(root)/repository/\(name)", withDestinationPath: "\(DocumentBlock.root)/\(name)")
        }
        for (name, script) in [
            ("less-sync", Self.lessSync), ("less-sync-stop", Self.stop), ("swift", Self.swift),
        ] {
            try "#!/bin/bash\n\(script)\n".write(
                toFile: "\(root)/bin/\(name).txt", atomically: true, encoding: .utf8)
        }
        try files.createSymbolicLink(
            atPath: root + "/repository/.build/release/less-sync", withDestinationPath: root + "/bin/less-sync")
        try Data((0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) })
            .write(to: URL(fileURLWithPath: root + "/home/Pictures/Holiday/beach.jpg"))
        try "a text".write(toFile: root + "/home/Pictures/list.txt", atomically: true, encoding: .utf8)
        try "a secret\n".write(toFile: root + "/run/secrets/s3", atomically: true, encoding: .utf8)
    }

    /// A server runs on beside the commands after it, as in another terminal, until there is another one. Loads and the demo
    /// find it at its port.
    private static let lessSync = #"""
        set -euo pipefail
        case "${1:-}" in
        serve | dev)
            less-sync-stop
            {
                "$TEST_PROGRAM" "$@" &
                echo $! >"$TEST_ROOT/server.pid"
                code=0 && wait $! || code=$?
                echo $code >"$TEST_ROOT/server.ended"
            } >"$TEST_ROOT/server.log" 2>&1 </dev/null &
            SECONDS=0
            until "$TEST_PROGRAM" healthcheck --url "http://127.0.0.1:$TEST_PORT" 2>/dev/null; do
                if [ -f "$TEST_ROOT/server.ended" ] || [ "$SECONDS" -ge 60 ]; then
                    cat "$TEST_ROOT/server.log"
                    exit 1
                fi
                sleep 0.05
            done
            cat "$TEST_ROOT/server.log"
            ;;
        demo) exec "$TEST_PROGRAM" "$@" --url "http://127.0.0.1:$TEST_PORT" ;;
        bench) exec "$TEST_PROGRAM" "$@" --url "http://127.0.0.1:$TEST_PORT" --duration 0.5 --warmup 0 ;;
        *) exec "$TEST_PROGRAM" "$@" ;;
        esac
        """#

    /// As somebody with Ctrl-C; the server must end well.
    private static let stop = #"""
        set -euo pipefail
        cd "$TEST_ROOT"
        [ -f server.pid ] || exit 0
        kill -INT "$(cat server.pid)" 2>/dev/null || true
        SECONDS=0
        until [ -s server.ended ]; do
            [ "$SECONDS" -lt 60 ] || { echo "the server does not end" && exit 1; }
            sleep 0.02
        done
        code=$(cat server.ended)
        rm server.pid server.ended
        [ "$code" = 0 ] || { echo "the server ended with $code" && exit 1; }
        """#

    /// Compiling takes minutes, and what is tested has been compiled.
    private static let swift = #"""
        case "${1:-}" in
        test)
            echo 'Test run with 1 test in 1 suite passed'
            while [ $# -gt 0 ] && [ "$1" != --event-stream-output-path ]; do shift; done
            [ $# -eq 0 ] || printf '%s\n' \
                '{"kind":"test","payload":{"kind":"function","id":"1","name":"one()"}}' \
                '{"kind":"event","payload":{"kind":"testEnded","testID":"1"}}' >"$2"
            ;;
        build | format | package) ;;
        *) echo "no such command: swift $*" && exit 1 ;;
        esac
        """#
}
