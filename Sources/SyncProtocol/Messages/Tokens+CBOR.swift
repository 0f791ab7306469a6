extension TokenParams: WireMap {
    static let fields = WireFields(Self(token: ""), .required("token", \.token))
}

extension TokenRefreshResult: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case ok, error

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var ok: Bool?
        var error: String?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .ok: ok = try reader.readBool()
            case .error: error = try reader.readOptionalText()
            }
        }
        guard let ok else { throw .missingField }
        self.init(error: ok ? nil : error ?? "")
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(self.error == nil ? 1 : 2)
        writer.write(key: "ok")
        writer.write(self.error == nil)
        guard let error = self.error else { return }
        writer.write(key: "error")
        writer.write(error)
    }
}
