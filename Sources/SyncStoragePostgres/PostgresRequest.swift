import CLibPQ
import DequeModule
import NIOCore
import SyncStorage

/// A failed statement.
enum PostgresFailure: Error, Hashable {
    /// Five characters of PostgreSQL's appendix A, and the primary message: never the detail, which quotes rows.
    case statement(code: String, message: String)
    /// The connection is lost or too slow. What the server did is not known.
    case unavailable

    var storageError: StorageError {
        switch self {
        case .statement(let code, let message):
            Self.unavailableCodes.contains(code) ? .unavailable : .database(detail: "\(message) (\(code))")
        case .unavailable: .unavailable
        }
    }

    /// Given up for another transaction; no connections left; too long a wait for a lock, or altogether. And the outdated.
    private static let unavailableCodes = outdatedCodes.union(["40001", "40P01", "53300", "55P03", "57014"])

    /// The connection is about to end, or leads to a server that takes no writes.
    private static let outdatedCodes: Set<String> = ["57P01", "57P02", "57P03", "57P05", "25006"]

    /// PostgreSQL gave up the transaction for the sake of another, or waited too long for a lock of another: nothing was
    /// written, and the same may succeed when tried again.
    var isRetryable: Bool { self.code == "40001" || self.code == "40P01" || self.isLockTimeout }

    var isLockTimeout: Bool { self.code == "55P03" }

    /// Whether the connection should not be used again although it has not been lost.
    var isConnectionOutdated: Bool { self.code.map(Self.outdatedCodes.contains) ?? true }

    /// Whether the failure may lie in one of several pushes: in its data, or in what is stored of its space. If not, each of
    /// them would fail.
    var mayBeOfOnePush: Bool { self.code.map { Self.dataClasses.contains(String($0.prefix(2))) } ?? false }

    /// Cardinality, data, integrity constraints, check options; a program limit; raised by a function; damaged data.
    private static let dataClasses: Set<String> = ["21", "22", "23", "44", "54", "P0", "XX"]

    var code: String? {
        if case .statement(let code, _) = self { code } else { nil }
    }
}

/// What one caller asked of a connection, and what has come of it. Event thread only.
final class PostgresRequest {
    enum Progress {
        case waiting
        /// The stream's consumer has to take rows first.
        case full
        case done
        case broken
    }

    private enum Step {
        case prepare(String)
        case run
    }

    var timer: EventThread.TimerID?
    /// Time for the whole answer, or of a stream for the next row.
    var limit: Duration = .zero
    private(set) var newlyPrepared: [String] = []

    private let statements: [PostgresStatement]
    private let stream: RowStream?
    private var done: ((Result<[PostgresRows], PostgresFailure>) -> Void)?
    private var steps: Deque<Step> = []
    private var rows: [PostgresRows] = []
    /// Rows that have come and have not been passed on.
    private var chunk: PostgresRowsBuilder
    private var failure: PostgresFailure?
    private(set) var isStreaming = false
    /// The latest answer was that the stream is full.
    private(set) var isStopped = false
    private(set) var resultsTaken = 0

    /// - Parameter stream: Takes the rows of the last statement.
    init(
        _ statements: [PostgresStatement], stream: RowStream?,
        _ done: @escaping (Result<[PostgresRows], PostgresFailure>) -> Void
    ) {
        self.statements = statements
        self.stream = stream
        self.chunk = PostgresRowsBuilder(bytes: stream == nil ? 0 : PostgresLimits.socketReadBytes)
        self.done = done
    }

    func finish() {
        self.done.take()?(self.failure.map { .failure($0) } ?? .success(self.rows))
    }

    /// See `PostgresFailure.isConnectionOutdated`.
    var isConnectionOutdated: Bool { self.failure?.isConnectionOutdated ?? false }

    func fail(_ failure: PostgresFailure) { self.done.take()?(.failure(failure)) }

    // MARK: Sending

    /// - Returns: Whether libpq took it all.
    func send(on handle: OpaquePointer, prepared: Set<String>) -> Bool {
        var preparing: Set<String> = []
        for statement in self.statements {
            if let name = statement.name, !prepared.contains(name), preparing.insert(name).inserted {
                guard PQsendPrepare(handle, name, statement.sql, 0, nil) == 1 else { return false }
                self.steps.append(.prepare(name))
            }
            guard Self.send(statement, on: handle) else { return false }
            self.steps.append(.run)
        }
        return PQpipelineSync(handle) == 1
    }

    private static func send(_ statement: PostgresStatement, on handle: OpaquePointer) -> Bool {
        let count = statement.parameters.count
        var lengths: [Int32] = []
        for parameter in statement.parameters {
            guard let length = Int32(exactly: parameter?.readableBytes ?? 0) else { return false }
            lengths.append(length)
        }
        let formats = [Int32](repeating: statement.parametersAreText ? 0 : 1, count: count)
        let resultFormat: Int32 = statement.resultsAreText ? 0 : 1
        return Self.withPointers(to: statement.parameters[...], []) { values in
            if let name = statement.name {
                PQsendQueryPrepared(handle, name, Int32(count), values, lengths, formats, resultFormat) == 1
            } else {
                PQsendQueryParams(
                    handle, statement.sql, Int32(count), nil, values, lengths, formats, resultFormat) == 1
            }
        }
    }

    /// libpq copies the parameters before it returns. As deep as a statement has parameters, ten at most.
    private static func withPointers<Result>(
        to parameters: ArraySlice<ByteBuffer?>, _ pointers: [UnsafePointer<CChar>?],
        _ body: ([UnsafePointer<CChar>?]) -> Result
    ) -> Result {
        guard let first = parameters.first else { return body(pointers) }
        guard let first else { return Self.withPointers(to: parameters.dropFirst(), pointers + [nil], body) }
        return first.withUnsafeReadableBytes { bytes in
            // Zero bytes are no null: any address will do.
            let base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1)
            let pointer = base?.assumingMemoryBound(to: CChar.self)
            return Self.withPointers(to: parameters.dropFirst(), pointers + [pointer], body)
        }
    }

    // MARK: Receiving

    func take(from handle: OpaquePointer) -> Progress {
        while true {
            if let stream = self.stream {
                if self.chunk.isWholePage { stream.append(self.chunk.take()) }
                self.isStopped = stream.isFull
                if self.isStopped { return .full }
                if !self.isStreaming, self.steps.count == 1 { self.isStreaming = PQsetSingleRowMode(handle) == 1 }
            }
            guard PQisBusy(handle) == 0 else {
                if self.chunk.count > 0 { self.stream?.append(self.chunk.take()) }
                return PQstatus(handle) == CONNECTION_BAD ? .broken : .waiting
            }
            guard let result = PQgetResult(handle) else {
                // The end of one step.
                if self.steps.isEmpty { return .broken }
                self.steps.removeFirst()
                continue
            }
            defer { PQclear(result) }
            self.resultsTaken += 1
            switch PQresultStatus(result) {
            case PGRES_PIPELINE_SYNC: return self.steps.isEmpty ? .done : .broken
            case PGRES_PIPELINE_ABORTED: continue
            case PGRES_COMMAND_OK: self.commandEnded()
            case PGRES_SINGLE_TUPLE: self.chunk.append(result)
            case PGRES_TUPLES_OK:
                self.chunk.append(result)
                if let stream = self.stream {
                    if self.chunk.count > 0 { stream.append(self.chunk.take()) }
                } else {
                    self.rows.append(self.chunk.take())
                }
            default: self.failure = self.failure ?? Self.failure(of: result)
            }
        }
    }

    private func commandEnded() {
        switch self.steps.first {
        case .prepare(let name): self.newlyPrepared.append(name)
        case .run: self.rows.append(PostgresRows())
        case nil: break
        }
    }

    private static func failure(of result: OpaquePointer) -> PostgresFailure {
        func field(_ code: UnicodeScalar) -> String? {
            PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) }
        }
        guard let code = field("C") else { return .unavailable }
        return .statement(code: code, message: field("M") ?? "no message")
    }
}

/// Rows copied out of results of libpq into one buffer.
struct PostgresRowsBuilder {
    private let bytes: Int
    private var values = ByteBuffer()
    private var bounds: [(start: Int, end: Int)] = []
    private var types: [UInt32] = []
    private(set) var count = 0

    /// - Parameter bytes: Of all values together, about.
    init(bytes: Int) { self.bytes = bytes }

    /// Whether it is worth while to pass the rows on although more have come.
    var isWholePage: Bool {
        self.count >= PostgresLimits.streamedChunkRows || self.values.readableBytes >= PostgresLimits.streamedChunkBytes
    }

    /// - Parameter result: Of the same statement as the ones before.
    mutating func append(_ result: OpaquePointer) {
        let rows = PQntuples(result)
        let columns = PQnfields(result)
        if self.types.isEmpty {
            self.types = (0..<columns).map { PQftype(result, $0) }
            self.values.reserveCapacity(self.bytes)
        }
        self.bounds.reserveCapacity(self.bounds.count + Int(rows * columns))
        for row in 0..<rows {
            for column in 0..<columns {
                guard PQgetisnull(result, row, column) == 0, let value = PQgetvalue(result, row, column) else {
                    self.bounds.append((-1, -1))
                    continue
                }
                let start = self.values.writerIndex
                let length = Int(PQgetlength(result, row, column))
                self.values.writeBytes(UnsafeRawBufferPointer(start: value, count: length))
                self.bounds.append((start, self.values.writerIndex))
            }
        }
        self.count += Int(rows)
    }

    /// What there is; nothing is left.
    mutating func take() -> PostgresRows {
        defer { self = PostgresRowsBuilder(bytes: self.bytes) }
        return PostgresRows(values: self.values, bounds: self.bounds, types: self.types)
    }
}
