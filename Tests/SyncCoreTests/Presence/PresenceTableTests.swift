import NIOCore
import SyncProtocol
import Testing

@testable import SyncCore

@Suite("Presence table")
struct PresenceTableTests {
    private let anne = ConnectionID(bits: 1)
    private let ben = ConnectionID(bits: 2)
    private let spaceA = SpaceID(bits: 1 << 120)
    private let spaceB = SpaceID(bits: 2 << 120)

    /// `#expect` takes no mutating call.
    private func expect<Value: Equatable>(
        _ value: Value, _ expected: Value, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(value == expected, sourceLocation: sourceLocation)
    }

    private func entry(_ peer: String, _ data: String = "", at seconds: Int = 0) -> PresenceTable.Entry {
        PresenceTable.Entry(peer: peer, data: ByteBuffer(string: data), setAt: .seconds(seconds))
    }

    @Test("PRS-7: peers are the others")
    func peers() {
        var table = PresenceTable()
        _ = table.set(self.entry("anne"), of: self.anne, in: self.spaceA)
        _ = table.set(self.entry("ben"), of: self.ben, in: self.spaceA)
        #expect(table.peers(in: self.spaceA, except: self.anne) == [self.entry("ben")])
        #expect(table.peers(in: self.spaceB, except: self.anne).isEmpty)
        #expect(table.peers(in: self.spaceA, except: ConnectionID(bits: 3)).count == 2)
    }

    @Test("setting again replaces data and time")
    func replace() {
        var table = PresenceTable()
        _ = table.set(self.entry("anne", "old"), of: self.anne, in: self.spaceA)
        self.expect(table.set(self.entry("anne", "new", at: 5), of: self.anne, in: self.spaceA), true)
        #expect(table.entry(of: self.anne, in: self.spaceA) == self.entry("anne", "new", at: 5))
        self.expect(table.removeAll(of: self.anne).count, 1)
    }

    @Test("PRS-9, PRS-14: the last entry of a space takes the space with it; what is not there cannot be removed")
    func freed() {
        var table = PresenceTable()
        self.expect(table.remove(self.anne, from: self.spaceA), nil)
        _ = table.set(self.entry("anne"), of: self.anne, in: self.spaceA)
        _ = table.set(self.entry("ben"), of: self.ben, in: self.spaceA)
        self.expect(
            table.remove(self.anne, from: self.spaceA),
            .init(connection: self.anne, space: self.spaceA, peer: "anne"))
        #expect(table.occupiedSpaces == [self.spaceA])
        self.expect(table.remove(self.ben, from: self.spaceA)?.peer, "ben")
        #expect(table.occupiedSpaces.isEmpty)
        self.expect(table.remove(self.ben, from: self.spaceA), nil)
    }

    @Test("PRS-10: all entries of a connection go, in the order of the space ids; those of others stay")
    func removeAll() {
        var table = PresenceTable()
        for space in [self.spaceB, self.spaceA] {
            _ = table.set(self.entry("anne"), of: self.anne, in: space)
            _ = table.set(self.entry("ben"), of: self.ben, in: space)
        }
        self.expect(table.removeAll(of: self.anne).map(\.space), [self.spaceA, self.spaceB])
        self.expect(table.removeAll(of: self.anne), [])
        #expect(table.peers(in: self.spaceA, except: self.anne) == [self.entry("ben")])
        #expect(table.occupiedSpaces.count == 2)
    }

    @Test("PRS-11: a full space takes no further connection, but every one that it has")
    func full() {
        var table = PresenceTable(entriesPerSpaceMax: 2)
        self.expect(table.set(self.entry("anne"), of: self.anne, in: self.spaceA), true)
        self.expect(table.set(self.entry("ben"), of: self.ben, in: self.spaceA), true)
        let carl = ConnectionID(bits: 3)
        self.expect(table.set(self.entry("carl"), of: carl, in: self.spaceA), false)
        #expect(table.entry(of: carl, in: self.spaceA) == nil)
        self.expect(table.removeAll(of: carl), [])
        self.expect(table.set(self.entry("ben", "again"), of: self.ben, in: self.spaceA), true)
        self.expect(table.set(self.entry("carl"), of: carl, in: self.spaceB), true)
        _ = table.remove(self.anne, from: self.spaceA)
        self.expect(table.set(self.entry("carl"), of: carl, in: self.spaceA), true)
    }

    @Test("PRS-12: entries up to the deadline are stale, later ones are not", arguments: [(14, 0), (15, 1), (16, 1)])
    func stale(deadline: Int, removed: Int) {
        var table = PresenceTable()
        _ = table.set(self.entry("anne", at: 15), of: self.anne, in: self.spaceA)
        _ = table.set(self.entry("ben", at: 17), of: self.ben, in: self.spaceA)
        self.expect(table.removeStale(in: self.spaceA, setUpTo: .seconds(deadline)).count, removed)
        #expect(table.peers(in: self.spaceA, except: self.anne) == [self.entry("ben", at: 17)])
        self.expect(table.removeStale(in: self.spaceB, setUpTo: .seconds(deadline)), [])
    }
}
