import FoundationEssentials
import GRDB
import NIOCore
import SyncProtocol
import SyncStorage

/// A new row of `spaces`.
struct NewSpace: Sendable {
    var id: SpaceID
    var clientID: String
    var rootPublicKey: ByteBuffer?
    /// Whether a space that exists is returned as it is, rather than refused.
    var mayExist: Bool
}

/// The writes of one transaction. A write that is refused or conflicts leaves no trace, so that the others can go on; one
/// that throws may, and then the transaction must be rolled back.
struct WriteTransaction {
    private struct KnownSpace {
        var space: Space
        var isChanged = false
    }

    let db: Database
    /// Microseconds since the Unix epoch.
    let now: Int64
    let statements: WriteStatements
    /// Spaces read or created so far. What changes in them is written once, at the end.
    private var known: [SpaceID: KnownSpace] = [:]

    init(_ db: Database, now: Date) throws(StorageError) {
        self.db = db
        self.statements = try WriteStatements(db)
        self.now = now.microseconds
    }

    /// docs/contract/storage.md §6.2 from step 5 on.
    ///
    /// - Throws: What says nothing about the push itself: the database failed.
    mutating func push(_ push: Push) throws(StorageError) -> Result<PushOutcome, StorageError> {
        let existing = try self.space(push.space)
        guard let space = existing ?? push.creator.map({ Space(id: push.space, clientID: $0) }) else {
            return .failure(.spaceNotFound)
        }
        let changes = push.changes.changes
        if push.keyGeneration > 0, space.rootPublicKey != nil, push.keyGeneration < space.minKeyGeneration,
            !changes.isEmpty
        {
            return .failure(.keyGenerationStale)
        }
        if existing == nil {
            // Nothing may be written on a conflict, and in a space that is not there every expected cursor is one.
            guard changes.allSatisfy({ $0.expectedCursor == 0 }) else { return .success(.conflict) }
            try self.insert(space)
        }
        return .success(try self.write(changes, to: space))
    }

    private mutating func write(_ changes: [RecordChange], to space: Space) throws(StorageError) -> PushOutcome {
        guard !changes.isEmpty else { return .accepted(PushReceipt(of: space)) }
        let cursor = try self.nextCursor(of: space)

        // One change is its own check: its statement does nothing on a conflict. Of several none may be written if one
        // conflicts, so they are looked at first.
        if changes.count > 1 {
            for change in changes {
                guard try self.statements.matches(change, in: space.id) else { return .conflict }
            }
        }
        for change in changes {
            guard try self.statements.write(change, at: cursor, in: space.id) else {
                guard changes.count > 1 else { return .conflict }
                throw .database(detail: "cannot push: a record changed inside the transaction")
            }
        }

        var after = space
        after.cursor = cursor
        self.change(after)
        var receipt = PushReceipt(of: after)
        for change in changes where change.blob == nil && change.expectedCursor != 0 {
            receipt.removedFiles += try self.statements.removeFiles(of: change.id, in: space.id)
        }
        return .accepted(receipt)
    }

    mutating func create(_ new: NewSpace) throws(StorageError) -> Result<Space, StorageError> {
        if let space = try self.space(new.id) { return new.mayExist ? .success(space) : .failure(.spaceExists) }
        let space = Space(id: new.id, clientID: new.clientID, rootPublicKey: new.rootPublicKey)
        try self.insert(space)
        return .success(space)
    }

    /// The last thing before the commit.
    func storeSpaces() throws(StorageError) {
        for known in self.known.values where known.isChanged {
            try self.statements.store(known.space, now: self.now)
        }
    }

    // MARK: Spaces, for every write in one

    mutating func space(_ id: SpaceID) throws(StorageError) -> Space? {
        if let known = self.known[id] { return known.space }
        guard let space = try self.statements.space(id) else { return nil }
        self.known[id] = KnownSpace(space: space)
        return space
    }

    /// Notes what is to be stored of a space that exists.
    mutating func change(_ space: Space) { self.known[space.id] = KnownSpace(space: space, isChanged: true) }

    func nextCursor(of space: Space) throws(StorageError) -> Int64 {
        let (cursor, overflow) = space.cursor.addingReportingOverflow(1)
        guard !overflow else { throw .database(detail: "cannot write: the cursor of the space is at its end") }
        return cursor
    }

    mutating func insert(_ space: Space) throws(StorageError) {
        try self.statements.insert(space, now: self.now)
        self.known[space.id] = KnownSpace(space: space)
    }
}

extension PushReceipt {
    fileprivate init(of space: Space) {
        self.init(cursor: space.cursor, keyGeneration: space.keyGeneration, rewrapEpoch: space.rewrapEpoch)
    }
}
