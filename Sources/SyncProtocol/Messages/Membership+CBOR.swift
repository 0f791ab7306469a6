import NIOCore

extension MembershipEntry: WireMap {
    static let fields = WireFields(
        Self(chainSequence: 0, previousHash: nil, entryHash: ByteBuffer(), payload: ByteBuffer()),
        .required("chain_seq", \.chainSequence), .optional("prev_hash", \.previousHash),
        .required("entry_hash", \.entryHash), .required("payload", \.payload))
}

extension SpaceCreateParams: WireMap {
    static let fields = WireFields(
        Self(id: "", rootPublicKey: ByteBuffer()),
        .required("id", \.id), .required("root_public_key", \.rootPublicKey))
}

extension SpaceCreateResult: WireMap {
    static let fields = WireFields(
        Self(id: SpaceID(bits: 0), keyGeneration: 0),
        .required("id", \.id), .required("key_generation", \.keyGeneration))
}

extension MembershipAppendParams: WireMap {
    static let fields = WireFields(
        Self(space: "", expectedVersion: 0, entryHash: ByteBuffer(), payload: ByteBuffer()),
        .optional("ucan", \.ucan, unless: ""), .required("space", \.space), .required("payload", \.payload),
        .optional("prev_hash", \.previousHash), .required("entry_hash", \.entryHash),
        .required("expected_version", \.expectedVersion))
}

extension MembershipAppendResult: WireMap {
    static let fields = WireFields(
        Self(chainSequence: 0, metadataVersion: 0),
        .required("chain_seq", \.chainSequence), .required("metadata_version", \.metadataVersion))
}

extension MembershipListParams: WireMap {
    static let fields = WireFields(
        Self(space: ""),
        .optional("ucan", \.ucan, unless: ""), .required("space", \.space),
        .optional("since_seq", \.sinceSequence, unless: 0))
}

extension MembershipListResult: WireMap {
    static let fields = WireFields(
        Self(entries: [], metadataVersion: 0),
        .required("entries", \.entries), .required("metadata_version", \.metadataVersion))
}

extension MembershipRevokeParams: WireMap {
    static let fields = WireFields(
        Self(space: "", ucanCID: ""),
        .optional("ucan", \.ucan, unless: ""), .required("space", \.space), .required("ucan_cid", \.ucanCID))
}

extension MembershipNotification: WireMap {
    static let fields = WireFields(
        Self(space: SpaceID(bits: 0), cursor: 0, entries: []),
        .required("space", \.space), .required("cursor", \.cursor), .required("entries", \.entries))
}

extension RevokedNotification: WireMap {
    static let fields = WireFields(
        Self(space: SpaceID(bits: 0)),
        .required("space", \.space), .required("reason", \.reason))
}

extension ResubscribeNotification: WireMap {
    static let fields = WireFields(Self(spaces: []), .required("spaces", \.spaces))
}

extension EmptyMap: WireMap {
    static let fields = WireFields(Self())
}
