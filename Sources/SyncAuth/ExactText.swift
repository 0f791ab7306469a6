/// A name that is what its bytes are. The equality of `String` is looser: a precomposed é equals e with an accent, and the
/// Kelvin sign equals K, so that two identities could pass for one.
package struct ExactText: Hashable, Sendable {
    package let text: String

    package init(_ text: String) { self.text = text }

    package static func == (one: ExactText, other: ExactText) -> Bool { one.text.hasSameBytes(as: other.text) }

    package func hash(into hasher: inout Hasher) {
        var text = self.text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension String {
    package func hasSameBytes(as other: String) -> Bool { self.utf8.elementsEqual(other.utf8) }
}
