import Logging
import SyncProtocol

/// Ends subscriptions whose authority is gone, and tells those whom it concerns: by revocation at once, by time when a
/// delegation expires (architecture C3, C4).
struct AuthorityWatch: Sendable {
    /// The wall clock may be set: it is looked at this often.
    private static let checkInterval = Duration.seconds(60)

    let broker: Broker
    let presence: PresenceRegistry
    let clock: any Clock<Duration>
    /// Seconds since 1970.
    let unixTime: @Sendable () -> Double
    let logger: Logger

    /// Lets a revocation that the store knows of take effect in this process. When it returns, whoever rested on the token is
    /// not subscribed to the space and not present in it, no frame of the space is under way to them, and all others have been
    /// told (docs/contract/rpc.md §8.3, §14.4).
    ///
    /// - Parameter sender: Hears nothing of it.
    func revoked(_ cid: String, in space: SpaceID, by sender: ConnectionID?) async {
        let ended = await self.broker.revoke(cid, in: space)
        self.tell(of: ended, in: space, except: sender)
    }

    /// As `revoked`, of a revocation by another server process. Does not wait.
    func revokedElsewhere(_ cid: String, in space: SpaceID) {
        self.tell(of: self.broker.endSubscriptions(restingOn: cid, in: space), in: space, except: nil)
    }

    private func tell(of ended: [EndedSubscription], in space: SpaceID, except sender: ConnectionID?) {
        for subscription in ended { self.removePresence(subscription) }
        let frame = FrameEncoder.notification(method: .revoked, params: RevokedNotification(space: space))
        self.broker.publish(frame, to: space, except: sender)
        self.broker.send(frame, to: ended.map(\.subscriber).filter { $0.id != sender })
        guard !ended.isEmpty else { return }
        self.logger.debug(
            "Subscriptions revoked",
            metadata: Logger.metadata([.spaceID: space.wireText, .count: "\(ended.count)"]))
    }

    /// Ends subscriptions when they expire, until the task is cancelled: one timer for all of them. To be run once.
    func run() async {
        while !Task.isCancelled {
            self.announceExpired()
            var delay = Self.checkInterval
            if let expiry = self.broker.nextExpiry {
                delay = min(delay, .seconds(max(0, Double(expiry) + 1 - self.unixTime())))
            }
            await self.broker.expiryAlarm.sleep(atMost: delay, on: self.clock)
        }
    }

    private func announceExpired() {
        let ended = Dictionary(grouping: self.broker.takeExpired(), by: \.subscriber.id)
        for subscriptions in ended.values {
            for subscription in subscriptions { self.removePresence(subscription) }
            let notification = ResubscribeNotification(spaces: subscriptions.map(\.space.wireText))
            self.broker.send(
                FrameEncoder.notification(method: .resubscribe, params: notification),
                to: subscriptions.prefix(1).map(\.subscriber))
        }
    }

    private func removePresence(_ ended: EndedSubscription) {
        // Whoever has subscribed again in between on another authority may stay.
        guard !self.broker.isSubscribed(ended.subscriber.id, to: ended.space) else { return }
        self.presence.subscriptionEnded(ended.subscriber.id, to: ended.space)
    }
}
