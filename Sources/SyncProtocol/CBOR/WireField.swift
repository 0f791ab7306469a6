/// The known keys of one kind of map. At most 64.
package protocol WireField: RawRepresentable<String>, CaseIterable, Sendable {
    /// `WireFieldTable()`, made once.
    static var table: WireFieldTable<Self> { get }

    /// Whether the key may come twice in one map. False unless said otherwise (docs/contract/wire.md §7.2).
    var mayRepeat: Bool { get }
}

extension WireField {
    package var mayRepeat: Bool { false }
}

/// Finds a field by the bytes of its key, without making a `String`.
package struct WireFieldTable<Field: WireField>: Sendable {
    private let entries: [Entry]

    private struct Entry {
        let field: Field
        let key: [UInt8]
    }

    package init() { self.entries = Field.allCases.map { Entry(field: $0, key: Array($0.rawValue.utf8)) } }

    /// The field and the bit that stands for it.
    func lookup(_ key: Span<UInt8>) -> (field: Field, mask: UInt64)? {
        for index in self.entries.indices where CBORSyntax.equal(self.entries[index].key, key) {
            return (self.entries[index].field, 1 << UInt64(index))
        }
        return nil
    }
}
