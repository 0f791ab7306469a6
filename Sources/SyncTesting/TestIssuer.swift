package import SyncAuth
import SyncProtocol
import Synchronization

/// A token validator that knows its tokens by heart: for tests that are not about tokens.
package final class StaticTokens: TokenValidator {
    private let answers = Mutex<[String: Result<Principal, TokenError>]>([:])

    package init() {}

    /// A token for `principal`, of this text or of one made up.
    @discardableResult
    package func issue(_ principal: Principal, as text: String? = nil) -> String {
        self.answers.withLock { answers in
            let text = text ?? "token-\(answers.count + 1)"
            answers[text] = .success(principal)
            return text
        }
    }

    /// A token that is refused.
    @discardableResult
    package func issue(refusedAs error: TokenError) -> String {
        let text = "refused-\(error)"
        self.answers.withLock { $0[text] = .failure(error) }
        return text
    }

    package func validate(_ token: String) async throws(TokenError) -> Principal {
        guard !token.isEmpty else { throw .missing }
        guard let answer = self.answers.withLock({ $0[token] }) else { throw .invalid }
        return try answer.get()
    }
}

extension Principal {
    /// A user with the scope `sync`, a personal space and a mailbox of their own. The same name is the same user.
    package static func fixture(_ name: String = "user-1", scopes: Set<String> = ["sync"]) -> Principal {
        let client = "11111111-1111-1111-1111-111111111111"
        let issuer = "https://accounts.less.so"
        return Principal(
            issuer: issuer, userID: name, clientID: client,
            personalSpace: PersonalSpace.derive(issuer: issuer, userID: name, clientID: client, family: .less),
            mailboxID: name + "-mailbox", scopes: scopes)
    }
}
