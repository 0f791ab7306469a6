import FoundationEssentials
import NIOCore

/// The texts of XML elements, as far as the answers of S3 need them: no attributes, no nesting of equal names, no CDATA.
enum S3Answer {
    /// What is between `<name …>` and `</name>`, each time.
    static func elements(_ name: String, in text: Substring) -> [Substring] {
        var found: [Substring] = []
        var rest = text
        while let start = rest.firstRange(of: "<\(name)") {
            rest = rest[start.upperBound...]
            // Not the beginning of a longer name.
            guard let next = rest.first, next == ">" || next == " " || next == "/" else { continue }
            guard let open = rest.firstIndex(of: ">") else { break }
            if rest[..<open].last == "/" {
                found.append("")
                rest = rest[rest.index(after: open)...]
                continue
            }
            let content = rest[rest.index(after: open)...]
            guard let end = content.firstRange(of: "</\(name)>") else { break }
            found.append(content[..<end.lowerBound])
            rest = content[end.upperBound...]
        }
        return found
    }

    /// The text of the first element of that name.
    static func text(_ name: String, in text: Substring) -> String? {
        Self.elements(name, in: text).first.map(Self.unescaped)
    }

    /// `2009-10-12T17:50:30.000Z`, with or without a fraction.
    static func date(_ text: String) -> Date? {
        (try? Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true)))
            ?? (try? Date(text, strategy: Date.ISO8601FormatStyle()))
    }

    private static func unescaped(_ text: Substring) -> String {
        guard text.contains("&") else { return String(text) }
        // The ampersand last, so that its result is not taken for the beginning of another one.
        return [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&apos;", "'"), ("&amp;", "&")]
            .reduce(String(text)) { $0.replacing($1.0, with: $1.1) }
    }
}
