package import Logging
package import SyncAuth

extension KeySetEvent {
    /// Writes events to `logger`; give it to the token validator.
    package static func log(to logger: Logger) -> @Sendable (KeySetEvent) -> Void {
        { event in
            switch event {
            case .fetched(let url, let keyCount, let skipped):
                logger.debug(
                    "key set fetched",
                    metadata: [
                        "url": "\(AbsoluteURL.withoutUserInfo(url))", "keys": "\(keyCount)",
                        "skipped": "\(skipped.map(\.rawValue).joined(separator: ", "))",
                    ])
            case .fetchFailed(let url, let error):
                logger.warning(
                    "key set fetch failed",
                    metadata: ["url": "\(AbsoluteURL.withoutUserInfo(url))", "error": "\(String(describing: error))"])
            }
        }
    }
}
