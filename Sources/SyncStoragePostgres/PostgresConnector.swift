import CLibPQ
import Glibc

/// Makes connections. Blocks its thread: looking up a name and proving to know a password may take long, and neither can
/// be had in pieces.
///
/// Names are looked up here and not by libpq, which would stay with the first of several addresses if that one never
/// answers.
struct PostgresConnector: Sendable {
    /// Numeric addresses of a host.
    typealias LookUp = @Sendable (_ host: String) -> Result<[String], LookUpFailure>

    struct LookUpFailure: Error {
        var text: String
    }

    enum Outcome {
        case connected(OpaquePointer)
        /// Why there is no connection, without the URL.
        case failed(String)
    }

    /// One address, as libpq takes it. `nil`: what the environment or libpq itself says.
    private struct Address {
        var host: String?
        var numeric: String?
        var port: String?
    }

    private let options: [String: String]
    private let lookUp: LookUp

    /// Time for one of several addresses, unless the URL has a `connect_timeout`.
    private static let addressLimit: Duration = .seconds(10)
    private static let reasonsMax = 4

    /// `nil` when the URL cannot be understood.
    init?(url: String, lookUp: @escaping LookUp = Self.addresses(of:)) {
        guard let options = PostgresURL.options(of: url) else { return nil }
        self.options = options
        self.lookUp = lookUp
    }

    /// Tries all addresses in their order.
    ///
    /// - Parameter notices: Must live as long as the connection.
    func connect(until deadline: ContinuousClock.Instant, notices: PostgresNotices) -> Outcome {
        var reasons: [String] = []
        let addresses = self.addresses(&reasons)
        for address in addresses where ContinuousClock.now < deadline {
            let limit = addresses.count == 1 ? deadline : min(deadline, .now + self.addressLimit)
            switch self.connect(to: address, until: limit, notices: notices) {
            case .connected(let handle): return .connected(handle)
            case .failed(let reason): reasons.append(reason)
            }
        }
        return .failed(
            reasons.isEmpty ? self.tooSlow : reasons.prefix(Self.reasonsMax).joined(separator: "; "))
    }

    /// The reason when nothing is heard of the server.
    var tooSlow: String {
        Self.tooSlow(self.options["host"] ?? self.options["hostaddr"], self.options["port"])
    }

    private static func tooSlow(_ host: String?, _ port: String?) -> String {
        PostgresURL.withoutSecrets("no connection to \"\(host ?? "")\", port \(port ?? "5432"), in time")
    }

    private var addressLimit: Duration {
        guard let text = self.options["connect_timeout"], let seconds = Int64(text), seconds > 0 else {
            return Self.addressLimit
        }
        return .seconds(seconds)
    }

    private func connect(
        to address: Address, until deadline: ContinuousClock.Instant, notices: PostgresNotices
    ) -> Outcome {
        var options = self.options
        options["fallback_application_name"] = options["fallback_application_name"] ?? "less-sync"
        options["host"] = address.host
        options["hostaddr"] = address.numeric
        options["port"] = address.port
        guard let handle = Self.start(options) else { return .failed("out of memory") }
        if PQstatus(handle) != CONNECTION_BAD { notices.receive(from: handle) }
        if let reason = Self.finish(
            handle, until: deadline, late: Self.tooSlow(address.host ?? address.numeric, address.port))
        {
            PQfinish(handle)
            return .failed(reason)
        }
        return .connected(handle)
    }

    private static func start(_ options: [String: String]) -> OpaquePointer? {
        // libpq copies them. Both lists end in a null.
        let list = options.map { (strdup($0.key), strdup($0.value)) }
        defer {
            for (keyword, value) in list {
                free(keyword)
                free(value)
            }
        }
        let keywords = list.map { UnsafePointer($0.0) } + [nil]
        let values = list.map { UnsafePointer($0.1) } + [nil]
        return PQconnectStartParams(keywords, values, 0)
    }

    /// - Parameter late: The reason when time is up.
    /// - Returns: Why there is no connection; `nil` when there is.
    private static func finish(
        _ handle: OpaquePointer, until deadline: ContinuousClock.Instant, late: String
    ) -> String? {
        guard PQstatus(handle) != CONNECTION_BAD else { return PostgresURL.reason(of: handle) }
        var events = Int16(POLLOUT)
        while true {
            // The socket may be another one after each step.
            var descriptor = pollfd(fd: PQsocket(handle), events: events, revents: 0)
            let remaining = ContinuousClock.now.duration(to: deadline) / .milliseconds(1)
            guard remaining > 0 else { return late }
            guard poll(&descriptor, 1, Int32(min(remaining + 1, 60_000))) != 0 else { continue }
            switch PQconnectPoll(handle) {
            case PGRES_POLLING_READING: events = Int16(POLLIN)
            case PGRES_POLLING_WRITING: events = Int16(POLLOUT)
            case PGRES_POLLING_OK:
                let isReady = PQsetnonblocking(handle, 1) == 0 && PQenterPipelineMode(handle) == 1
                return isReady ? nil : PostgresURL.reason(of: handle)
            default: return PostgresURL.reason(of: handle)
            }
        }
    }
}

// MARK: - Addresses

extension PostgresConnector {
    private func addresses(_ reasons: inout [String]) -> [Address] {
        let hosts = PostgresURL.list(self.options["host"])
        let numeric = PostgresURL.list(self.options["hostaddr"])
        let ports = PostgresURL.list(self.options["port"])
        let count = max(1, hosts.count, numeric.count)
        // One port may stand for all.
        guard ports.count <= 1 || ports.count == count, hosts.isEmpty || numeric.isEmpty || hosts.count == numeric.count
        else {
            reasons.append("the URL names different numbers of hosts and ports")
            return []
        }
        var addresses: [Address] = []
        for index in 0..<count {
            let host = index < hosts.count ? hosts[index] : nil
            let port = ports.count == 1 ? ports[0] : index < ports.count ? ports[index] : nil
            let given = index < numeric.count ? numeric[index] : nil
            // A host that begins with these is the directory of a Unix socket, or an abstract one.
            guard let host, !host.isEmpty, given == nil, !host.hasPrefix("/"), !host.hasPrefix("@") else {
                addresses.append(Address(host: host, numeric: given, port: port))
                continue
            }
            switch self.lookUp(host) {
            case .success(let found): addresses += found.map { Address(host: host, numeric: $0, port: port) }
            case .failure(let error):
                reasons.append(PostgresURL.withoutSecrets("cannot look up \"\(host)\": \(error.text)"))
            }
        }
        return addresses
    }

    @Sendable
    private static func addresses(of host: String) -> Result<[String], LookUpFailure> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &list)
        guard status == 0 else { return .failure(LookUpFailure(text: String(cString: gai_strerror(status)))) }
        defer { freeaddrinfo(list) }
        var addresses: [String] = []
        var entry = list
        while let info = entry?.pointee {
            var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let status = getnameinfo(
                info.ai_addr, info.ai_addrlen, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST)
            if status == 0 {
                addresses.append(String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
            }
            entry = info.ai_next
        }
        return .success(addresses)
    }
}
