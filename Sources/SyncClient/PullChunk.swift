public import SyncProtocol

/// One chunk of a pull, in the order of docs/contract/rpc.md §5.
public enum PullChunk: Hashable, Sendable {
    case begin(PullBegin)
    case record(RecordEntry)
    case membership(PullMembership)
    case file(PullFile)
    case commit(PullCommit)

    /// - Throws: `.protocolViolation`, for a name that pulls do not have as well.
    init(_ chunk: ReceivedChunk) throws(SyncClientError) {
        switch ChunkName(rawValue: chunk.name) {
        case .pullBegin: self = .begin(try chunk.decode(.pullBegin))
        case .pullRecord: self = .record(try chunk.decode(.pullRecord))
        case .pullMembership: self = .membership(try chunk.decode(.pullMembership))
        case .pullFile: self = .file(try chunk.decode(.pullFile))
        case .pullCommit: self = .commit(try chunk.decode(.pullCommit))
        case .deksRecord, .deksFilesRecord, nil: throw .protocolViolation("chunk \(chunk.name)")
        }
    }

    /// Counted in `PullCommit.count`.
    var isEntry: Bool {
        switch self {
        case .record, .membership, .file: true
        case .begin, .commit: false
        }
    }
}
