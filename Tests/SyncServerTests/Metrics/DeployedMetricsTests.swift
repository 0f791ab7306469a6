import Foundation
import Testing

@testable import SyncServer

/// The files of `deploy/` that name metrics.
@Suite("Dashboard and alerts")
struct DeployedMetricsTests {
    private static func content(_ name: String) throws -> Data {
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<4 { root.deleteLastPathComponent() }
        return try Data(contentsOf: root.appendingPathComponent("deploy/" + name))
    }

    /// Every `expr` of a tree of JSON.
    private static func expressions(in value: Any) -> [String] {
        if let list = value as? [Any] { return list.flatMap(Self.expressions) }
        guard let object = value as? [String: Any] else { return [] }
        return object.flatMap { key, value in
            if key == "expr", let text = value as? String { return [text] }
            return Self.expressions(in: value)
        }
    }

    /// What stands where PromQL has a metric: no function, no word of the language, no label.
    private static func metrics(in expression: String) -> Set<String> {
        var rest = expression
        for pattern in [#"\{[^}]*\}"#, #"\[[^\]]*\]"#, #"\b(by|without|on|ignoring)\s*\([^)]*\)"#] {
            rest = rest.replacingOccurrences(of: pattern, with: " ", options: .regularExpression)
        }
        let names = rest.matches(of: /[A-Za-z_][A-Za-z0-9_]*/).filter { match in
            rest[match.range.upperBound...].first { !$0.isWhitespace } != "("
        }
        return Set(names.map { String($0.output) }).subtracting(["and", "or", "unless", "bool", "offset"])
    }

    private static func isKnown(_ metric: String) -> Bool {
        if let entry = MetricCatalogue.entry(metric) { return entry.kind != .histogram }
        return ["_bucket", "_sum", "_count"].contains { suffix in
            metric.hasSuffix(suffix)
                && MetricCatalogue.entry(String(metric.dropLast(suffix.count)))?.kind == .histogram
        }
    }

    @Test("Metrics of an expression are found, and unknown ones are not in the catalogue")
    func names() {
        let expression =
            #"histogram_quantile(0.99, sum by (le) (rate(rpc_duration_ms_bucket{method="push"}[5m]))) > made_up"#
        #expect(Self.metrics(in: expression) == ["rpc_duration_ms_bucket", "made_up"])
        #expect(Self.isKnown("rpc_duration_ms_bucket"))
        for unknown in ["made_up", "rpc_duration_ms", "rpc_requests_total_bucket"] { #expect(!Self.isKnown(unknown)) }
    }

    @Test("The dashboard shows only metrics that the server has")
    func dashboard() throws {
        let tree = try JSONSerialization.jsonObject(with: Self.content("grafana-dashboard.json"))
        let expressions = Self.expressions(in: tree)
        #expect(expressions.count >= 10)
        for expression in expressions {
            let metrics = Self.metrics(in: expression)
            #expect(!metrics.isEmpty, "\(expression)")
            #expect(metrics.allSatisfy(Self.isKnown), "\(expression)")
        }
    }

    @Test("The alert for jobs asks for the outcome that a failed run is counted under")
    func jobOutcomes() throws {
        let alerts = String(decoding: try Self.content("prometheus-alerts.yml"), as: UTF8.self)
        let selectors = alerts.matches(of: /job_runs_total\{([^}]*)\}/).map { String($0.1) }
        #expect(selectors.count == 1)
        let outcomes = selectors.flatMap { $0.split(separator: ",") }.filter { $0.hasPrefix("outcome") }
        #expect(outcomes == ["outcome=\"\(JobRuns.Outcome.failure.rawValue)\""])
    }

    @Test("The alerts ask only for metrics that the server has")
    func alerts() throws {
        let lines = String(decoding: try Self.content("prometheus-alerts.yml"), as: UTF8.self).split(separator: "\n")
            .map { $0.trimmingCharacters(in: .whitespaces) }
        let expressions = lines.filter { $0.hasPrefix("expr: ") }.map { String($0.dropFirst("expr: ".count)) }
        #expect(expressions.count == lines.count { $0.hasPrefix("- alert: ") })
        #expect(expressions.count >= 5)
        for expression in expressions {
            let metrics = Self.metrics(in: expression)
            #expect(!metrics.isEmpty, "\(expression)")
            #expect(metrics.allSatisfy(Self.isKnown), "\(expression)")
        }
    }
}
