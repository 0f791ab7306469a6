import SyncProtocol

/// Broadcasts that have chosen their receivers and not yet reached them all. A revocation waits for those of its space, so
/// that none is under way to somebody who has just been removed. Broadcasts themselves never wait.
///
/// Pure; `Broker` keeps it under its lock.
struct PublicationFlights {
    private struct Wait {
        /// Flights that have not landed.
        var flights: Set<UInt64>
        let continuation: CheckedContinuation<Void, Never>
    }

    private var next: UInt64 = 0
    private var spaces: [UInt64: SpaceID] = [:]
    private var waits: [Wait] = []

    /// Broadcasts under way.
    var count: Int { self.spaces.count }

    mutating func takeOff(to space: SpaceID) -> UInt64 {
        self.next += 1
        self.spaces[self.next] = space
        return self.next
    }

    /// - Returns: Waits that are over, to be resumed outside the lock.
    mutating func land(_ flight: UInt64) -> [CheckedContinuation<Void, Never>] {
        self.spaces[flight] = nil
        guard !self.waits.isEmpty else { return [] }
        for index in self.waits.indices { self.waits[index].flights.remove(flight) }
        let over = self.waits.filter(\.flights.isEmpty)
        self.waits.removeAll(where: \.flights.isEmpty)
        return over.map(\.continuation)
    }

    /// Keeps `continuation` until the broadcasts to `space` that are under way have landed.
    ///
    /// - Returns: False, and nothing kept, when there are none.
    mutating func wait(for space: SpaceID, _ continuation: CheckedContinuation<Void, Never>) -> Bool {
        let flights = Set(self.spaces.filter { $0.value == space }.keys)
        guard !flights.isEmpty else { return false }
        self.waits.append(Wait(flights: flights, continuation: continuation))
        return true
    }
}
