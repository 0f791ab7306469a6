import NIOCore
import SyncProtocol

/// Who is present where, in memory only (docs/contract/rpc.md §12). Pure: the time is a value, nothing is sent.
///
/// A connection has at most one entry in a space. A space without entries takes no memory.
struct PresenceTable {
    struct Entry: Hashable {
        /// Pseudonym of the connection in the space.
        let peer: String
        let data: ByteBuffer
        /// On a clock that only moves forward.
        let setAt: Duration
    }

    /// An entry that is gone.
    struct Departure: Hashable {
        let connection: ConnectionID
        let space: SpaceID
        let peer: String
    }

    private var spaces: [SpaceID: [ConnectionID: Entry]] = [:]
    private var connections: [ConnectionID: Set<SpaceID>] = [:]
    private let entriesPerSpaceMax: Int

    init(entriesPerSpaceMax: Int = Limits.presenceEntriesPerSpaceMax) {
        self.entriesPerSpaceMax = entriesPerSpaceMax
    }

    /// Spaces with at least one entry.
    var occupiedSpaces: [SpaceID] { Array(self.spaces.keys) }

    /// Stores or replaces the entry of a connection.
    ///
    /// - Returns: False, and nothing changed, when the space is full of others.
    mutating func set(_ entry: Entry, of connection: ConnectionID, in space: SpaceID) -> Bool {
        let entries = self.spaces[space] ?? [:]
        guard entries.count < self.entriesPerSpaceMax || entries[connection] != nil else { return false }
        self.spaces[space, default: [:]][connection] = entry
        self.connections[connection, default: []].insert(space)
        return true
    }

    mutating func remove(_ connection: ConnectionID, from space: SpaceID) -> Departure? {
        guard let entry = self.spaces[space]?.removeValue(forKey: connection) else { return nil }
        if self.spaces[space]?.isEmpty == true { self.spaces[space] = nil }
        self.connections[connection]?.remove(space)
        if self.connections[connection]?.isEmpty == true { self.connections[connection] = nil }
        return Departure(connection: connection, space: space, peer: entry.peer)
    }

    /// Every entry of a connection, in the order of the space ids.
    mutating func removeAll(of connection: ConnectionID) -> [Departure] {
        (self.connections[connection] ?? []).sorted().compactMap { self.remove(connection, from: $0) }
    }

    /// The entries of a space that were last set at `deadline` or before.
    mutating func removeStale(in space: SpaceID, setUpTo deadline: Duration) -> [Departure] {
        let stale = (self.spaces[space] ?? [:]).filter { $0.value.setAt <= deadline }
        return stale.keys.compactMap { self.remove($0, from: space) }
    }

    func entry(of connection: ConnectionID, in space: SpaceID) -> Entry? { self.spaces[space]?[connection] }

    /// The entries of a space without that of `connection`, in any order.
    func peers(in space: SpaceID, except connection: ConnectionID) -> [Entry] {
        (self.spaces[space] ?? [:]).filter { $0.key != connection }.map(\.value)
    }
}
