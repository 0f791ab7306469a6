import NIOCore
import SyncProtocol
import Testing

/// Params and results of epochs and DEKs, one fact changed from something valid.
@Suite("Params of epochs and DEKs")
struct EpochParamsTests {
    private func decode<Params: WireDecodable>(_ params: Params.Type, _ hex: String) throws -> Params {
        try FramePayload(item: buffer(hex)).decode()
    }

    /// A text of fewer than 24 bytes.
    private func item(_ text: String) -> String {
        hex(ByteBuffer(integer: 0x60 | UInt8(text.utf8.count))) + hex(ByteBuffer(string: text))
    }

    @Test(
        "EPB-4, EPC-3, DKG-2, DKR-4: params that are a text string, or no map at all",
        arguments: ["63666f6f", "00", "80", "f6", "f7", "4161", "f93c00", "c1a0"])
    func notAMap(hex: String) {
        func expectMismatch<Params: WireDecodable>(_ params: Params.Type) {
            #expect(throws: CBORError.typeMismatch, "\(params)") { try self.decode(params, hex) }
        }
        expectMismatch(EpochBeginParams.self)
        expectMismatch(EpochBeginResult.self)
        expectMismatch(EpochCompleteParams.self)
        expectMismatch(DEKsGetParams.self)
        expectMismatch(DEKsGetResult<RecordDEKEntry>.self)
        expectMismatch(DEKsRewrapParams.self)
        expectMismatch(FileNotification.self)
    }

    @Test("The SDK's forms: keys by length, optional ones left out")
    func clientForms() throws {
        let space = self.item("space") + self.item("s")
        let forms: [(String, any (WireEncodable & Sendable))] = [
            (
                "a2" + self.item("epoch") + "02" + space, EpochBeginParams(space: "s", epoch: 2)
            ),
            (
                "a4" + self.item("ucan") + self.item("u") + self.item("epoch") + "02" + space
                    + self.item("set_min_key_generation") + "f5",
                EpochBeginParams(space: "s", ucan: "u", epoch: 2, setsMinKeyGeneration: true)
            ),
            ("a2" + self.item("epoch") + "03" + space, EpochCompleteParams(space: "s", epoch: 3)),
            ("a2" + self.item("since") + "07" + space, DEKsGetParams(space: "s", since: 7)),
            (
                "a2" + self.item("deks") + "81a2" + self.item("id") + self.item("r") + self.item("dek") + "420102"
                    + space,
                DEKsRewrapParams(space: "s", deks: [.init(id: "r", dek: ByteBuffer(bytes: [1, 2]))])
            ),
        ]
        for (message, params) in forms {
            #expect(hex(FrameEncoder.request(id: "", method: .deksGet, params: params)).hasSuffix(message))
        }
        #expect(
            try self.decode(EpochBeginParams.self, forms[1].0)
                == EpochBeginParams(space: "s", ucan: "u", epoch: 2, setsMinKeyGeneration: true))
    }

    @Test("W-44: optional fields absent, null or undefined", arguments: [nil, "f6", "f7"])
    func optionals(absent: String?) throws {
        func map(_ count: Int, _ required: String, _ optional: [String]) -> String {
            let keys = absent.map { value in optional.map { self.item($0) + value } } ?? []
            return hex(ByteBuffer(integer: 0xA0 | UInt8(count + keys.count))) + keys.joined() + required
        }
        let space = self.item("space") + self.item("s")
        let epoch = space + self.item("epoch") + "02"
        #expect(
            try self.decode(EpochBeginParams.self, map(2, epoch, ["ucan", "set_min_key_generation"]))
                == EpochBeginParams(space: "s", epoch: 2))
        #expect(
            try self.decode(EpochCompleteParams.self, map(2, epoch, ["ucan"]))
                == EpochCompleteParams(space: "s", epoch: 2))
        #expect(
            try self.decode(DEKsGetParams.self, map(1, space, ["ucan", "since"])) == DEKsGetParams(space: "s"))
        #expect(
            try self.decode(DEKsRewrapParams.self, map(2, space + self.item("deks") + "80", ["ucan"]))
                == DEKsRewrapParams(space: "s", deks: []))
        let conflict = self.item("error") + self.item("conflict") + self.item("current_epoch") + "02"
        #expect(
            try self.decode(EpochBeginResult.self, map(2, conflict, ["rewrap_epoch", "epoch"]))
                == .conflict(EpochConflict(error: "conflict", currentEpoch: 2, rewrapEpoch: nil)))
        #expect(
            try self.decode(EpochBeginResult.self, map(1, self.item("epoch") + "02", ["error", "current_epoch"]))
                == .begun(epoch: 2))
    }

    @Test("Required fields, and an epoch beyond i32, are errors")
    func required() {
        let space = self.item("space") + self.item("s")
        #expect(throws: CBORError.missingField) { try self.decode(EpochBeginParams.self, "a1" + space) }
        #expect(throws: CBORError.missingField) { try self.decode(DEKsRewrapParams.self, "a1" + space) }
        #expect(throws: CBORError.missingField) { try self.decode(DEKsGetParams.self, "a0") }
        #expect(throws: CBORError.missingField) { try self.decode(EpochBeginResult.self, "a0") }
        #expect(throws: CBORError.missingField) {
            try self.decode(EpochBeginResult.self, "a1" + self.item("error") + self.item("conflict"))
        }
        #expect(throws: CBORError.missingField) { try self.decode(DEKsGetResult<RecordDEKEntry>.self, "a0") }
        #expect(throws: CBORError.missingField) {
            try self.decode(
                DEKsRewrapParams.self, "a2" + space + self.item("deks") + "81a1" + self.item("id") + self.item("r"))
        }
        #expect(throws: CBORError.outOfRange) {
            try self.decode(EpochBeginParams.self, "a2" + space + self.item("epoch") + "1a80000000")
        }
    }

    @Test("14.3: the size 0 of a file is left out")
    func emptyFile() throws {
        let file = FileNotification.File(id: FileID(bits: 1), recordID: RecordID(bits: 2), size: 0, dek: nil)
        let params = FileNotification(space: SpaceID(bits: 3), cursor: 1, files: [file])
        let frame = FrameEncoder.notification(method: .file, params: params)
        #expect(!hex(frame).contains(self.item("size")) && !hex(frame).contains(self.item("deleted")))
    }
}
