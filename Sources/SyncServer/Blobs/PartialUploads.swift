package import FoundationEssentials
import NIOCore
import SyncProtocol
package import SyncStorage
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Resumable uploads that are not finished, in a directory of this machine whatever the blob store is. They survive a restart
/// of the server:
///
/// ```
/// uploads/<upload uuid>         the bytes so far
/// uploads/<upload uuid>.ticket  what was announced, JSON
/// uploads/<upload uuid>.offset  bytes that were durable at the last checkpoint
/// ```
///
/// One server process for each directory: a client has to continue where it began.
package final class PartialUploads: Sendable {
    // fixed after init
    package let limits: UploadLimits
    private let directory: String

    // guarded by table
    private let table = Mutex(Table())

    /// One call on the files of an upload at a time.
    private let calls = KeyedLock<UploadID>()
    /// Held by a session while a request brings it bytes.
    private let receivers = KeyedLock<UInt64>()
    private let clock: any Clock<Duration>

    private struct Receiver {
        let generation: UInt64
        /// Ends the request.
        let end: @Sendable () -> Void
    }

    private struct Table {
        /// All unfinished uploads: whose they are and the bytes they count for.
        var uploads: [UploadID: (owner: String, bytes: Int64)] = [:]
        /// The session that may write, for the uploads that this process has begun or taken. Its files are as it left them.
        var sessions: [UploadID: UInt64] = [:]
        /// The session that a request brings bytes to.
        var receivers: [UploadID: Receiver] = [:]
        var nextGeneration: UInt64 = 1

        mutating func beginSession(of id: UploadID) -> UInt64 {
            defer { self.nextGeneration += 1 }
            self.sessions[id] = self.nextGeneration
            return self.nextGeneration
        }
    }

    /// - Parameter directory: On the file system of the blob store, if that is a local one. `prepare` makes it.
    package init(directory: String, limits: UploadLimits, clock: any Clock<Duration> = ContinuousClock()) {
        self.directory = directory
        self.limits = limits
        self.clock = clock
    }

    /// Makes the directory, and finds what earlier processes left. What has no ticket belongs to nobody and is removed.
    package func prepare() async throws(BlobError) {
        let directory = self.directory
        let found = try await FileThreads.shared.run { () throws(BlobError) in
            try DurableDirectory.make(directory)
            var found: [UploadID: UploadTicket] = [:]
            for id in Set(try FileNames.entries(of: directory).compactMap(Self.upload(ofName:))) {
                let path = "\(directory)/\(id.wireText)"
                if let ticket = try TicketFile.read(for: path), try FileAttributes.ofFile(path) != nil {
                    found[id] = ticket
                } else {
                    try Self.removeFiles(of: path)
                }
            }
            return found
        }
        self.table.withLock { table in
            for (id, ticket) in found { table.uploads[id] = (ticket.owner, self.bytes(of: ticket)) }
        }
    }

    /// Begins an upload of no bytes yet.
    ///
    /// - Throws: `.tooLarge`, `.tooMuchUnfinished`.
    package func create(_ ticket: UploadTicket) async throws(UploadError) -> PartialUpload {
        if let length = ticket.length, length > self.limits.fileBytesMax { throw .tooLarge }
        let id = UploadID.random()
        let generation = try self.table.withLock { table throws(UploadError) in
            let own = table.uploads.values.filter { $0.owner == ticket.owner }
            let bytes = own.reduce(self.bytes(of: ticket)) { $0.addingReportingOverflow($1.bytes).partialValue }
            guard own.count < self.limits.ownerCountMax, (0...self.limits.ownerBytesMax).contains(bytes) else {
                throw .tooMuchUnfinished
            }
            table.uploads[id] = (ticket.owner, self.bytes(of: ticket))
            return table.beginSession(of: id)
        }
        let path = self.path(of: id)
        let directory = self.directory
        do throws(BlobError) {
            let file = try await FileThreads.shared.run { () throws(BlobError) in
                let file = try OpenFile(path, O_RDWR | O_CREAT | O_EXCL)
                try OffsetFile.write(0, for: path)
                try TicketFile.write(ticket, for: path)
                try FileNames.synchronize(directory: directory)
                return file
            }
            return PartialUpload(
                id: id, ticket: ticket, uploads: self, path: path, file: file, generation: generation, offset: 0,
                durable: 0)
        } catch {
            await self.remove(id)
            throw .blob(error)
        }
    }

    /// The ticket of an upload, without disturbing a session.
    ///
    /// - Throws: `.notFound`.
    package func ticket(of id: UploadID) async throws(UploadError) -> UploadTicket {
        let path = self.path(of: id)
        let isKnown = self.table.withLock { $0.uploads[id] != nil }
        guard isKnown else { throw .notFound }
        let ticket = try await Self.blobErrors { () throws(BlobError) in
            try await FileThreads.shared.run { () throws(BlobError) in try TicketFile.read(for: path) }
        }
        guard let ticket else { throw .notFound }
        return ticket
    }

    /// Ends the session that there is, if any, and begins the next one where that one has stopped writing. A request that
    /// brings it bytes is ended first, and its bytes count; one that takes longer than `UploadLimits.handOverLimit` loses
    /// what it has not written.
    ///
    /// - Throws: `.notFound`.
    package func take(_ id: UploadID) async throws(UploadError) -> PartialUpload {
        let ticket = try await self.ticket(of: id)
        let (isContinued, generation) = try await self.beginSession(of: id)
        let path = self.path(of: id)
        return try await self.exclusively(id, generation: generation) { () throws(BlobError) in
            let (file, offset, durable) = try await FileThreads.shared.run { () throws(BlobError) in
                let file = try OpenFile(path, O_RDWR | O_NOFOLLOW)
                let length = try file.attributes().length
                let durable = min(try OffsetFile.read(for: path), length)
                guard !isContinued else { return (file, length, durable) }
                // The machine may have crashed since: what is behind the last checkpoint need not be what was sent.
                try file.truncate(to: durable)
                return (file, durable, durable)
            }
            return PartialUpload(
                id: id, ticket: ticket, uploads: self, path: path, file: file, generation: generation, offset: offset,
                durable: durable)
        }
    }

    /// - Returns: Whether there has been a session in this process.
    private func beginSession(of id: UploadID) async throws(UploadError) -> (isContinued: Bool, generation: UInt64) {
        var ended: UInt64?
        while true {
            let (receiver, isContinued, generation) = try self.table.withLock { table throws(UploadError) in
                guard table.uploads[id] != nil else { throw .notFound }
                let isContinued = table.sessions[id] != nil
                if let receiver = table.receivers[id], receiver.generation != ended {
                    return (receiver as Receiver?, isContinued, UInt64(0))
                }
                return (nil, isContinued, table.beginSession(of: id))
            }
            guard let receiver else { return (isContinued, generation) }
            ended = receiver.generation
            receiver.end()
            try? await self.receivers.withLock(
                receiver.generation, within: UploadLimits.handOverLimit, clock: self.clock
            ) {}
        }
    }

    /// Runs `body`, which brings bytes to a session. Whoever takes the upload meanwhile calls `end`, and waits for `body`.
    ///
    /// - Throws: `.superseded` when that has happened already.
    func receiving(
        _ id: UploadID, generation: UInt64, end: @escaping @Sendable () -> Void, _ body: () async throws -> Void
    ) async throws {
        try await self.receivers.withLock(generation, within: nil) {
            try self.table.withLock { table throws(UploadError) in
                guard table.sessions[id] == generation else { throw .superseded }
                table.receivers[id] = Receiver(generation: generation, end: end)
            }
            defer {
                self.table.withLock { table in
                    if table.receivers[id]?.generation == generation { table.receivers[id] = nil }
                }
            }
            try await body()
        }
    }

    /// Removes an upload that is finished or given up. It is not an error that there is none.
    package func remove(_ id: UploadID) async {
        self.table.withLock { table in
            table.uploads[id] = nil
            _ = table.beginSession(of: id)
        }
        let path = self.path(of: id)
        // What cannot be removed now is found at the next start.
        try? await self.calls.withLock(id, within: nil) {
            try await FileThreads.shared.run { () throws(BlobError) in try Self.removeFiles(of: path) }
        }
        self.table.withLock { $0.sessions[id] = nil }
    }

    /// Removes uploads to which nothing has been added for their lifetime.
    ///
    /// - Returns: How many.
    package func removeExpired(now: Date = Date()) async throws(BlobError) -> Int {
        let before = now.addingTimeInterval(-Double(self.limits.lifetime.components.seconds))
        var count = 0
        for id in self.table.withLock({ Array($0.uploads.keys) }) {
            let path = self.path(of: id)
            let attributes = try await FileThreads.shared.run { () throws(BlobError) in
                try FileAttributes.ofFile(path)
            }
            // One that is just being created has no file yet.
            guard let attributes, attributes.modified < before else { continue }
            await self.remove(id)
            count += 1
        }
        return count
    }

    /// When an upload ends unless bytes are added to it.
    package func expiry(of id: UploadID) async throws(UploadError) -> Date {
        let path = self.path(of: id)
        let attributes = try await Self.blobErrors { () throws(BlobError) in
            try await FileThreads.shared.run { () throws(BlobError) in try FileAttributes.ofFile(path) }
        }
        guard let attributes else { throw .notFound }
        return attributes.modified.addingTimeInterval(Double(self.limits.lifetime.components.seconds))
    }

    /// Runs `body` alone on the files of an upload, if that session still has it.
    func exclusively<Result: Sendable>(
        _ id: UploadID, generation: UInt64, _ body: () async throws(BlobError) -> Result
    ) async throws(UploadError) -> Result {
        do {
            return try await self.calls.withLock(id, within: nil) {
                guard self.table.withLock({ $0.sessions[id] == generation }) else { throw UploadError.superseded }
                return try await body()
            }
        } catch let error as UploadError {
            throw error
        } catch let error as BlobError {
            throw error == .notFound ? .notFound : .blob(error)
        } catch {
            throw .blob(.failed(detail: "\(error)"))
        }
    }

    /// What an upload counts for its owner.
    private func bytes(of ticket: UploadTicket) -> Int64 { ticket.length ?? self.limits.fileBytesMax }

    private func path(of id: UploadID) -> String { "\(self.directory)/\(id.wireText)" }

    /// `nil` for the name of a file that is not ours.
    private static func upload(ofName name: String) -> UploadID? {
        guard let id = UploadID(wireText: String(name.prefix(36))) else { return nil }
        let suffix = String(name.dropFirst(36))
        return ["", TicketFile.suffix, TicketFile.temporarySuffix, OffsetFile.suffix].contains(suffix) ? id : nil
    }

    private static func removeFiles(of path: String) throws(BlobError) {
        for suffix in [TicketFile.suffix, TicketFile.temporarySuffix, OffsetFile.suffix, ""] {
            try FileNames.remove(path + suffix)
        }
    }

    private static func blobErrors<Result: Sendable>(
        _ body: () async throws(BlobError) -> Result
    ) async throws(UploadError) -> Result {
        do throws(BlobError) { return try await body() } catch { throw .blob(error) }
    }
}

/// The ticket beside the bytes of an upload. Every call waits for the disk.
enum TicketFile {
    static let suffix = ".ticket"
    static let temporarySuffix = ".ticket-new"

    static func write(_ ticket: UploadTicket, for path: String) throws(BlobError) {
        let data: Data
        do { data = try JSONEncoder().encode(ticket) } catch { throw .failed(detail: "ticket: \(error)") }
        guard data.count <= UploadLimits.ticketBytesMax else { throw .failed(detail: "ticket too long") }
        let file = try OpenFile(path + Self.temporarySuffix, O_WRONLY | O_CREAT | O_TRUNC)
        try file.write(ByteBuffer(bytes: data), at: 0)
        try file.synchronize()
        try FileNames.rename(path + Self.temporarySuffix, to: path + Self.suffix)
    }

    /// `nil` when there is none, or not one of ours.
    static func read(for path: String) throws(BlobError) -> UploadTicket? {
        let file: OpenFile
        do { file = try OpenFile(path + Self.suffix, O_RDONLY | O_NOFOLLOW) } catch .notFound { return nil }
        let length = try file.attributes().length
        guard length <= UploadLimits.ticketBytesMax else { return nil }
        let bytes = try file.read(Int(length), at: 0)
        return try? JSONDecoder().decode(UploadTicket.self, from: Data(bytes.readableBytesView))
    }
}

/// The checkpoint beside the bytes of an upload: eight bytes, big-endian. Every call waits for the disk.
enum OffsetFile {
    static let suffix = ".offset"

    /// The bytes up to `offset` have been made durable before.
    static func write(_ offset: Int64, for path: String) throws(BlobError) {
        let file = try OpenFile(path + Self.suffix, O_WRONLY | O_CREAT)
        try file.write(ByteBuffer(integer: offset), at: 0)
        try file.synchronize()
    }

    static func read(for path: String) throws(BlobError) -> Int64 {
        let file: OpenFile
        do { file = try OpenFile(path + Self.suffix, O_RDONLY | O_NOFOLLOW) } catch .notFound { return 0 }
        guard try file.attributes().length == 8 else { return 0 }
        var bytes = try file.read(8, at: 0)
        return max(0, bytes.readInteger(as: Int64.self) ?? 0)
    }
}
