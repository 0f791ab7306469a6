// swift-tools-version: 6.2
import PackageDescription

/// Makes the `package` declarations of the server visible here: SwiftPM names a package's access group after its directory,
/// so `-package-name` with the name of the directory above joins that group. The server's own code needs neither `public`
/// nor a build with `-enable-testing` for it, and is measured as it is shipped.
let serverPackageName = Context.packageDirectory.split(separator: "/").dropLast().last
    .map { String($0.lowercased().map { $0.isLetter || $0.isNumber ? $0 : "_" }) }

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .unsafeFlags(["-package-name", serverPackageName ?? "less_sync"]),
]

let package = Package(
    name: "benchmarks",
    dependencies: [
        .package(name: "less-sync", path: ".."),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/ordo-one/benchmark.git", from: "1.38.1", traits: []),
    ],
    targets: [
        .target(name: "CAllocations", path: "CAllocations"),
        .executableTarget(
            name: "SyncBenchmarks",
            dependencies: [
                "CAllocations",
                .product(name: "SyncModules", package: "less-sync"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "SyncBenchmarks",
            packageAccess: false,
            swiftSettings: settings,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        ),
    ]
)
