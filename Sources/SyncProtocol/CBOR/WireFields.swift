import NIOCore

/// A message that is one map, described once for both directions: its fields in the order in which the sender writes them.
///
/// For messages of a few fields. The ones that a push or a pull is made of are written out by hand, because a field here
/// costs a key path in each direction.
struct WireFields<Message: Sendable>: Sendable {
    private let start: Message
    private let fields: [Field]
    private let keys: [[UInt8]]
    /// A bit for each field that has to be there.
    private let required: UInt64

    /// - Parameters:
    ///   - start: What decoding begins with: anything for required fields, the default for optional ones.
    ///   - fields: At most 23, and at most that many are written.
    init(_ start: Message, _ fields: Field...) {
        precondition(fields.count < CBORWriter.smallMapEntries, "A message has at most 23 fields.")
        self.start = start
        self.fields = fields
        self.keys = fields.map(\.key)
        self.required = fields.indices.reduce(0) { $0 | (fields[$1].isRequired ? 1 << UInt64($1) : 0) }
    }

    /// - Throws: `.missingField` when a required field is absent; what the fields throw.
    func read(from reader: inout CBORReader) throws(CBORError) -> Message {
        var message = self.start
        let seen = try reader.readMap(keys: self.keys) { (index, reader) throws(CBORError) in
            try self.fields[index].read(&message, &reader)
        }
        guard seen & self.required == self.required else { throw .missingField }
        return message
    }

    func write(_ message: Message, to writer: inout CBORWriter) {
        writer.writeMap { writer in
            for field in self.fields { field.write(message, &writer) }
        }
    }
}

extension WireFields {
    /// One key of the map.
    struct Field: Sendable {
        fileprivate let key: [UInt8]
        fileprivate let isRequired: Bool
        fileprivate let read: @Sendable (inout Message, inout CBORReader) throws(CBORError) -> Void
        fileprivate let write: @Sendable (Message, inout CBORWriter) -> Void

        /// Always written; absent or `null` is an error.
        static func required<Value: WireValue>(
            _ key: StaticString, _ property: any WritableKeyPath<Message, Value> & Sendable
        ) -> Field {
            Field(
                key: Self.bytes(of: key), isRequired: true,
                read: { (message, reader) throws(CBORError) in
                    message[keyPath: property] = try Value.read(from: &reader)
                },
                write: { message, writer in
                    writer.write(key: key)
                    message[keyPath: property].write(to: &writer)
                })
        }

        /// Written unless `nil`; absent, `null` and `undefined` are `nil`.
        static func optional<Value: WireValue>(
            _ key: StaticString, _ property: any WritableKeyPath<Message, Value?> & Sendable
        ) -> Field {
            Field(
                key: Self.bytes(of: key), isRequired: false,
                read: { (message, reader) throws(CBORError) in
                    if try !reader.readNil() { message[keyPath: property] = try Value.read(from: &reader) }
                },
                write: { message, writer in
                    guard let value = message[keyPath: property] else { return }
                    writer.write(key: key)
                    value.write(to: &writer)
                })
        }

        /// Written unless it is `omitted`; absent, `null` and `undefined` are `omitted`, which is what decoding must start
        /// with.
        static func optional<Value: WireValue & Equatable>(
            _ key: StaticString, _ property: any WritableKeyPath<Message, Value> & Sendable,
            unless omitted: @escaping @autoclosure @Sendable () -> Value
        ) -> Field {
            Field(
                key: Self.bytes(of: key), isRequired: false,
                read: { (message, reader) throws(CBORError) in
                    if try !reader.readNil() { message[keyPath: property] = try Value.read(from: &reader) }
                },
                write: { message, writer in
                    let value = message[keyPath: property]
                    guard value != omitted() else { return }
                    writer.write(key: key)
                    value.write(to: &writer)
                })
        }

        private static func bytes(of key: StaticString) -> [UInt8] { key.withUTF8Buffer { Array($0) } }
    }
}

/// A message that `WireFields` describes.
protocol WireMap: WireDecodable, WireEncodable, WireValue {
    static var fields: WireFields<Self> { get }
}

extension WireMap {
    public init(from reader: inout CBORReader) throws(CBORError) { self = try Self.fields.read(from: &reader) }

    public func encode(to writer: inout CBORWriter) { Self.fields.write(self, to: &writer) }
}

/// What a field of `WireFields` can hold.
protocol WireValue: Sendable {
    static func read(from reader: inout CBORReader) throws(CBORError) -> Self
    func write(to writer: inout CBORWriter)
}

extension WireValue where Self: WireDecodable {
    static func read(from reader: inout CBORReader) throws(CBORError) -> Self { try Self(from: &reader) }
}

extension WireValue where Self: WireEncodable {
    func write(to writer: inout CBORWriter) { self.encode(to: &writer) }
}

extension String: WireValue {
    static func read(from reader: inout CBORReader) throws(CBORError) -> String { try reader.readText() }
    func write(to writer: inout CBORWriter) { writer.write(self) }
}

extension Int32: WireValue {
    static func read(from reader: inout CBORReader) throws(CBORError) -> Int32 { try reader.readInt32() }
    func write(to writer: inout CBORWriter) { writer.write(self) }
}

extension Int64: WireValue {
    static func read(from reader: inout CBORReader) throws(CBORError) -> Int64 { try reader.readInt64() }
    func write(to writer: inout CBORWriter) { writer.write(self) }
}

extension Bool: WireValue {
    static func read(from reader: inout CBORReader) throws(CBORError) -> Bool { try reader.readBool() }
    func write(to writer: inout CBORWriter) { writer.write(self) }
}

extension ByteBuffer: WireValue {
    static func read(from reader: inout CBORReader) throws(CBORError) -> ByteBuffer { try reader.readBytes() }
    func write(to writer: inout CBORWriter) { writer.write(self) }
}

extension Identifier: WireValue {
    static func read(from reader: inout CBORReader) throws(CBORError) -> Self { try reader.readIdentifier() }
    func write(to writer: inout CBORWriter) { writer.write(self) }
}

extension Array: WireValue where Element: WireValue {
    static func read(from reader: inout CBORReader) throws(CBORError) -> [Element] {
        try reader.readElements { (reader) throws(CBORError) in try Element.read(from: &reader) }
    }

    func write(to writer: inout CBORWriter) {
        writer.writeArray(self.count)
        for element in self { element.write(to: &writer) }
    }
}
