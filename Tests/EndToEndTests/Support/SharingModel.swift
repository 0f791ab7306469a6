import SyncAuth
import SyncProtocol
import SyncTesting

/// A chain of delegations and the names of its tokens.
struct Chain: Hashable, Sendable {
    let text: String
    let cids: [String]

    /// From the root key of a space to `name`, or to `name` on top of somebody else's chain.
    init(to name: String, of space: SpaceID, from proof: (name: String, chain: Chain)? = nil) {
        self.text = TestDelegation.delegate(
            from: proof?.name ?? "root", to: name, .write, over: space, proof: proof?.chain.text)
        self.cids = [TestDelegation.cid(of: self.text)] + (proof?.chain.cids ?? [])
    }
}

/// Something that a client asked of the server. Times are steps of the schedule: it was sent at `began`, and whatever came of
/// it had happened by `ended`.
struct Attempt: Sendable {
    enum Deed: Hashable, Sendable {
        case push
        case append
        case subscribe
        case revoke(cid: String)
        /// An event or presence: it has no answer.
        case say
    }

    enum Outcome: Hashable, Sendable {
        case open
        case accepted
        case forbidden
        /// Refused for a reason that has nothing to do with authority.
        case conflict
    }

    let client: Int
    let deed: Deed
    let chain: Chain
    let began: Int
    var ended = Int.max
    var outcome = Outcome.open
    /// What a push or an append took.
    var cursor: Int64?
    /// Of an append.
    var chainSequence: Int32?
}

/// What a client heard of an attempt of somebody else.
struct Heard: Hashable, Sendable {
    let attempt: Int
    /// `nil` for an event or presence.
    let cursor: Int64?
}

/// Everything that happened in one space, and whether it may have happened. Pure.
struct SharingHistory {
    var attempts: [Attempt] = []
    /// By client.
    var heard: [[Heard]]

    init(clients: Int) { self.heard = Array(repeating: [], count: clients) }

    /// How much happened: a history without revocations proves nothing.
    struct Extent {
        var revocations = 0
        var refusals = 0
        var heard = 0
        var mustBeHeard = 0

        static func + (one: Extent, other: Extent) -> Extent {
            Extent(
                revocations: one.revocations + other.revocations, refusals: one.refusals + other.refusals,
                heard: one.heard + other.heard, mustBeHeard: one.mustBeHeard + other.mustBeHeard)
        }
    }

    var extent: Extent {
        Extent(
            revocations: self.attempts.count { attempt in
                if case .revoke = attempt.deed { attempt.outcome == .accepted } else { false }
            },
            refusals: self.attempts.count { $0.outcome == .forbidden }, heard: self.heard.joined().count,
            mustBeHeard: self.heard.indices.reduce(0) { $0 + self.expected(of: $1).count })
    }

    /// What is wrong; empty when nothing is.
    func violations() -> [String] {
        self.wrongAnswers() + self.heard.indices.flatMap { self.wrongFrames(of: $0) + self.missingFrames(of: $0) }
    }

    /// Nothing is granted after the answer to a revocation, and nothing refused before one was asked for.
    private func wrongAnswers() -> [String] {
        self.attempts.indices.compactMap { index in
            let attempt = self.attempts[index]
            switch attempt.outcome {
            case .accepted where self.isRevoked(attempt.chain, before: attempt.began):
                return "attempt \(index) was accepted on a revoked chain"
            case .forbidden where !self.mayBeRevoked(attempt.chain, by: attempt.ended):
                return "attempt \(index) was forbidden on a valid chain"
            default: return nil
            }
        }
    }

    /// Frames in cursor order, none of one's own, and none of what was begun when the last authority to hear it was gone.
    private func wrongFrames(of client: Int) -> [String] {
        var wrong: [String] = []
        let cursors = self.heard[client].compactMap(\.cursor)
        if zip(cursors, cursors.dropFirst()).contains(where: { $0 >= $1 }) {
            wrong.append("client \(client) heard cursors out of order: \(cursors)")
        }
        for heard in self.heard[client] {
            let attempt = self.attempts[heard.attempt]
            if attempt.client == client { wrong.append("client \(client) heard its own attempt \(heard.attempt)") }
            let mayHear = self.authorities(of: client, at: attempt.began).contains {
                !self.isRevoked($0.chain, before: attempt.began)
            }
            if !mayHear { wrong.append("client \(client) heard attempt \(heard.attempt) without authority") }
        }
        return wrong
    }

    /// The subscriptions that may have been in force when something that began at `time` was published: all but those that a
    /// later one had replaced by then. A refused one is among them, because it may have been revoked when it was in force
    /// already and its answer was not made yet.
    private func authorities(of client: Int, at time: Int) -> [Attempt] {
        let subscriptions = self.subscriptions(of: client)
        return subscriptions.filter { subscription in
            !subscriptions.contains {
                $0.outcome == .accepted && $0.began > subscription.began && $0.ended < time
            }
        }
    }

    private func missingFrames(of client: Int) -> [String] {
        let heard = Set(self.heard[client].map(\.attempt))
        return self.expected(of: client).subtracting(heard).sorted()
            .map { "client \(client) did not hear attempt \($0)" }
    }

    /// Pushes and appends that a client must hear: those of others that began while it was subscribed, unless somebody
    /// asked for the revocation of any chain that it was ever subscribed by. A chain that was revoked before the client tried
    /// to subscribe by it has changed nothing.
    func expected(of client: Int) -> Set<Int> {
        let subscriptions = self.subscriptions(of: client).filter { !self.isRevoked($0.chain, before: $0.began) }
        let accepted = subscriptions.filter { $0.outcome == .accepted }
        guard let first = accepted.map(\.ended).min(),
            !subscriptions.contains(where: { self.mayBeRevoked($0.chain, by: .max) })
        else { return [] }
        return Set(
            self.attempts.indices.filter { index in
                let attempt = self.attempts[index]
                return attempt.cursor != nil && attempt.client != client && attempt.began > first
            })
    }

    private func subscriptions(of client: Int) -> [Attempt] {
        self.attempts.filter { $0.client == client && $0.deed == .subscribe && $0.outcome != .open }
    }

    /// A revocation of the chain had been answered before `time`.
    private func isRevoked(_ chain: Chain, before time: Int) -> Bool {
        self.revocations(of: chain).contains { $0.outcome == .accepted && $0.ended < time }
    }

    /// A revocation of the chain had been asked for by `time`.
    private func mayBeRevoked(_ chain: Chain, by time: Int) -> Bool {
        self.revocations(of: chain).contains { $0.outcome == .accepted && $0.began <= time }
    }

    private func revocations(of chain: Chain) -> [Attempt] {
        self.attempts.filter { attempt in
            if case .revoke(let cid) = attempt.deed { chain.cids.contains(cid) } else { false }
        }
    }
}
