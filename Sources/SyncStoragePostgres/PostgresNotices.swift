import CLibPQ

/// What PostgreSQL or libpq remarks without being asked; libpq would write it to standard error.
struct PostgresNotice: Hashable, Sendable {
    /// `WARNING`, `NOTICE` …, whatever the language of the server; empty when libpq speaks.
    var severity: String
    /// The primary message: never the detail, which may quote rows.
    var message: String

    var isWarning: Bool { self.severity == "WARNING" }
}

/// Hands notices on.
final class PostgresNotices: Sendable {
    private let sink: @Sendable (PostgresNotice) -> Void

    init(_ sink: @escaping @Sendable (PostgresNotice) -> Void) { self.sink = sink }

    /// Takes the notices of a connection, which this object has to outlive.
    func receive(from handle: OpaquePointer) {
        PQsetNoticeReceiver(
            handle,
            { context, result in
                guard let context, let result else { return }
                func field(_ code: UnicodeScalar) -> String? {
                    PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) }
                }
                guard let message = field("M") else { return }
                let notices = Unmanaged<PostgresNotices>.fromOpaque(context).takeUnretainedValue()
                notices.sink(PostgresNotice(severity: field("V") ?? "", message: message))
            }, Unmanaged.passUnretained(self).toOpaque())
    }
}
