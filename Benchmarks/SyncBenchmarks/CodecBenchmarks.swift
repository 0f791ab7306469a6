import Benchmark
import NIOCore
import SyncProtocol
import SyncTesting

/// CBOR in both directions for each type of message, and whole frames.
func registerCodecBenchmarks() {
    registerFrames()
    for (name, message) in messages { register(message, as: name) }
}

private typealias Message = WireDecodable & WireEncodable

private func register<M: Message>(_ message: M, as name: String) {
    // Writers allocate the exact size, as `FrameEncoder` does.
    let encode = {
        var writer = CBORWriter(capacity: message.encodedSize)
        message.encode(to: &writer)
        return writer.buffer
    }
    let payload = FramePayload(item: encode())
    // A thousand calls of these are more than a sample needs.
    let configuration = name.hasSuffix("_1000") ? Benchmark.operation : Benchmark.microbenchmark
    Benchmark("cbor_encode/\(name)", configuration: configuration) { benchmark in
        benchmark.sample { blackHole(encode()) }
    }
    Benchmark("cbor_decode/\(name)", configuration: configuration) { benchmark in
        try benchmark.sample { blackHole(try payload.decode(as: M.self)) }
    }
}

private func registerFrames() {
    let subscribe = FrameEncoder.request(
        id: "rpc-1", method: .subscribe, params: SubscribeParams(spaces: [.init(id: space.wireText, since: 41)]))
    Benchmark("rpcconn_handle_message_request", configuration: Benchmark.microbenchmark) { benchmark in
        try benchmark.sample { blackHole(try FrameDecoder.decodeClientFrame(subscribe)) }
    }
    let presence = FrameEncoder.notification(
        method: .presenceSet, params: PresenceParams(space: space.wireText, data: bytes(64)))
    Benchmark("rpcconn_handle_message_notification", configuration: Benchmark.microbenchmark) { benchmark in
        try benchmark.sample { blackHole(try FrameDecoder.decodeClientFrame(presence)) }
    }
    // From the received message to parameters, as a session does it.
    for count in [1, 100, 1_000] {
        let frame = FrameEncoder.request(id: "rpc-1", method: .push, params: push(of: count))
        let configuration = count < 1_000 ? Benchmark.microbenchmark : Benchmark.operation
        Benchmark("frame_decode/push_\(count)", configuration: configuration) { benchmark in
            try benchmark.sample {
                guard case .request(let request) = try FrameDecoder.decodeClientFrame(frame) else { return }
                blackHole(try request.params.decode(as: PushParams.self))
            }
        }
    }
}

// MARK: - Messages

private let space = SpaceID.random()
private let record = RecordID.random()

private func bytes(_ count: Int) -> ByteBuffer { ByteBuffer(repeating: 7, count: count) }

/// Records of 1 KiB with their DEKs.
private func push(of count: Int) -> PushParams {
    PushParams(
        space: space.wireText,
        changes: (0..<count).map { number in
            PushParams.Change(
                id: RecordID.fixtureText(number), blob: bytes(1_024), expectedCursor: 0, dek: .wrappedDEK())
        })
}

private func sync(of count: Int) -> SyncNotification {
    SyncNotification(
        space: space, prev: 41, cursor: 42, keyGeneration: 1, rewrapEpoch: nil,
        records: (0..<count).map { number in
            RecordEntry(
                space: nil, id: .fixture(number), blob: bytes(1_024), cursor: 42, dek: .wrappedDEK(), deleted: false)
        })
}

private let entry = MembershipEntry(
    chainSequence: 2, previousHash: bytes(32), entryHash: bytes(32), payload: bytes(256))

private let invitation = InvitationResult(
    id: record.wireText, payload: String(repeating: "a", count: 512), createdAt: "2026-01-02T03:04:05.678901Z",
    expiresAt: "2026-01-09T03:04:05.678901Z")

private let messages: [(String, any Message)] = [
    ("push_1", push(of: 1)),
    ("push_100", push(of: 100)),
    ("push_1000", push(of: 1_000)),
    ("push_result", PushResult.accepted(cursor: 42)),
    ("pull", PullParams(spaces: [.init(id: space.wireText, since: 41)])),
    ("pull.begin", PullBegin(space: space.wireText, prev: 41, cursor: 42, keyGeneration: 1, rewrapEpoch: nil)),
    (
        "pull.record",
        RecordEntry(
            space: space.wireText, id: record, blob: bytes(1_024), cursor: 42, dek: .wrappedDEK(), deleted: false)
    ),
    ("pull.membership", PullMembership(space: space.wireText, cursor: 42, entries: [entry])),
    (
        "pull.file",
        PullFile(
            space: space.wireText, id: .random(), recordID: record, size: 65_536, dek: .wrappedDEK(), cursor: 42,
            deleted: false)
    ),
    ("pull.commit", PullCommit(space: space.wireText, prev: 41, cursor: 42, count: 1)),
    ("pull_result", ChunkCount(chunks: 3)),
    ("subscribe", SubscribeParams(spaces: [.init(id: space.wireText, since: 41)])),
    ("subscribe_result", SubscribeResult(spaces: [.init(id: space.wireText, cursor: 42, keyGeneration: 1)])),
    ("unsubscribe", UnsubscribeParams(spaces: [space.wireText])),
    ("token", TokenParams(token: String(repeating: "t", count: 800))),
    ("sync_1", sync(of: 1)),
    ("sync_100", sync(of: 100)),
    ("membership", MembershipNotification(space: space, cursor: 42, entries: [entry])),
    (
        "membership.append",
        MembershipAppendParams(
            space: space.wireText, expectedVersion: 1, previousHash: bytes(32), entryHash: bytes(32),
            payload: bytes(256))
    ),
    ("membership.list_result", MembershipListResult(entries: [entry, entry], metadataVersion: 2)),
    ("space.create", SpaceCreateParams(id: space.wireText, rootPublicKey: bytes(33))),
    ("invitation.create", InvitationCreateParams(mailboxID: String(repeating: "0", count: 64), payload: "hello")),
    ("invitation.list_result", InvitationListResult(invitations: [invitation, invitation])),
    ("presence.set", PresenceParams(space: space.wireText, data: bytes(64))),
    ("presence", PresenceNotification(space: space, peer: String(repeating: "0", count: 32), data: bytes(64))),
    ("revoked", RevokedNotification(space: space)),
]
