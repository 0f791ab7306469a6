import SyncProtocol
import Testing

@Suite("Validation")
struct ValidationTests {
    @Test("storage §1.3: record and file ids are hyphenated UUIDs of any version", arguments: IdentifierTests.valid)
    func validIDs(text: String) throws {
        #expect(try Validation.recordID(text).wireText == text.lowercased())
        #expect(try Validation.fileID(text).wireText == text.lowercased())
    }

    @Test("storage §1.3: other ids are refused with their message", arguments: IdentifierTests.invalid)
    func invalidIDs(text: String) {
        #expect(throws: ValidationError.recordID) { try Validation.recordID(text) }
        #expect(throws: ValidationError.fileID) { try Validation.fileID(text) }
    }

    @Test(
        "storage §1.3: messages",
        arguments: [
            (ValidationError.recordID, "invalid record ID: must be valid UUID format"),
            (.fileID, "invalid file ID: must be valid UUID format"),
            (.blobTooLarge(limit: 5_242_880), "blob exceeds 5 MB limit"),
            (.blobTooLarge(limit: 6_291_455), "blob exceeds 5 MB limit"),
            (.blobTooLarge(limit: 1_048_575), "blob exceeds 0 MB limit"),
            (.fileTooLarge(limit: 104_857_600), "file exceeds 100 MB limit"),
        ]
    )
    func messages(error: ValidationError, message: String) { #expect(error.description == message) }

    @Test("storage §1.3: a blob or file of exactly the limit passes")
    func limits() throws {
        try Validation.blobSize(5_242_880)
        #expect(throws: ValidationError.blobTooLarge(limit: 5_242_880)) { try Validation.blobSize(5_242_881) }
        try Validation.blobSize(10, limit: 10)
        #expect(throws: ValidationError.blobTooLarge(limit: 10)) { try Validation.blobSize(11, limit: 10) }
        try Validation.fileSize(10, limit: 10)
        #expect(throws: ValidationError.fileTooLarge(limit: 10)) { try Validation.fileSize(11, limit: 10) }
    }
}
