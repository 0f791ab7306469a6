import NIOCore
import NIOPosix
import SyncProtocol
import SyncTransport

/// A load run against any server that speaks the protocol, over real sockets.
///
/// Connections live on event loops of their own, and are driven there by callbacks alone: on one machine with the server, what
/// the load costs is missing from what is measured.
package struct Bench: Sendable {
    /// Takes a line about the progress, once a second.
    package typealias Watch = @Sendable (String) -> Void

    private let options: BenchOptions

    package init(_ options: BenchOptions) { self.options = options }

    /// - Throws: `BenchError` when the run could not take place; failed operations are part of the result.
    package func run(_ watch: @escaping Watch = { _ in }) async throws -> BenchResult {
        let problems = self.options.problems()
        guard problems.isEmpty, let endpoint = BenchEndpoint(self.options.url) else {
            throw BenchError.invalidOptions(problems)
        }
        OpenFileLimit.raise()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: self.options.threads)
        do {
            var lanes: [BoundLane] = []
            for loop in group.makeIterator() { lanes.append(try await BoundLane.make(on: loop)) }
            let run = BenchRun(self.options, endpoint, lanes, watch)
            let result: BenchResult
            do { result = try await run.run() } catch {
                await run.close()
                throw error
            }
            await run.close()
            try await group.shutdownGracefully()
            return result
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }
}

/// A lane, for those who are not on its event loop.
struct BoundLane: Sendable {
    let eventLoop: any EventLoop
    private let lane: NIOLoopBound<Lane>

    static func make(on loop: any EventLoop) async throws -> BoundLane {
        let lane = try await loop.submit { NIOLoopBound(Lane(loop), eventLoop: loop) }.get()
        return BoundLane(eventLoop: loop, lane: lane)
    }

    func with<Result: Sendable>(_ body: @escaping @Sendable (Lane) throws -> Result) async throws -> Result {
        try await self.eventLoop.submit { [lane] in try body(lane.value) }.get()
    }
}
