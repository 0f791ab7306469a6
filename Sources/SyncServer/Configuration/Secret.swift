/// A value that must not reach a log, an error message or a debugger's dump. Use `reveal()` where it is needed.
package struct Secret<Value: Hashable & Sendable>: Hashable, Sendable {
    private let value: Value

    package init(_ value: Value) { self.value = value }

    package func reveal() -> Value { self.value }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "<redacted>" }
    package var debugDescription: String { self.description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
