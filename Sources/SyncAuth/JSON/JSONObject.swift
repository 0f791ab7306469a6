/// The named members of one JSON object. Everything else in it is checked for grammar and dropped.
///
/// Unlike the parser of Foundation it reports duplicates, which credentials must not contain: two readers of one token
/// could otherwise see different claims.
package struct JSONObject: Hashable, Sendable {
    private var members: [String: JSONValue] = [:]

    /// The asked-for names that occur more than once.
    package private(set) var duplicates: Set<String> = []

    /// The first name that was not asked for.
    package private(set) var firstUnknownName: String?

    /// - Parameter names: the members to keep.
    /// - Throws: `.malformed` unless `text` is one JSON object with nothing but white space around it.
    package init(_ text: [UInt8], keeping names: Set<String>) throws(JSONError) {
        try self.init(text[...], keeping: names)
    }

    package init(_ text: ArraySlice<UInt8>, keeping names: Set<String>) throws(JSONError) {
        var reader = try JSONReader(text)
        self.members.reserveCapacity(names.count)
        try reader.expect(UInt8(ascii: "{"))
        if !reader.take(UInt8(ascii: "}")) {
            repeat {
                let name = try reader.readName()
                if names.contains(name) {
                    let value = try reader.readValue()
                    if self.members.updateValue(value, forKey: name) != nil { self.duplicates.insert(name) }
                } else {
                    self.firstUnknownName = self.firstUnknownName ?? name
                    try reader.skipValue()
                }
            } while reader.take(UInt8(ascii: ","))
            try reader.expect(UInt8(ascii: "}"))
        }
        try reader.expectEnd()
    }

    package subscript(name: String) -> JSONValue? { self.members[name] }
}
