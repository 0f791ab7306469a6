import Crypto
import FoundationEssentials
import NIOCore
import SyncAuth
import SyncProtocol

/// The second act of the demo: Ada shares a space with Ben, both edit it live, then Ben is removed and hears nothing more.
///
/// Everything that gives access is made here: Ada's key is the root of the space, her delegation to Ben is sealed for his
/// key. Ada has two devices; the second one hears what Ben must not. Ben's second device sends the mark behind which
/// nothing of the space can still be under way to his first.
package struct DemoSharing: Sendable {
    /// Takes a line for each step that has been shown.
    package typealias Tell = @Sendable (String) -> Void

    package static let editsPerPerson: Int64 = 20

    private static let clientName = "less-sync-demo"
    private static let day: UInt64 = 86_400

    private let url: String
    private let clock: any Clock<Duration>
    private let ada = DelegationSigner()
    private let benKey = P256.KeyAgreement.PrivateKey()
    private let ben = DelegationSigner()
    private let space = SpaceID.random()

    package init(url: String, clock: any Clock<Duration> = ContinuousClock()) {
        self.url = url
        self.clock = clock
    }

    /// - Throws: `DemoError` as soon as something is not as it should be.
    package func run(_ tell: Tell) async throws {
        let devices = try await self.connect()
        do {
            try await self.play(laptop: devices[0], tablet: devices[1], phone: devices[2], desk: devices[3], tell)
        } catch {
            for device in devices { await device.close() }
            throw error
        }
        for device in devices { await device.close() }
    }

    // MARK: The scenes

    private func play(
        laptop: DemoMember, tablet: DemoMember, phone: DemoMember, desk: DemoMember, _ tell: Tell
    ) async throws {
        let space = self.space
        let key = SymmetricKey(size: .bits256)
        let cipher = DemoCipher(key: key, run: space.bits)
        let expiry = UInt64(Date().timeIntervalSince1970) + Self.day

        let root = ByteBuffer(bytes: self.ada.did.compressed)
        try await laptop.call { client throws(SyncClientError) in
            try await client.createSpace(space, rootPublicKey: root)
        }
        let adas = try self.ada.delegate(.admin, over: space, to: self.ada.did.text, expiresAt: expiry)
        try await laptop.subscribe(to: space, with: adas)
        try await tablet.subscribe(to: space, with: adas)
        try await self.appendMember("Ada", to: space, with: adas, by: laptop)
        tell("Ada created the space \(space.wireText) and watches it on two devices")

        let bens = try self.ada.delegate(.write, over: space, to: self.ben.did.text, expiresAt: expiry, proof: adas)
        try await self.invite(phone, with: DemoInvitation(space: space, delegation: bens, key: key), by: laptop)
        let invitation = try await self.accept(on: phone)
        guard invitation == DemoInvitation(space: space, delegation: bens, key: key) else {
            throw DemoError.sharing("Ben decrypted another invitation than Ada's")
        }
        try await phone.subscribe(to: space, with: invitation.delegation)
        try await self.appendMember("Ben", to: space, with: bens, by: phone)
        try await self.checkMembers(["Ada", "Ben"], with: bens, by: phone)
        tell("Ben decrypted her invitation and joined; he has verified the log of members")

        try await self.edit(laptop, adas, phone, bens, cipher)
        tell("Ada and Ben each made \(Self.editsPerPerson) edits and decrypted all of the other's live")

        try await self.remove(bens, with: adas, by: laptop, from: phone)
        let unheard = try await self.editUnheard(
            laptop: laptop, tablet: tablet, with: adas, phone: phone, desk: desk, sealedBy: cipher)
        try await self.checkRefused(phone, with: bens, sealedBy: cipher)
        tell(
            "Ben was removed: Ada's other device heard her next \(unheard) edits, Ben heard none, "
                + "and he can no longer subscribe, push or pull")
    }

    private func invite(_ phone: DemoMember, with invitation: DemoInvitation, by laptop: DemoMember) async throws {
        let payload = try invitation.sealed(for: self.benKey.publicKey)
        try await laptop.call { client throws(SyncClientError) in
            try await client.invite(phone.mailbox, payload: payload)
        }
    }

    private func accept(on phone: DemoMember) async throws -> DemoInvitation {
        try await phone.event("an invitation") { $0 == .invitation ? true : nil }
        let list = try await phone.call { client throws(SyncClientError) in try await client.invitations() }
        guard let first = list.first, list.count == 1 else {
            throw DemoError.sharing("Ben's mailbox holds \(list.count) invitations instead of 1")
        }
        let invitation = try DemoInvitation(opening: first.payload, with: self.benKey)
        try await phone.call { client throws(SyncClientError) in try await client.deleteInvitation(first.id) }
        return invitation
    }

    /// Each makes edits and decrypts the other's, both at the same time.
    private func edit(
        _ laptop: DemoMember, _ adas: String, _ phone: DemoMember, _ bens: String, _ cipher: DemoCipher
    ) async throws {
        func write(_ author: String, from first: Int64, on device: DemoMember, _ delegation: String) async throws {
            for number in first..<(first + Self.editsPerPerson) {
                try await device.push(
                    "\(author) \(number)", as: number, to: self.space, with: delegation, sealedBy: cipher)
            }
        }
        func read(_ author: String, from first: Int64, on device: DemoMember) async throws {
            var cursor: Int64 = 0
            for number in first..<(first + Self.editsPerPerson) {
                let record = try await device.nextText(of: self.space, openedBy: cipher)
                guard record.text == "\(author) \(number)", record.cursor > cursor else {
                    throw DemoError.sharing("\(device.name) decrypted “\(record.text)”, not “\(author) \(number)”")
                }
                cursor = record.cursor
            }
        }
        async let adaWrites: Void = write("Ada", from: 1, on: laptop, adas)
        async let benWrites: Void = write("Ben", from: 1_001, on: phone, bens)
        async let adaReads: Void = read("Ben", from: 1_001, on: laptop)
        async let benReads: Void = read("Ada", from: 1, on: phone)
        _ = try await (adaWrites, benWrites, adaReads, benReads)
    }

    private func remove(
        _ bens: String, with adas: String, by laptop: DemoMember, from phone: DemoMember
    ) async throws {
        let cid = UnverifiedDelegation.cid(of: bens)
        try await laptop.call { client throws(SyncClientError) in
            try await client.revoke(cid, in: self.space, ucan: adas)
        }
        try await phone.event("the word that he was removed") { event in
            if case .revoked(let revoked) = event, revoked.space == self.space { true } else { nil }
        }
    }

    /// Edits that Ada's other device hears and Ben's must not.
    ///
    /// When the tablet has heard the last one, it has been sent to every subscriber. Ben's desk then changes Ben's own space,
    /// which his phone watches too: a connection delivers in order, so what the phone gets before that is all there was.
    private func editUnheard(
        laptop: DemoMember, tablet: DemoMember, with adas: String, phone: DemoMember, desk: DemoMember,
        sealedBy cipher: DemoCipher
    ) async throws -> Int64 {
        try await phone.subscribe(to: phone.personalSpace)
        let first: Int64 = 2_001
        let last = first + Self.editsPerPerson - 1
        for number in first...last {
            try await laptop.push("Ada \(number)", as: number, to: self.space, with: adas, sealedBy: cipher)
        }
        while try await tablet.nextText(of: self.space, openedBy: cipher).text != "Ada \(last)" {}
        try await desk.push("mark", as: last + 1, to: desk.personalSpace, sealedBy: cipher)
        let heard = try await phone.event("the mark of Ben's other device") { event -> String? in
            switch event {
            case .sync(let sync) where sync.space == phone.personalSpace: ""
            case .sync(let sync) where sync.space == self.space: "record \(sync.cursor)"
            case .membership(let entry) where entry.space == self.space: "entry \(entry.cursor)"
            case .missed: "more than it could keep"
            default: nil
            }
        }
        guard heard.isEmpty else { throw DemoError.sharing("Ben still heard \(heard) after he was removed") }
        return Self.editsPerPerson
    }

    private func checkRefused(_ phone: DemoMember, with bens: String, sealedBy cipher: DemoCipher) async throws {
        do {
            try await phone.subscribe(to: self.space, with: bens)
            throw DemoError.sharing("Ben could subscribe after he was removed")
        } catch DemoError.notSubscribed(RPCErrorCode.forbidden.rawValue) {}
        do {
            try await phone.push("Ben again", as: 3_001, to: self.space, with: bens, sealedBy: cipher)
            throw DemoError.sharing("Ben could push after he was removed")
        } catch DemoError.pushRefused(.forbidden) {}
        try await phone.checkPullsNothing(of: self.space, with: bens)
    }

    // MARK: The log of members

    private func appendMember(
        _ name: String, to space: SpaceID, with delegation: String, by device: DemoMember
    ) async throws {
        try await device.call { client throws(SyncClientError) in
            let log = try await client.members(of: space, ucan: delegation)
            let payload = ByteBuffer(string: name)
            return try await client.appendMember(
                MembershipAppendParams(
                    space: space.wireText, ucan: delegation, expectedVersion: log.metadataVersion,
                    previousHash: log.entries.last?.entryHash, entryHash: Self.hash(of: payload), payload: payload))
        }
    }

    private func checkMembers(_ names: [String], with delegation: String, by device: DemoMember) async throws {
        let log = try await device.call { client throws(SyncClientError) in
            try await client.members(of: self.space, ucan: delegation)
        }
        var previous: ByteBuffer?
        for entry in log.entries {
            guard entry.previousHash == previous, entry.entryHash == Self.hash(of: entry.payload) else {
                throw DemoError.sharing("the log of members is not a chain at entry \(entry.chainSequence)")
            }
            previous = entry.entryHash
        }
        let found = log.entries.map { String(buffer: $0.payload) }
        guard found == names else { throw DemoError.sharing("the log of members names \(found), not \(names)") }
    }

    private static func hash(of payload: ByteBuffer) -> ByteBuffer {
        ByteBuffer(bytes: SHA256.hash(data: Array(payload.readableBytesView)))
    }

    // MARK: Connections

    /// Ada's laptop and tablet, Ben's phone and desk.
    private func connect() async throws -> [DemoMember] {
        let endpoint = try DemoEndpoint(self.url)
        let run = UUID().uuidString.lowercased()
        let people = [
            (name: "Ada's laptop", user: "ada", did: self.ada.did.text),
            (name: "Ada's tablet", user: "ada", did: self.ada.did.text),
            (name: "Ben's phone", user: "ben", did: self.ben.did.text),
            (name: "Ben's desk", user: "ben", did: self.ben.did.text),
        ]
        let mailboxes = ["ada": Self.randomMailbox(), "ben": Self.randomMailbox()]
        let requests = people.map { person in
            DevTokens.Request(
                user: "demo-\(person.user)-\(run)", client: Self.clientName, mailbox: mailboxes[person.user],
                did: person.did)
        }
        let tokens = try await DevTokens(endpoint).fetch(requests, atOnce: requests.count)
        var devices: [DemoMember] = []
        for (person, token) in zip(people, tokens) {
            do {
                let client = try await SyncClient.connect(to: endpoint.sockets, token: token.token)
                devices.append(
                    DemoMember(
                        name: person.name, personalSpace: token.space, mailbox: mailboxes[person.user] ?? "",
                        client: client, clock: self.clock))
            } catch {
                for device in devices { await device.close() }
                throw DemoError.connection(device: person.name, error)
            }
        }
        return devices
    }

    private static func randomMailbox() -> String {
        var generator = SystemRandomNumberGenerator()
        let digits = Array("0123456789abcdef")
        return String((0..<64).map { _ in digits[Int.random(in: 0..<16, using: &generator)] })
    }
}
