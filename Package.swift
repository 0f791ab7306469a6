// swift-tools-version: 6.2
import PackageDescription

/// Shared by every target, so that no module is checked less strictly than another.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioWebSocket: Target.Dependency = .product(name: "NIOWebSocket", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let heap: Target.Dependency = .product(name: "HeapModule", package: "swift-collections")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore: Target.Dependency = .product(name: "HummingbirdCore", package: "hummingbird")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let nioHTTPTypes: Target.Dependency = .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras")
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "less-sync",
    products: [
        .executable(name: "less-sync", targets: ["less-sync"]),
        // For Benchmarks/, a package of its own. Not a library for others: most of it has `package` access.
        .library(
            name: "SyncModules",
            targets: [
                "SyncProtocol", "SyncAuth", "SyncStorage", "SyncStoragePostgres", "SyncStorageSQLite", "SyncCore",
                "SyncTransport", "SyncServer", "SyncClient", "SyncTesting",
            ]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.2"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1", traits: []),
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
    ],
    targets: [
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .target(name: "CEpoll"),
        .target(name: "CSpawn"),
        .target(name: "SyncProtocol", dependencies: [nioCore, deque], swiftSettings: settings),
        .target(name: "SyncAuth", dependencies: ["SyncProtocol", crypto], swiftSettings: settings),
        .target(name: "SyncStorage", dependencies: ["SyncProtocol", nioCore], swiftSettings: settings),
        .target(
            name: "SyncStoragePostgres",
            dependencies: ["CLibPQ", "CEpoll", "SyncProtocol", "SyncStorage", nioCore, deque, logging, lifecycle],
            swiftSettings: settings
        ),
        .target(
            name: "SyncStorageSQLite",
            dependencies: [
                "SyncProtocol", "SyncStorage", nioCore, deque, logging, lifecycle,
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "SyncCore",
            dependencies: [
                "SyncProtocol", "SyncAuth", "SyncStorage", nioCore, deque, heap, logging, metrics, lifecycle,
            ],
            swiftSettings: settings
        ),
        .target(
            name: "SyncTransport",
            dependencies: ["SyncProtocol", nioCore, nioPosix, nioHTTP1, nioWebSocket, nioSSL, deque, logging],
            swiftSettings: settings
        ),
        .target(
            name: "SyncServer",
            dependencies: [
                "SyncProtocol", "SyncAuth", "SyncStorage", "SyncStoragePostgres", "SyncStorageSQLite", "SyncCore",
                "SyncTransport", nioCore, nioPosix, nioHTTP1, crypto, logging, metrics, lifecycle, hummingbird,
                hummingbirdCore,
                httpTypes, nioHTTPTypes, httpClient,
            ],
            swiftSettings: settings
        ),
        .target(
            name: "SyncClient",
            dependencies: ["SyncProtocol", "SyncAuth", "SyncTransport", nioCore, deque, crypto, httpClient],
            swiftSettings: settings
        ),
        .target(
            name: "SyncBench",
            dependencies: ["SyncProtocol", "SyncAuth", "SyncTransport", "SyncClient", nioCore, nioPosix],
            swiftSettings: settings
        ),
        .target(
            name: "SyncTesting",
            dependencies: [
                "CSpawn", "SyncProtocol", "SyncAuth", "SyncStorage", "SyncStoragePostgres", "SyncStorageSQLite",
                nioCore, nioPosix, deque, crypto, logging,
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "less-sync",
            dependencies: ["SyncServer", "SyncClient", "SyncBench", "SyncProtocol", argumentParser],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "websocket-echo",
            dependencies: ["SyncTransport", nioCore, nioPosix, nioHTTP1],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "plain-websocket",
            dependencies: [nioCore, nioPosix, nioHTTP1, nioWebSocket],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SyncProtocolTests",
            dependencies: ["SyncProtocol", "SyncTesting", nioCore],
            resources: [.copy("Fixtures")],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SyncAuthTests",
            dependencies: ["SyncAuth", "SyncTesting", crypto],
            resources: [.copy("Fixtures")],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SyncStorageTests",
            dependencies: ["SyncStorage", "SyncProtocol", "SyncTesting", nioCore],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SyncStorageSQLiteTests",
            dependencies: [
                "SyncStorageSQLite", "SyncStorage", "SyncProtocol", "SyncTesting", nioCore, logging,
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SyncStoragePostgresTests",
            dependencies: ["SyncStoragePostgres", "SyncStorage", "SyncProtocol", "SyncTesting", nioCore, logging],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SyncTransportTests",
            dependencies: [
                "SyncTransport", "SyncTesting", nioCore, nioPosix, nioEmbedded, nioHTTP1, nioWebSocket, nioSSL,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SyncCoreTests",
            dependencies: [
                "SyncCore", "SyncStorageSQLite", "SyncTesting", nioCore, logging, metrics,
                .product(name: "MetricsTestKit", package: "swift-metrics"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SyncServerTests",
            dependencies: [
                "SyncServer", "SyncClient", "SyncCore", "SyncTesting", nioCore, nioPosix, nioHTTP1, logging, metrics,
                lifecycle, httpClient, .product(name: "MetricsTestKit", package: "swift-metrics"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SyncClientTests",
            dependencies: ["SyncClient", "SyncProtocol", "SyncTesting", nioCore, crypto],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SyncBenchTests",
            dependencies: ["SyncBench", "SyncProtocol", "SyncTesting", nioCore],
            swiftSettings: settings
        ),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "less-sync", "SyncServer", "SyncClient", "SyncBench", "SyncTransport", "SyncTesting", "SyncProtocol",
                "SyncAuth",
                "SyncStorage", "SyncStorageSQLite", "SyncStoragePostgres", nioCore, nioPosix, nioHTTP1, httpClient,
                logging, lifecycle,
            ],
            swiftSettings: settings
        ),
    ]
)
