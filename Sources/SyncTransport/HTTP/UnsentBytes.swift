import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// How much of the responses the kernel takes ahead of what it can send (tcp(7), `TCP_NOTSENT_LOWAT`). Without a limit it
/// holds megabytes for every client that is slow or reads nothing.
///
/// A WebSocket has the kernel's own limit: a device that is behind is told of more before it is ended as too slow.
enum UnsentBytes {
    static let responseMax: SocketOptionValue = 131_072
    /// The kernel's own.
    static let unlimited: SocketOptionValue = 0

    static let option = ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: TCP_NOTSENT_LOWAT))

    /// Call on the event loop. No more than memory is lost where the system does not have the option.
    static func limit(to count: SocketOptionValue, on channel: any Channel) {
        try? channel.syncOptions?.setOption(self.option, value: count)
    }
}
