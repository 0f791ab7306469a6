/// The changes of one push, checked: every id is a UUID, no id occurs twice, no blob is too long
/// (docs/contract/storage.md §6.2 steps 2–4). May be empty.
package struct ChangeSet: Hashable, Sendable {
    package let changes: [RecordChange]

    private init(_ changes: [RecordChange]) { self.changes = changes }
}
