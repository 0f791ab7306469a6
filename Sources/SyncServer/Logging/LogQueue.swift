import Dispatch
import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Lines of the log on their way to a file descriptor (docs/contract/operations.md §11).
///
/// Whoever logs never waits for the reader: a thread of its own writes, in the order of the calls. What does not fit into
/// the queue is dropped and counted, and one line tells how many were as soon as there is room again. The thread ends with
/// the process.
package final class LogQueue: Sendable {
    /// Bytes that wait for the reader, those in the hands of the kernel apart.
    package static let bytesMax = 1_048_576

    /// The line that tells of dropped ones is shorter.
    private static let noticeBytesMax = 512
    /// As many lines as fit are written at once. The kernel keeps that much in one piece, whoever else writes to the same
    /// pipe (POSIX: at least 512 bytes; Linux: 4,096).
    private static let writeBytesMax = Int(PIPE_BUF)

    private struct State {
        /// Whole lines.
        var waiting: [UInt8] = []
        /// Bytes that the thread has taken and not written.
        var taken = 0
        /// Whether the thread has been told that there is something to do.
        var isAwake = false
        /// Dropped, and no line has told of them.
        var untold: UInt64 = 0
        var dropped: UInt64 = 0
        /// Threads on their way out of the process that wait until there is nothing to write: no task may go on by then.
        var flushes: [DispatchSemaphore] = []

        var isEmpty: Bool { self.waiting.isEmpty && self.taken == 0 && self.untold == 0 }
    }

    // Fixed after init.
    private let descriptor: Int32
    private let bytesMax: Int
    private let notice: @Sendable (UInt64) -> String
    /// The thread alone waits for it, never a task.
    private let work = DispatchSemaphore(value: 0)

    // Guarded by itself.
    private let state = Mutex(State())

    /// - Parameters:
    ///   - descriptor: Stays open for as long as the process runs.
    ///   - notice: The line, its newline included, that tells of so many dropped ones; at most 512 bytes.
    package init(
        to descriptor: Int32, bytesMax: Int = LogQueue.bytesMax, notice: @escaping @Sendable (UInt64) -> String
    ) {
        self.descriptor = descriptor
        self.bytesMax = bytesMax
        self.notice = notice
        let thread = Thread { [self] in self.run() }
        thread.name = "log"
        thread.start()
    }

    /// Lines that were not written since the start: those that did not fit, and those that the descriptor refused.
    package var droppedCount: UInt64 { self.state.withLock { $0.dropped } }

    /// Takes a whole line, its newline included. Never waits.
    package func append(_ line: String) {
        let wakes = self.state.withLock { state in
            self.tellOfDropped(&state)
            if state.untold == 0, self.room(in: state) >= line.utf8.count {
                state.waiting.append(contentsOf: line.utf8)
            } else {
                state.untold += 1
                state.dropped += 1
            }
            defer { state.isAwake = true }
            return !state.isAwake
        }
        if wakes { self.work.signal() }
    }

    /// Waits until everything is written. Blocks the thread, at most for `limit`.
    ///
    /// - Returns: False when there was something left.
    @discardableResult
    package func flush(within limit: Duration) -> Bool {
        let done = DispatchSemaphore(value: 0)
        let isEmpty = self.state.withLock { state in
            if !state.isEmpty { state.flushes.append(done) }
            return state.isEmpty
        }
        if isEmpty || done.wait(timeout: .now() + limit / .seconds(1)) == .success { return true }
        self.state.withLock { state in state.flushes.removeAll { $0 === done } }
        return false
    }

    private func room(in state: State) -> Int { self.bytesMax - state.waiting.count - state.taken }

    /// In the place of the lines that were dropped.
    private func tellOfDropped(_ state: inout State) {
        guard state.untold > 0, self.room(in: state) >= Self.noticeBytesMax else { return }
        state.waiting.append(contentsOf: self.notice(state.untold).utf8)
        state.untold = 0
    }

    // MARK: On the thread

    private func run() {
        // Two buffers take turns, so that a line costs no allocation.
        var lines: [UInt8] = []
        while true {
            self.work.wait()
            while self.take(&lines) { self.writeOut(lines) }
        }
    }

    /// - Returns: False when there is nothing to do until the next signal.
    private func take(_ lines: inout [UInt8]) -> Bool {
        lines.removeAll(keepingCapacity: true)
        return self.state.withLock { state in
            self.tellOfDropped(&state)
            swap(&state.waiting, &lines)
            state.taken = lines.count
            state.isAwake = !lines.isEmpty
            if lines.isEmpty {
                for flush in state.flushes { flush.signal() }
                state.flushes = []
            }
            return state.isAwake
        }
    }

    private func writeOut(_ lines: [UInt8]) {
        var rest = lines[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Self.wholeLines(in: rest))
            let isWritten = Self.writeAll(piece, to: self.descriptor)
            rest = rest.dropFirst(piece.count)
            self.state.withLock { state in
                state.taken = rest.count
                // One that tells of these would be refused as well.
                if !isWritten { state.dropped += UInt64(piece.count { $0 == UInt8(ascii: "\n") }) }
                self.tellOfDropped(&state)
            }
        }
    }

    /// - Returns: Bytes of the lines that fit into one piece, or of the first one when that is longer.
    private static func wholeLines(in bytes: ArraySlice<UInt8>) -> Int {
        guard bytes.count > Self.writeBytesMax else { return bytes.count }
        let newline = UInt8(ascii: "\n")
        let end = bytes.prefix(Self.writeBytesMax).lastIndex(of: newline) ?? bytes.firstIndex(of: newline)
        return end.map { $0 + 1 - bytes.startIndex } ?? bytes.count
    }

    /// - Returns: False when the descriptor takes no more: a log that nobody can read is no reason to stop serving.
    private static func writeAll(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var offset = 0
            while offset < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
                let count = write(descriptor, rest.baseAddress, rest.count)
                if count >= 0 {
                    offset += count
                } else if errno == EAGAIN {
                    // Whoever else has the descriptor made it non-blocking.
                    var writable = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&writable, 1, -1)
                } else if errno != EINTR {
                    return false
                }
            }
            return true
        }
    }
}
