import NIOCore
import SyncTesting

/// A CBOR item as a tree, with a codec that has nothing in common with the one under test.
indirect enum CBORItem: Equatable {
    case unsigned(UInt64)
    /// −1 − n.
    case negative(UInt64)
    case bytes([UInt8])
    case text(String)
    case array([CBORItem])
    case map([Pair])
    case tag(UInt64, CBORItem)
    case simple(UInt8)
    case half(UInt16)
    case single(UInt32)
    case double(UInt64)

    struct Pair: Equatable {
        var key: CBORItem
        var value: CBORItem
    }
}

// MARK: - Encoding in a random form

extension CBORItem {
    /// Any of the item's encodings: integers of any width, strings and containers definite or not.
    ///
    /// - Parameter hasDefiniteKeys: The keys of maps are definite, as those of params must be.
    func encode(to output: inout [UInt8], hasDefiniteKeys: Bool, using generator: inout SeededRandom) {
        switch self {
        case .unsigned(let value): Self.head(0, value, to: &output, using: &generator)
        case .negative(let value): Self.head(1, value, to: &output, using: &generator)
        case .bytes(let bytes): Self.string(2, bytes.map { [$0] }, to: &output, using: &generator)
        case .text(let text):
            Self.string(3, text.unicodeScalars.map { Array(String($0).utf8) }, to: &output, using: &generator)
        case .array(let items):
            let isIndefinite = Self.open(4, items.count, to: &output, using: &generator)
            for item in items { item.encode(to: &output, hasDefiniteKeys: hasDefiniteKeys, using: &generator) }
            if isIndefinite { output.append(0xFF) }
        case .map(let pairs):
            let isIndefinite = Self.open(5, pairs.count, to: &output, using: &generator)
            for pair in pairs {
                if hasDefiniteKeys, case .text(let key) = pair.key {
                    Self.head(3, UInt64(key.utf8.count), to: &output, using: &generator)
                    output += Array(key.utf8)
                } else {
                    pair.key.encode(to: &output, hasDefiniteKeys: hasDefiniteKeys, using: &generator)
                }
                pair.value.encode(to: &output, hasDefiniteKeys: hasDefiniteKeys, using: &generator)
            }
            if isIndefinite { output.append(0xFF) }
        case .tag(let number, let item):
            Self.head(6, number, to: &output, using: &generator)
            item.encode(to: &output, hasDefiniteKeys: hasDefiniteKeys, using: &generator)
        case .simple(let value): output += value < 24 ? [0xE0 | value] : [0xF8, value]
        case .half(let bits): output += [0xF9] + Self.bigEndian(UInt64(bits), 2)
        case .single(let bits): output += [0xFA] + Self.bigEndian(UInt64(bits), 4)
        case .double(let bits): output += [0xFB] + Self.bigEndian(bits, 8)
        }
    }

    private static func head(
        _ major: UInt8, _ value: UInt64, to output: inout [UInt8], using generator: inout SeededRandom
    ) {
        var forms: [[UInt8]] = [[major << 5 | 27] + self.bigEndian(value, 8)]
        if value <= 0xFFFF_FFFF { forms.append([major << 5 | 26] + self.bigEndian(value, 4)) }
        if value <= 0xFFFF { forms.append([major << 5 | 25] + self.bigEndian(value, 2)) }
        if value <= 0xFF { forms.append([major << 5 | 24, UInt8(value)]) }
        if value < 24 { forms.append([major << 5 | UInt8(value)]) }
        output += forms.randomElement(using: &generator) ?? []
    }

    private static func string(
        _ major: UInt8, _ atoms: [[UInt8]], to output: inout [UInt8], using generator: inout SeededRandom
    ) {
        guard Bool.random(using: &generator) else {
            let bytes = atoms.flatMap { $0 }
            self.head(major, UInt64(bytes.count), to: &output, using: &generator)
            output += bytes
            return
        }
        output.append(major << 5 | 31)
        var rest = atoms[...]
        while !rest.isEmpty {
            let count = Int.random(in: 0...rest.count, using: &generator)
            let chunk = rest.prefix(count).flatMap { $0 }
            self.head(major, UInt64(chunk.count), to: &output, using: &generator)
            output += chunk
            rest = rest.dropFirst(count)
        }
        output.append(0xFF)
    }

    private static func open(
        _ major: UInt8, _ count: Int, to output: inout [UInt8], using generator: inout SeededRandom
    ) -> Bool {
        guard Bool.random(using: &generator) else {
            self.head(major, UInt64(count), to: &output, using: &generator)
            return false
        }
        output.append(major << 5 | 31)
        return true
    }

    private static func bigEndian(_ value: UInt64, _ width: Int) -> [UInt8] {
        (0..<width).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (width - 1 - $0))) }
    }
}

// MARK: - Decoding what the server writes

extension CBORItem {
    /// Reads definite items with shortest heads only, without floats and tags: what docs/contract/wire.md §6 allows.
    /// `nil` for anything else.
    init?(serverForm bytes: inout ArraySlice<UInt8>) {
        guard let initial = bytes.popFirst() else { return nil }
        let info = Int(initial & 0x1F)
        var argument = UInt64(info)
        if info >= 24 {
            guard info < 28, bytes.count >= 1 << (info - 24) else { return nil }
            argument = 0
            for _ in 0..<(1 << (info - 24)) { argument = argument << 8 | UInt64(bytes.removeFirst()) }
            let shortest: [UInt64] = [24, 0x100, 0x1_0000, 0x1_0000_0000]
            guard argument >= shortest[info - 24] else { return nil }
        }
        switch initial >> 5 {
        case 0: self = .unsigned(argument)
        case 1: self = .negative(argument)
        case 2, 3:
            guard argument <= bytes.count else { return nil }
            let content = Array(bytes.prefix(Int(argument)))
            bytes = bytes.dropFirst(Int(argument))
            if initial >> 5 == 2 {
                self = .bytes(content)
            } else {
                guard let text = String(validating: content, as: UTF8.self) else { return nil }
                self = .text(text)
            }
        case 4:
            var items: [CBORItem] = []
            for _ in 0..<argument {
                guard let item = CBORItem(serverForm: &bytes) else { return nil }
                items.append(item)
            }
            self = .array(items)
        case 5:
            var pairs: [Pair] = []
            for _ in 0..<argument {
                guard let key = CBORItem(serverForm: &bytes), case .text = key,
                    let value = CBORItem(serverForm: &bytes), !pairs.contains(where: { $0.key == key })
                else { return nil }
                pairs.append(Pair(key: key, value: value))
            }
            self = .map(pairs)
        case 7 where info == 20 || info == 21: self = .simple(UInt8(info))
        default: return nil
        }
    }
}

// MARK: - Random items

extension CBORItem {
    /// Any item of at most `depth` further levels.
    static func random(depth: Int, using generator: inout SeededRandom) -> CBORItem {
        switch Int.random(in: 0..<(depth > 0 ? 12 : 8), using: &generator) {
        case 0:
            return .unsigned(
                UInt64.random(in: 0 ... .max, using: &generator) >> UInt64.random(in: 0..<64, using: &generator))
        case 1:
            return .negative(
                UInt64.random(in: 0 ... .max, using: &generator) >> UInt64.random(in: 0..<64, using: &generator))
        case 2:
            return .bytes(
                (0..<Int.random(in: 0..<40, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator)
                })
        case 3: return .text(Self.randomText(using: &generator))
        case 4: return .simple([0, 16, 19, 20, 21, 22, 23, 32, 255].randomElement(using: &generator) ?? 20)
        case 5: return .half(UInt16.random(in: 0 ... .max, using: &generator))
        case 6: return .single(UInt32.random(in: 0 ... .max, using: &generator))
        case 7: return .double(UInt64.random(in: 0 ... .max, using: &generator))
        case 8:
            return .tag(UInt64.random(in: 0..<70_000, using: &generator), .random(depth: depth - 1, using: &generator))
        case 9:
            return .array(
                (0..<Int.random(in: 0..<6, using: &generator)).map { _ in .random(depth: depth - 1, using: &generator) }
            )
        default:
            return .map(
                (0..<Int.random(in: 0..<6, using: &generator)).map { _ in
                    Pair(key: .random(depth: 0, using: &generator), value: .random(depth: depth - 1, using: &generator))
                }
            )
        }
    }

    static func randomText(using generator: inout SeededRandom) -> String {
        let alphabet = ["a", "Z", "0", " ", "\0", "ü", "水", "𐅑", "e\u{301}", "👩‍🚀", "\u{FFFD}", "\u{10FFFF}"]
        return (0..<Int.random(in: 0..<30, using: &generator))
            .map { _ in alphabet.randomElement(using: &generator) ?? "" }
            .joined()
    }
}
