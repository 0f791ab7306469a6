import GRDB
import NIOCore
import SyncProtocol
import SyncStorage

/// The place of an entry in the order of a pull: cursor, then the bytes of its id (docs/contract/storage.md §6.3). A member
/// has its chain number for an id.
struct PullKey: Comparable, Sendable {
    var cursor: Int64
    var bits: UInt128

    static func < (left: PullKey, right: PullKey) -> Bool {
        left.cursor != right.cursor ? left.cursor < right.cursor : left.bits < right.bits
    }

    init(cursor: Int64, bits: UInt128) {
        self.cursor = cursor
        self.bits = bits
    }

    /// Behind everything with this cursor.
    init(behind cursor: Int64) { self.init(cursor: cursor, bits: .max) }
}

/// How far each of the three tables has been read.
struct PullPosition: Sendable {
    /// The last entry taken from each table; `nil`: the table has no more.
    fileprivate var records, members, files: PullKey?

    init(after cursor: Int64) {
        let key = PullKey(behind: cursor)
        (self.records, self.members, self.files) = (key, key, key)
    }

    var isAtEnd: Bool { self.records == nil && self.members == nil && self.files == nil }

    fileprivate subscript(table: PullTable) -> PullKey? {
        get {
            switch table {
            case .records: self.records
            case .members: self.members
            case .files: self.files
            }
        }
        set {
            switch table {
            case .records: self.records = newValue
            case .members: self.members = newValue
            case .files: self.files = newValue
            }
        }
    }
}

/// Reads pages: merges the three tables, each in the order of its index.
struct PullQuery: Sendable {
    let space: SpaceID
    /// False for a client that has nothing yet, and so nothing to delete.
    let showsDeleted: Bool

    /// A page of the entries behind `position`, `nil` when there are none, and the position behind them, `nil` at the
    /// end.
    func page<Page: PullPage>(
        from position: PullPosition, on db: Database, _ makePage: () -> Page
    ) throws(StorageError) -> (Page?, PullPosition?) {
        var sources: [PullSource] = []
        defer { for source in sources { source.row.reset() } }
        for table in PullTable.allCases {
            guard let key = position[table] else { continue }
            var source = try PullSource(table, on: db, showsDeleted: self.showsDeleted)
            try source.start(self.space, behind: key)
            sources.append(source)
        }

        var next = position
        var page = makePage()
        var size = PullPageSize()
        while !size.isFull, let (nearest, runnerUp) = self.nearest(sources) {
            var source = sources[nearest]
            // Mostly one table has a long run of entries before the next table's turn.
            repeat {
                size.add(bytes: try source.append(to: &page))
                next[source.table] = source.key
                try source.advance()
            } while !size.isFull && source.isBefore(runnerUp)
            sources[nearest] = source
        }
        for source in sources where source.key == nil { next[source.table] = nil }
        return (size.isEmpty ? nil : page, next.isAtEnd ? nil : next)
    }

    /// The source whose entry comes next, and the key at which another source's turn comes.
    private func nearest(_ sources: [PullSource]) -> (index: Int, runnerUp: PullKey?)? {
        var nearest: (index: Int, key: PullKey)?
        var runnerUp: PullKey?
        for index in sources.indices {
            guard let key = sources[index].key else { continue }
            if let best = nearest, best.key < key {
                runnerUp = min(runnerUp ?? key, key)
            } else {
                runnerUp = nearest?.key
                nearest = (index, key)
            }
        }
        return nearest.map { ($0.index, runnerUp) }
    }
}
