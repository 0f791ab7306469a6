import NIOCore
import SyncProtocol

/// Parameters in PostgreSQL's binary format.
enum PostgresValue {
    static func bytes(_ bytes: ByteBuffer?) -> ByteBuffer? { bytes }

    /// PostgreSQL refuses a text with U+0000.
    static func text(_ text: String) -> ByteBuffer { ByteBuffer(string: text) }

    /// A text that names something and comes from outside: U+0000, which PostgreSQL has no room for, becomes U+FFFD.
    static func name(_ text: String) -> ByteBuffer { ByteBuffer(string: self.storable(text)) }

    private static func storable(_ text: String) -> String {
        guard text.utf8.contains(0) else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\0" ? "\u{FFFD}" : $0 }))
    }

    static func int8(_ value: Int64) -> ByteBuffer { ByteBuffer(integer: value) }

    static func bool(_ value: Bool) -> ByteBuffer { ByteBuffer(integer: UInt8(value ? 1 : 0)) }

    static func id<Subject>(_ id: Identifier<Subject>) -> ByteBuffer { ByteBuffer(integer: id.bits) }

    /// Object identifiers of the element types of arrays (PostgreSQL, `pg_type`).
    enum ElementType: Int32 {
        case bytea = 17
        case int8 = 20
        case int4 = 23
        case text = 25
        case uuid = 2950
    }

    /// A one-dimensional array; `write` appends one element without its length, or returns false for null.
    ///
    /// - Parameter bytes: What the elements take in all, about.
    static func array<Elements: Collection>(
        of type: ElementType, _ elements: Elements, bytes: Int,
        _ write: (Elements.Element, inout ByteBuffer) -> Bool
    ) -> ByteBuffer {
        var array = PostgresArray(of: type, count: elements.count, bytes: bytes)
        for element in elements { array.append { write(element, &$0) } }
        return array.value
    }

    static func int4s(_ values: [Int32]) -> ByteBuffer {
        Self.array(of: .int4, values, bytes: values.count * 4) { value, buffer in
            buffer.writeInteger(value)
            return true
        }
    }

    static func ids<Subject>(_ ids: [Identifier<Subject>]) -> ByteBuffer {
        Self.array(of: .uuid, ids, bytes: ids.count * 16) { id, buffer in
            buffer.writeInteger(id.bits)
            return true
        }
    }
}

/// A one-dimensional array in the making, element by element.
struct PostgresArray {
    private(set) var value: ByteBuffer

    /// - Parameters:
    ///   - count: Elements that will be appended.
    ///   - bytes: What they take in all, about.
    init(of type: PostgresValue.ElementType, count: Int, bytes: Int) {
        self.value = ByteBufferAllocator().buffer(capacity: 20 + count * 4 + bytes)
        // Dimensions, whether there are nulls, type; then the length and lower bound of the dimension.
        self.value.writeMultipleIntegers(Int32(count == 0 ? 0 : 1), Int32(1), type.rawValue)
        if count > 0 { self.value.writeMultipleIntegers(Int32(count), Int32(1)) }
    }

    mutating func append(_ element: some FixedWidthInteger) {
        self.value.writeMultipleIntegers(Int32(element.bitWidth / 8), element)
    }

    /// - Parameter write: Appends one element without its length, or returns false for null.
    mutating func append(_ write: (inout ByteBuffer) -> Bool) {
        let lengthIndex = self.value.writerIndex
        self.value.writeInteger(Int32(-1))
        let start = self.value.writerIndex
        if write(&self.value) { self.value.setInteger(Int32(self.value.writerIndex - start), at: lengthIndex) }
    }

    /// `nil` is null.
    mutating func append(_ element: ByteBuffer?) {
        guard let element else {
            self.value.writeInteger(Int32(-1))
            return
        }
        self.value.writeInteger(Int32(element.readableBytes))
        self.value.writeImmutableBuffer(element)
    }
}

/// Rows as PostgreSQL sent them, in binary format. All values are slices of one buffer.
struct PostgresRows: Sendable {
    let values: ByteBuffer
    /// Start and end of each value, row by row; start −1 for null.
    private let bounds: [(start: Int, end: Int)]
    /// Object identifiers of the columns' types (PostgreSQL, `pg_type`).
    let types: [UInt32]
    let count: Int

    init(values: ByteBuffer = ByteBuffer(), bounds: [(start: Int, end: Int)] = [], types: [UInt32] = []) {
        self.values = values
        self.bounds = bounds
        self.types = types
        self.count = types.isEmpty ? 0 : bounds.count / types.count
    }

    var columns: Int { self.types.count }

    var byteCount: Int { self.values.readableBytes }

    /// - Parameters:
    ///   - row: 0..<`count`.
    ///   - column: 0..<`columns`.
    func bytes(_ row: Int, _ column: Int) -> ByteBuffer? {
        let bound = self.bounds[row * self.columns + column]
        return bound.start < 0 ? nil : self.values.getSlice(at: bound.start, length: bound.end - bound.start)
    }

    /// Where a value lies among `values`; `nil` for null.
    func range(_ row: Int, _ column: Int) -> Range<Int>? {
        let bound = self.bounds[row * self.columns + column]
        return bound.start < 0 ? nil : bound.start..<bound.end
    }

    func integer<Integer: FixedWidthInteger>(_ row: Int, _ column: Int, as type: Integer.Type = Integer.self)
        -> Integer?
    {
        let bound = self.bounds[row * self.columns + column]
        guard bound.start >= 0, bound.end - bound.start == MemoryLayout<Integer>.size else { return nil }
        return self.values.getInteger(at: bound.start)
    }

    func bool(_ row: Int, _ column: Int) -> Bool? { self.integer(row, column, as: UInt8.self).map { $0 != 0 } }

    func text(_ row: Int, _ column: Int) -> String? {
        self.bytes(row, column).map { String(buffer: $0) }
    }

    func id<Subject>(_ row: Int, _ column: Int) -> Identifier<Subject>? {
        self.integer(row, column, as: UInt128.self).map { Identifier(bits: $0) }
    }

    /// The elements of a one-dimensional array of integers or ids; `nil` for a null array or a foreign format.
    func integers<Integer: FixedWidthInteger>(
        _ row: Int, _ column: Int, as type: Integer.Type = Integer.self
    ) -> [Integer?]? {
        guard var array = self.bytes(row, column),
            let (dimensions, _, _) = array.readMultipleIntegers(as: (Int32, Int32, Int32).self)
        else { return nil }
        guard dimensions > 0 else { return [] }
        guard dimensions == 1, let (count, _) = array.readMultipleIntegers(as: (Int32, Int32).self) else { return nil }
        var elements: [Integer?] = []
        for _ in 0..<count {
            guard let length = array.readInteger(as: Int32.self) else { return nil }
            guard length >= 0 else {
                elements.append(nil)
                continue
            }
            guard Int(length) == MemoryLayout<Integer>.size, let element = array.readInteger(as: Integer.self) else {
                return nil
            }
            elements.append(element)
        }
        return elements
    }
}
