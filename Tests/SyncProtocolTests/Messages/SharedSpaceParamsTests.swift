import NIOCore
import SyncProtocol
import Testing

/// Params of membership, invitations and presence, one fact changed from something valid.
@Suite("Params of shared spaces")
struct SharedSpaceParamsTests {
    private func decode<Params: WireDecodable>(_ params: Params.Type, _ hex: String) throws -> Params {
        try FramePayload(item: buffer(hex)).decode()
    }

    /// Key and value of a field, both as texts.
    private func text(_ key: String, _ value: String) -> String { self.item(key) + self.item(value) }

    /// A text of fewer than 24 bytes.
    private func item(_ text: String) -> String {
        hex(ByteBuffer(integer: 0x60 | UInt8(text.utf8.count))) + hex(ByteBuffer(string: text))
    }

    @Test(
        "SPC-7, MAP-3, MLS-3, MRV-5, INC-10, PRS-15: params that are a text string, or no map at all",
        arguments: ["63666f6f", "00", "80", "f6", "f7", "4161", "f93c00", "c1a0"])
    func notAMap(hex: String) {
        func expectMismatch<Params: WireDecodable>(_ params: Params.Type) {
            #expect(throws: CBORError.typeMismatch, "\(params)") { try self.decode(params, hex) }
        }
        expectMismatch(SpaceCreateParams.self)
        expectMismatch(MembershipAppendParams.self)
        expectMismatch(MembershipListParams.self)
        expectMismatch(MembershipRevokeParams.self)
        expectMismatch(InvitationCreateParams.self)
        expectMismatch(InvitationListParams.self)
        expectMismatch(InvitationIDParams.self)
        expectMismatch(PresenceParams.self)
        expectMismatch(PresenceClearParams.self)
        expectMismatch(EmptyMap.self)
    }

    @Test(
        "SPC-8, W-47: a key as an array of integers, as text or null is not taken", arguments: ["8102", "6102", "f6"])
    func keyAsArray(value: String) {
        #expect(throws: CBORError.typeMismatch) {
            try self.decode(SpaceCreateParams.self, "a2" + self.text("id", "s") + self.item("root_public_key") + value)
        }
    }

    @Test("The SDK's form of an append: keys by length, binary fields as byte strings")
    func append() throws {
        let message =
            "a6" + self.text("ucan", "u") + self.text("space", "s") + self.item("payload") + "420102"
            + self.item("prev_hash") + "4103" + self.item("entry_hash") + "4104" + self.item("expected_version") + "05"
        let params = MembershipAppendParams(
            space: "s", ucan: "u", expectedVersion: 5, previousHash: ByteBuffer(bytes: [3]),
            entryHash: ByteBuffer(bytes: [4]), payload: ByteBuffer(bytes: [1, 2]))
        #expect(try self.decode(MembershipAppendParams.self, message) == params)
        #expect(params.encodedSize == buffer(message).readableBytes)
        #expect(hex(FrameEncoder.request(id: "", method: .membershipAppend, params: params)).hasSuffix(message))
    }

    @Test("W-44: optional fields absent, null or undefined", arguments: [nil, "f6", "f7"])
    func optionals(absent: String?) throws {
        func map(_ count: Int, _ required: String, _ optional: [String]) -> String {
            let keys = absent.map { value in optional.map { self.item($0) + value } } ?? []
            return hex(ByteBuffer(integer: 0xA0 | UInt8(count + keys.count))) + keys.joined() + required
        }
        let append =
            self.text("space", "s") + self.item("expected_version") + "00" + self.item("entry_hash") + "40"
            + self.item("payload") + "40"
        #expect(
            try self.decode(MembershipAppendParams.self, map(4, append, ["ucan", "prev_hash"]))
                == MembershipAppendParams(
                    space: "s", expectedVersion: 0, entryHash: ByteBuffer(), payload: ByteBuffer()))
        #expect(
            try self.decode(MembershipListParams.self, map(1, self.text("space", "s"), ["ucan", "since_seq"]))
                == MembershipListParams(space: "s"))
        #expect(
            try self.decode(
                MembershipRevokeParams.self, map(2, self.text("space", "s") + self.text("ucan_cid", ""), ["ucan"]))
                == MembershipRevokeParams(space: "s", ucanCID: ""))
        #expect(
            try self.decode(
                InvitationCreateParams.self,
                map(2, self.text("mailbox_id", "m") + self.text("payload", "p"), ["server"]))
                == InvitationCreateParams(mailboxID: "m", payload: "p"))
        #expect(
            try self.decode(InvitationListParams.self, map(0, "", ["limit", "after"])) == InvitationListParams())
    }

    @Test("W-45: a known key twice is an error, an unknown one is not")
    func duplicates() throws {
        let space = self.text("space", "s")
        #expect(throws: CBORError.duplicateKey) { try self.decode(PresenceClearParams.self, "a2" + space + space) }
        let other = self.text("other", "o")
        #expect(
            try self.decode(PresenceClearParams.self, "bf" + other + space + other + "ff")
                == PresenceClearParams(space: "s"))
        #expect(throws: CBORError.typeMismatch) { try self.decode(PresenceClearParams.self, "a2 01 02" + space) }
        #expect(throws: CBORError.malformed) { try self.decode(PresenceClearParams.self, "a2 61ff 02" + space) }
    }

    @Test("Integers out of the range of i32", arguments: ["1a80000000", "3a80000000", "1bffffffffffffffff"])
    func ranges(value: String) {
        #expect(throws: CBORError.outOfRange) {
            try self.decode(MembershipListParams.self, "a2" + self.text("space", "s") + self.item("since_seq") + value)
        }
        #expect(throws: CBORError.outOfRange) {
            try self.decode(InvitationListParams.self, "a1" + self.item("limit") + value)
        }
    }

    @Test("MLS-4: the first entry of a log has no prev_hash key; an empty one is written as it is")
    func firstEntry() {
        let entry = MembershipEntry(
            chainSequence: 1, previousHash: nil, entryHash: ByteBuffer(), payload: ByteBuffer())
        let first = FrameEncoder.response(
            id: "", result: MembershipListResult(entries: [entry], metadataVersion: 1))
        #expect(!hex(first).contains(self.item("prev_hash")))
        var later = entry
        later.previousHash = ByteBuffer()
        let second = FrameEncoder.response(
            id: "", result: MembershipListResult(entries: [later], metadataVersion: 1))
        #expect(hex(second).contains(self.item("prev_hash") + "40"))
    }

    @Test("INC-5: the empty times of a forwarded invitation are written")
    func forwarded() {
        let result = InvitationResult(id: "forwarded", payload: "p", createdAt: "", expiresAt: "")
        let frame = FrameEncoder.response(id: "", result: result)
        #expect(
            hex(frame).hasSuffix(
                "a4" + self.text("id", "forwarded") + self.text("payload", "p") + self.text("created_at", "")
                    + self.text("expires_at", "")))
    }
}
