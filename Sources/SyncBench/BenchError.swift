/// Why a load run could not be made. What goes wrong during one is counted in its result instead.
package enum BenchError: Error, Hashable, Sendable {
    case invalidOptions([String])
    case tokens(String)
    /// Connection `number` of `count` could not be opened.
    case connection(number: Int, count: Int, String)
    /// The state that the run needs could not be made.
    case preparation(String)
}

extension BenchError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .invalidOptions(let problems): problems.joined(separator: "\n")
        case .tokens(let detail): "no token: \(detail)"
        case .connection(let number, let count, let detail): "connection \(number) of \(count): \(detail)"
        case .preparation(let detail): "cannot prepare the run: \(detail)"
        }
    }
}
