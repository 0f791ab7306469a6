import SyncProtocol
import SyncStorage

/// Walks through the spaces in order, and through the files of each. What has another name than an object is left out.
struct LocalBlobListing: BlobListing {
    /// Objects of one page.
    static let pageMax = 1_000

    private let root: String
    /// Not yet opened, in descending order; `nil` before the first page.
    private var spaces: [SpaceID]?
    /// The space being read, and its files that are still to come, in descending order.
    private var space: SpaceID?
    private var files: [FileID] = []

    init(root: String) { self.root = root }

    mutating func next() async throws(BlobError) -> [BlobEntry] {
        var page: [BlobEntry] = []
        while page.isEmpty {
            guard try await self.findFiles(), let space = self.space else { return [] }
            let files = Array(self.files.suffix(Self.pageMax).reversed())
            self.files.removeLast(files.count)
            let directory = self.directory(of: space)
            page = try await FileThreads.shared.run { () throws(BlobError) in
                var entries: [BlobEntry] = []
                for file in files {
                    guard let attributes = try FileAttributes.ofFile("\(directory)/\(file.wireText)") else { continue }
                    entries.append(
                        BlobEntry(
                            key: FileKey(space: space, file: file), length: attributes.length,
                            modified: attributes.modified))
                }
                return entries
            }
        }
        return page
    }

    /// Whether there are more files.
    private mutating func findFiles() async throws(BlobError) -> Bool {
        if self.spaces == nil { self.spaces = try await Self.identifiers(in: "\(self.root)/spaces") }
        while self.files.isEmpty {
            guard let space = self.spaces?.popLast() else { return false }
            self.space = space
            self.files = try await Self.identifiers(in: self.directory(of: space))
        }
        return true
    }

    private func directory(of space: SpaceID) -> String { "\(self.root)/spaces/\(space.wireText)/files" }

    /// The canonical names of a directory, in descending order.
    private static func identifiers<Subject>(
        in directory: String
    ) async throws(BlobError) -> [Identifier<Subject>] {
        try await FileThreads.shared.run { () throws(BlobError) in
            try FileNames.entries(of: directory)
                .compactMap { name in Identifier<Subject>(wireText: name).flatMap { $0.wireText == name ? $0 : nil } }
                .sorted(by: >)
        }
    }
}
