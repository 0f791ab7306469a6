import SyncProtocol

/// Devices B and C: take records from the server and verify them as they come.
struct DemoReceiver: Sendable {
    private let progress: DemoProgress
    private var session: DemoSession
    private var client: SyncClient?
    /// Everything up to here has been taken.
    private(set) var cursor: Int64 = 0
    private(set) var verifier: DemoVerifier
    /// Records that came by notification.
    private(set) var liveRecords: Int64 = 0
    /// Times that notifications did not suffice.
    private(set) var catchUps = 0

    init(_ session: DemoSession, cipher: DemoCipher, progress: DemoProgress) {
        self.session = session
        self.verifier = DemoVerifier(cipher)
        self.progress = progress
    }

    private var device: DemoDevice { self.session.device }

    /// Device B, first half: what is pushed after this comes by notification.
    mutating func subscribe() async throws {
        while self.client == nil {
            do {
                self.cursor = try await self.connectAndSubscribe()
            } catch {
                try await self.lost(error)
            }
        }
    }

    /// Device B, second half: returns when everything has come and is verified.
    mutating func follow() async throws {
        do {
            while !self.verifier.isComplete {
                do {
                    try await self.followConnection()
                } catch {
                    try await self.lost(error)
                }
            }
            await self.client.take()?.close()
        } catch {
            await self.client.take()?.close()
            throw error
        }
    }

    /// Device C: pulls everything there is, from cursor 0.
    mutating func pullAll() async throws {
        do {
            while self.client == nil {
                do {
                    self.client = try await self.session.connect()
                    try await self.pull()
                } catch {
                    try await self.lost(error)
                }
            }
            await self.client.take()?.close()
        } catch {
            await self.client.take()?.close()
            throw error
        }
        guard self.verifier.isComplete else { throw self.mismatch(.incomplete) }
    }

    // MARK: - Notifications

    private mutating func followConnection() async throws {
        if self.client == nil {
            let cursor = try await self.connectAndSubscribe()
            if cursor > self.cursor { try await self.catchUp() }
        }
        guard let client = self.client else { return }
        while !self.verifier.isComplete {
            switch await client.nextEvent() {
            case .sync(let notification): if try !self.take(notification) { try await self.catchUp() }
            case .missed: try await self.catchUp()
            case .membership, .file, .revoked, .invitation, .presence, .presenceLeave, .event, .resubscribe, .other:
                continue
            case nil:
                try Task.checkCancellation()
                throw client.failure ?? .disconnected(nil)
            }
        }
    }

    /// - Returns: False when records before those of the notification, or its own, have not come: they must be pulled.
    mutating func take(_ notification: SyncNotification) throws -> Bool {
        guard notification.space == self.session.space, notification.cursor > self.cursor else { return true }
        guard notification.prev == self.cursor else { return false }
        let records = self.verifier.counts.records
        for record in notification.records { try self.verify(record) }
        self.cursor = notification.cursor
        self.liveRecords += self.verifier.counts.records - records
        self.report()
        return true
    }

    private mutating func catchUp() async throws {
        self.catchUps += 1
        try await self.pull()
    }

    // MARK: - Pulls

    private mutating func pull() async throws {
        guard let client = self.client else { return }
        var isCommitted = false
        let entry = PullParams.Entry(id: self.session.space.wireText, since: self.cursor)
        try await client.pull([entry]) { chunk in
            switch chunk {
            case .begin, .membership, .file: return
            case .record(let record):
                try self.verify(record)
                self.report()
            case .commit(let commit):
                self.cursor = max(self.cursor, commit.cursor)
                isCommitted = true
            }
        }
        guard isCommitted else { throw DemoError.notPulled }
        self.session.succeeded()
        self.report()
    }

    private mutating func verify(_ record: RecordEntry) throws {
        do { try self.verifier.take(record) } catch { throw self.mismatch(error) }
    }

    private func mismatch(_ mismatch: DemoMismatch) -> DemoError {
        .mismatch(device: self.device.rawValue, mismatch)
    }

    private func report() {
        self.progress.set(self.verifier.counts, cursor: self.cursor, self.device)
    }

    // MARK: - Connections

    /// - Returns: The space's cursor: later pushes are notified.
    private mutating func connectAndSubscribe() async throws -> Int64 {
        let client = try await self.session.connect()
        self.client = client
        let result = try await client.subscribe([.init(id: self.session.space.wireText)])
        guard let subscribed = result.spaces.first else {
            throw DemoError.notSubscribed(result.errors.first?.error.rawValue ?? "no reason given")
        }
        self.session.succeeded()
        return subscribed.cursor
    }

    private mutating func lost(_ error: any Error) async throws {
        await self.client.take()?.close()
        try await self.session.failed(error)
    }
}
