import Foundation
import Testing

@testable import SyncServer

@Suite("Answers of S3")
struct S3AnswerTests {
    @Test("Elements are found by their whole name, in order, with and without attributes")
    func elements() {
        let text = """
            <?xml version="1.0"?><List xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><KeyCount>2</KeyCount><Key>a</Key>
            <Key type="x">b&amp;lt;&lt;&#34;</Key><Key/><Open>
            """[...]
        #expect(S3Answer.elements("Key", in: text) == ["a", "b&amp;lt;&lt;&#34;", ""])
        #expect(S3Answer.text("KeyCount", in: text) == "2")
        #expect(S3Answer.text("Key", in: text.drop { $0 != "\n" }) == "b&lt;<\"")
        #expect(S3Answer.elements("Open", in: text) == [])
        #expect(S3Answer.text("List", in: text) == nil)
        #expect(S3Answer.text("Missing", in: text) == nil)
        #expect(S3Answer.elements("Key", in: "<Key") == [])
    }

    @Test("Dates come with and without a fraction")
    func dates() {
        #expect(S3Answer.date("2013-05-24T00:00:00.500Z") == Date(timeIntervalSince1970: 1_369_353_600.5))
        #expect(S3Answer.date("2013-05-24T00:00:00Z") == Date(timeIntervalSince1970: 1_369_353_600))
        #expect(S3Answer.date("yesterday") == nil)
    }

    @Test("The length of an object is taken from a range only if it is the one that was asked for")
    func ranges() {
        #expect(S3BlobStore.lengthOfWhole("bytes 0-9/100", 0..<10) == 100)
        #expect(S3BlobStore.lengthOfWhole("bytes 90-99/100", 90..<110) == 100)
        for header in ["bytes 0-8/100", "bytes 1-9/100", "bytes 0-9/*", "items 0-9/100", "bytes 0-9", ""] {
            #expect(S3BlobStore.lengthOfWhole(header, 0..<10) == nil)
        }
        #expect(S3BlobStore.lengthOfWhole(nil, 0..<10) == nil)
    }

    @Test("Parts grow with the object, so that 10,000 are enough")
    func parts() {
        for length in [0, 1, 5_242_880, 52_428_800_000, 52_428_800_001, 5_497_558_138_880] as [Int64] {
            let part = Int64(S3BlobWriter.partBytes(length: length))
            #expect(part >= 5_242_880)
            #expect((length + part - 1) / part <= 10_000)
        }
    }
}
