import Logging
import SyncAuth
import SyncTesting

@testable import SyncCore

extension AuthorityWatch {
    /// For tests in which no authority ends.
    static func idle(_ broker: Broker) -> AuthorityWatch {
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let clock = TestClock()
        return AuthorityWatch(
            broker: broker,
            presence: PresenceRegistry(
                broker: broker, pseudonyms: PresencePseudonyms(), elapsed: { .zero }, logger: logger),
            clock: clock, unixTime: { 0 }, logger: logger)
    }
}
