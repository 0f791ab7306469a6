import ArgumentParser
import SyncClient

struct DemoSubcommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Send a folder, encrypted, through a running development server and verify what comes out.",
        discussion: """
            Three devices of one user: A pushes every file of FOLDER as encrypted records, B is subscribed and receives them \
            live, C pulls everything afterwards. B and C verify every hash. The key never leaves this process. Then two people \
            share a space: one invites the other, both edit it live, one is removed and hears nothing more. Start a server for \
            it with: less-sync dev
            """)

    @Argument(help: "The folder to send; nothing in it is changed.")
    var folder: String

    @Option(help: "Address of the server.")
    var url = Demo.Options.defaultURL

    @Option(help: "Whose space to use. A new user for each run unless given.")
    var user: String?

    func run() async throws {
        var options = Demo.Options(folder: self.folder)
        options.url = self.url
        options.user = self.user
        try finish(with: await DemoCommand(options).run())
    }
}
