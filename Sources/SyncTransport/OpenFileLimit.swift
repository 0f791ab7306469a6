#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// How many descriptors, sockets among them, this process may have open (`RLIMIT_NOFILE`, getrlimit(2)).
package enum OpenFileLimit {
    /// Raises the soft limit to the hard one. Shells and systemd start programs with 1,024, which is fewer than a server's
    /// connections; nothing here uses `select`, for whose sake it is so low.
    ///
    /// - Returns: The limit in force; `nil` when the system does not tell.
    @discardableResult
    package static func raise() -> UInt64? {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return nil }
        let before = limit.rlim_cur
        limit.rlim_cur = limit.rlim_max
        return UInt64(setrlimit(resource, &limit) == 0 ? limit.rlim_cur : before)
    }
}
