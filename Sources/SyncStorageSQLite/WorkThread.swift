import Dispatch
import Foundation
import Synchronization

/// A thread that runs what it is given, one after the other. NIO's pool with one thread would do, but storage knows nothing of
/// NIO's threads and sockets.
final class WorkThread: Sendable {
    private struct Inbox {
        var work: [@Sendable () -> Void] = []
        var isSignalled = false
        var isEnding = false
    }

    private let inbox = Mutex(Inbox())
    /// The thread alone waits for it, never a task.
    private let wakeUps = DispatchSemaphore(value: 0)

    init(name: String) {
        let thread = Thread { self.loop() }
        thread.name = name
        thread.start()
    }

    /// - Returns: False when the thread ends or has ended; then `work` is not run.
    @discardableResult
    func submit(_ work: @escaping @Sendable () -> Void) -> Bool {
        let (isTaken, signals) = self.inbox.withLock { inbox in
            guard !inbox.isEnding else { return (false, false) }
            inbox.work.append(work)
            defer { inbox.isSignalled = true }
            return (true, !inbox.isSignalled)
        }
        if signals { self.wakeUps.signal() }
        return isTaken
    }

    /// Ends the thread after what was submitted before.
    func end() {
        self.inbox.withLock { $0.isEnding = true }
        self.wakeUps.signal()
    }

    private func loop() {
        while true {
            self.wakeUps.wait()
            let (work, isEnding) = self.inbox.withLock { inbox in
                defer {
                    inbox.work = []
                    inbox.isSignalled = false
                }
                return (inbox.work, inbox.isEnding)
            }
            for item in work { item() }
            if isEnding { return }
        }
    }
}
