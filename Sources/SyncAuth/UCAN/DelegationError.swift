/// Why a delegation gives no access (docs/contract/auth.md §5.4). Never told to a peer; the description goes to the log.
package enum DelegationError: Error, Hashable, Sendable {
    /// Not a delegation at all, or one that breaks a rule without a kind of its own.
    case invalid(Defect)
    case expired
    /// More than `UnverifiedDelegation.tokensMax` tokens in a row.
    case chainTooDeep
    case attenuationViolation(Attenuation)
    /// `with` is another space, or not written canonically.
    case resourceMismatch
    /// The chain does not end at the root key of the space.
    case rootMismatch
    case identityMismatch(Identity)
    /// A token of the chain is revoked in the space.
    case revoked

    package enum Defect: Hashable, Sendable {
        /// More than `UnverifiedDelegation.bytesMax` bytes.
        case tooLong
        /// Not three segments, or the header is not one of ES256.
        case malformed
        /// The payload is not a JSON object.
        case payload
        case issuer(DIDKeyError?)
        case signature
        /// A claim has the wrong type or occurs twice.
        case claim(String)
        case unknownCommand
        case noExpiry
        case notYetValid
        case emptyNonce
        case severalProofs
        /// More than `UnverifiedDelegation.tokensWalkedMax` different tokens.
        case tooManyTokens
    }

    package enum Attenuation: Hashable, Sendable {
        /// Less than what the request needs.
        case insufficient
        /// More than the proof grants.
        case exceedsProof
        /// Later than the expiry of the proof.
        case outlivesProof
    }

    package enum Identity: Hashable, Sendable {
        /// The leaf is for somebody else.
        case audience
        /// The proof is for somebody other than the issuer of the token that it is to prove.
        case link
    }
}

extension DelegationError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .invalid(let defect): "invalid UCAN: \(defect)"
        case .expired: "UCAN expired"
        case .chainTooDeep: "UCAN chain too deep"
        case .attenuationViolation(let rule): "UCAN attenuation violation: \(rule)"
        case .resourceMismatch: "UCAN resource mismatch"
        case .rootMismatch: "UCAN root key mismatch"
        case .identityMismatch(let rule): "UCAN identity mismatch: \(rule)"
        case .revoked: "UCAN revoked"
        }
    }
}
