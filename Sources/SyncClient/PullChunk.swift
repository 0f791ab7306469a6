public import SyncProtocol

/// One chunk of a pull, in the order of docs/contract/rpc.md §5.
public enum PullChunk: Hashable, Sendable {
    case begin(PullBegin)
    case record(RecordEntry)
    case membership(PullMembership)
    case file(PullFile)
    case commit(PullCommit)

    /// - Throws: `.protocolViolation`, for a name that pulls do not have as well.
    init(name: String, data: FramePayload) throws(SyncClientError) {
        do {
            switch ChunkName(rawValue: name) {
            case .pullBegin: self = .begin(try data.decode())
            case .pullRecord: self = .record(try data.decode())
            case .pullMembership: self = .membership(try data.decode())
            case .pullFile: self = .file(try data.decode())
            case .pullCommit: self = .commit(try data.decode())
            case nil: throw CBORError.typeMismatch
            }
        } catch {
            throw .protocolViolation("chunk \(name)")
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
