import NIOCore
import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

/// Eight clients of one shared space, driven by one task: which client sends what, and whose answer is waited for next, is
/// drawn from the seed and from nothing else. What overlaps in the server is for the server to order.
final class SharingSchedule {
    private static let clients = 8
    private static let steps = 120

    private let space: SpaceID
    private let root: Chain
    private let wires: [WireClient]
    private var random: SeededRandom
    private var step = 0

    /// Chains that lead to each client, the newest last.
    private var chains: [[Chain]]
    /// Attempts whose answers have not been waited for.
    private var open: [[Int]]
    private var history = SharingHistory(clients: SharingSchedule.clients)
    /// The end of the membership log as far as an answer has told: version and hash.
    private var log: (version: Int32, hash: ByteBuffer?) = (0, nil)

    private static func name(_ client: Int) -> String { client == 0 ? "root" : "member-\(client)" }

    private init(seed: UInt64, space: SpaceID, wires: [WireClient]) {
        self.random = SeededRandom(seed: seed)
        self.space = space
        self.wires = wires
        self.root = Chain(to: "root", of: space)
        self.chains = (0..<Self.clients).map { [Chain(to: Self.name($0), of: space)] }
        self.open = Array(repeating: [], count: Self.clients)
    }

    /// Runs one schedule in a space of its own and checks what came of it.
    static func run(seed: UInt64, on server: InProcessServer.Running) async throws -> SharingHistory.Extent {
        var wires: [WireClient] = []
        for client in 0..<Self.clients {
            var user = Principal.fixture("\(seed)-\(client)")
            user.did = TestDelegation.did(Self.name(client))
            wires.append(try await server.wire(as: user))
        }
        let space = SpaceID(bits: UInt128(seed + 1) << 80 | 0x4_000 << 64 | 0x8_000 << 48 | UInt128(seed))
        wires[0].request(
            "create", .spaceCreate,
            SpaceCreateParams(id: space.wireText, rootPublicKey: TestDelegation.rootKey()))
        _ = try await wires[0].result(of: "create", as: SpaceCreateResult.self)
        let schedule = SharingSchedule(seed: seed, space: space, wires: wires)
        do {
            try await schedule.run()
        } catch {
            Issue.record("seed \(seed): \(error)")
        }
        for wire in wires { await wire.close() }
        for violation in schedule.history.violations() { Issue.record("seed \(seed): \(violation)") }
        return schedule.history.extent
    }

    private func run() async throws {
        // The owner is never revoked, so that somebody hears everything.
        self.send(.subscribe, from: 0, by: self.root)
        for _ in 0..<Self.steps {
            self.step += 1
            let client = Int.random(in: 0..<Self.clients, using: &self.random)
            if self.open[client].count >= 4 || self.draw(40), let oldest = self.open[client].first {
                try await self.wait(for: oldest)
            } else {
                self.act(client)
            }
        }
        try await self.finish()
    }

    // MARK: - Sending

    private func act(_ client: Int) {
        let chain = client == 0 ? self.root : self.draw(from: self.chains[client])
        switch Int.random(in: 0..<100, using: &self.random) {
        case ..<35: self.send(.push, from: client, by: chain)
        case ..<50: self.send(.append, from: client, by: chain)
        case ..<60: self.send(.say, from: client, by: chain)
        case ..<80: self.send(.subscribe, from: client, by: chain)
        case ..<92: self.renew(client)
        default:
            let victim = Int.random(in: 1..<Self.clients, using: &self.random)
            let cid = self.draw(from: self.draw(from: self.chains[victim]).cids)
            self.send(.revoke(cid: cid), from: client, by: chain)
        }
    }

    /// A new chain for a client, from the root or through another client, and a subscription by it.
    private func renew(_ client: Int) {
        guard client > 0 else { return }
        let other = Int.random(in: 1..<Self.clients, using: &self.random)
        let proof = self.draw(from: self.chains[other])
        let isDirect = other == client || proof.cids.count > 3
        let chain = Chain(
            to: Self.name(client), of: self.space, from: isDirect ? nil : (Self.name(other), proof))
        self.chains[client].append(chain)
        self.send(.subscribe, from: client, by: chain)
    }

    private func send(_ deed: Attempt.Deed, from client: Int, by chain: Chain) {
        let index = self.history.attempts.count
        self.step += 1
        self.history.attempts.append(Attempt(client: client, deed: deed, chain: chain, began: self.step))
        let wire = self.wires[client]
        let (id, space) = ("\(index)", self.space.wireText)
        let data = ByteBuffer(string: "\(index)")
        switch deed {
        case .push:
            let change = PushParams.Change(
                id: RecordID.fixture(index).wireText, blob: data, expectedCursor: 0, dek: nil)
            wire.request(id, .push, PushParams(space: space, ucan: chain.text, changes: [change]))
        case .append:
            let hash = data.withUnsafeReadableBytes { ByteBuffer(bytes: ContentHash.sha256($0)) }
            wire.request(
                id, .membershipAppend,
                MembershipAppendParams(
                    space: space, ucan: chain.text, expectedVersion: self.log.version, previousHash: self.log.hash,
                    entryHash: hash, payload: data))
        case .subscribe:
            wire.request(
                id, .subscribe,
                SubscribeParams(spaces: [.init(id: space, ucan: chain.text, presence: self.draw(50))]))
        case .revoke(let cid):
            wire.request(
                id, .membershipRevoke, MembershipRevokeParams(space: space, ucan: chain.text, ucanCID: cid))
        case .say:
            let method: Method = self.draw(50) ? .eventSend : .presenceSet
            wire.send(
                FrameEncoder.notification(method: method, params: PresenceParams(space: space, data: data)))
            return
        }
        self.open[client].append(index)
    }

    private func draw(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self.random) < percent }

    private func draw<Element>(from elements: [Element]) -> Element {
        elements[Int.random(in: elements.indices, using: &self.random)]
    }

    // MARK: - Reading

    /// Reads up to the answer of the oldest open attempt of its client.
    private func wait(for index: Int) async throws {
        let client = self.history.attempts[index].client
        while true {
            switch try await self.wires[client].next() {
            case .response("\(index)", let result): try self.answered(index, result)
            case .failure("\(index)", let error): try self.refused(index, error)
            case .notification(let method, let params):
                try self.hear(method, params, client)
                continue
            case let frame: throw Unexpected(what: "\(frame)")
            }
            self.history.attempts[index].ended = self.step
            self.open[client].removeFirst()
            return
        }
    }

    private func answered(_ index: Int, _ result: FramePayload) throws {
        var outcome = Attempt.Outcome.accepted
        switch self.history.attempts[index].deed {
        case .push:
            switch try result.decode(as: PushResult.self) {
            case .accepted(let cursor): self.history.attempts[index].cursor = cursor
            case .refused(.forbidden): outcome = .forbidden
            case .refused(let code): throw Unexpected(what: "push refused as \(code)")
            }
        case .append:
            let appended: MembershipAppendResult = try result.decode()
            self.history.attempts[index].chainSequence = appended.chainSequence
            if appended.metadataVersion > self.log.version {
                let payload = ByteBuffer(string: "\(index)")
                let hash = payload.withUnsafeReadableBytes { ByteBuffer(bytes: ContentHash.sha256($0)) }
                self.log = (appended.metadataVersion, hash)
            }
        case .subscribe:
            let subscribed: SubscribeResult = try result.decode()
            switch (subscribed.spaces.count, subscribed.errors.map(\.error)) {
            case (1, []): break
            case (0, [.forbidden]): outcome = .forbidden
            default: throw Unexpected(what: "\(subscribed)")
            }
        case .revoke, .say: break
        }
        self.history.attempts[index].outcome = outcome
    }

    private func refused(_ index: Int, _ error: ErrorBody) throws {
        switch (error.knownCode, self.history.attempts[index].deed) {
        case (.forbidden, .append), (.forbidden, .revoke): self.history.attempts[index].outcome = .forbidden
        case (.conflict, .append): self.history.attempts[index].outcome = .conflict
        default: throw Unexpected(what: "attempt \(index): \(error)")
        }
    }

    /// Each record, payload and event holds the number of the attempt that it is of.
    private func hear(_ method: String, _ params: FramePayload, _ client: Int) throws {
        func note(_ data: ByteBuffer?, _ cursor: Int64?) throws {
            guard let index = data.flatMap({ Int(String(buffer: $0)) }) else {
                throw Unexpected(what: "\(method) without a number")
            }
            self.history.heard[client].append(Heard(attempt: index, cursor: cursor))
        }
        switch Method(rawValue: method) {
        case .sync:
            let sync: SyncNotification = try params.decode()
            for record in sync.records { try note(record.blob, sync.cursor) }
        case .membership:
            let membership: MembershipNotification = try params.decode()
            for entry in membership.entries { try note(entry.payload, membership.cursor) }
        case .event, .presence:
            try note(try params.decode(as: PresenceNotification.self).data, nil)
        case .revoked, .presenceLeave: break
        default: throw Unexpected(what: method)
        }
    }

    // MARK: - The end

    private func finish() async throws {
        for client in 0..<Self.clients { try await self.waitForAll(client) }
        self.send(.push, from: 0, by: self.root)
        try await self.waitForAll(0)
        try await self.checkStorage()
        for client in 0..<Self.clients {
            let expected = self.history.expected(of: client)
            while !expected.isSubset(of: self.history.heard[client].map(\.attempt)) {
                try await self.readNotification(client)
            }
            // Whatever came too late for its reader would come before these answers.
            for _ in 0..<2 { try await self.settle(client) }
        }
    }

    private func waitForAll(_ client: Int) async throws {
        while let oldest = self.open[client].first {
            self.step += 1
            try await self.wait(for: oldest)
        }
    }

    private func readNotification(_ client: Int) async throws {
        let wire = self.wires[client]
        let frame = try await within(.seconds(20), "client \(client) hears what it should") { try await wire.next() }
        guard case .notification(let method, let params) = frame else { throw Unexpected(what: "\(frame)") }
        try self.hear(method, params, client)
    }

    private func settle(_ client: Int) async throws {
        self.wires[client].request("settle", .sync, EmptyMap())
        while true {
            switch try await self.wires[client].next() {
            case .notification(let method, let params): try self.hear(method, params, client)
            case .failure("settle", _): return
            case let frame: throw Unexpected(what: "\(frame)")
            }
        }
    }

    /// The invariants of docs/contract/storage.md §2.9, as far as the wire shows them.
    private func checkStorage() async throws {
        let space = self.space.wireText
        self.wires[0].request("members", .membershipList, MembershipListParams(space: space, ucan: self.root.text))
        let log: MembershipListResult = try await self.ownerResult(of: "members")
        try self.require(log.metadataVersion == log.entries.count, "the version is the number of entries")
        try self.require(
            log.entries.map(\.chainSequence) == (0..<log.entries.count).map { Int32($0 + 1) }, "entries are numbered")
        for (before, after) in zip([nil] + log.entries.map { $0 }, log.entries) {
            try self.require(after.previousHash == before?.entryHash, "entries are chained")
        }

        let entry = PullParams.Entry(id: space, since: 0, ucan: self.root.text)
        self.wires[0].request("pull", .pull, PullParams(spaces: [entry]))
        var cursors: [Int64] = []
        var end: Int64 = 0
        _ = try await self.ownerResult(of: "pull", as: ChunkCount.self) { name, data in
            switch ChunkName(rawValue: name) {
            case .pullBegin: end = try data.decode(as: PullBegin.self).cursor
            case .pullRecord: cursors.append(try data.decode(as: RecordEntry.self).cursor)
            case .pullMembership:
                let member: PullMembership = try data.decode()
                cursors.append(member.cursor)
                for entry in member.entries { self.locate(entry, at: member.cursor) }
            default: break
            }
        }
        try self.require(cursors == (0..<end).map { $0 + 1 }, "each write has a cursor of its own, without gaps")
        let told = self.history.attempts.compactMap(\.cursor).sorted()
        try self.require(told == cursors, "what was answered is what is stored")
    }

    /// An append learns its cursor from a pull; its answer does not tell.
    private func locate(_ entry: MembershipEntry, at cursor: Int64) {
        guard let index = Int(String(buffer: entry.payload)), self.history.attempts.indices.contains(index),
            self.history.attempts[index].chainSequence == entry.chainSequence
        else { return }
        self.history.attempts[index].cursor = cursor
    }

    private func ownerResult<Result: WireDecodable>(
        of id: String, as type: Result.Type = Result.self, _ chunk: (String, FramePayload) throws -> Void = { _, _ in }
    ) async throws -> Result {
        while true {
            switch try await self.wires[0].next() {
            case .response(id, let result): return try result.decode()
            case .chunk(id, let name, let data): try chunk(name, data)
            case .notification(let method, let params): try self.hear(method, params, 0)
            case let frame: throw Unexpected(what: "\(frame)")
            }
        }
    }

    private func require(_ condition: Bool, _ what: String) throws {
        guard condition else { throw Unexpected(what: "not true: \(what)") }
    }

    struct Unexpected: Error, CustomStringConvertible {
        let what: String
        var description: String { self.what }
    }
}
