extension Clock where Duration == Swift.Duration {
    /// A stopwatch that starts now.
    func stopwatch() -> @Sendable () -> Duration {
        let start = self.now
        return { start.duration(to: self.now) }
    }
}
