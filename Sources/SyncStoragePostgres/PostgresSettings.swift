/// What every session of the pool sets, whatever the database or the role says (docs/operations.md).
extension PostgresStatement {
    /// - Parameter waitLimit: After so long the caller is told that the database is unavailable. Waits for locks and statements
    ///   end earlier on the server, which then says that nothing was written.
    static func sessionSettings(waitLimit: Duration) -> PostgresStatement {
        let settings = [
            // Plans are made once and kept, perhaps from when the tables were empty: so they read by index alone.
            ("enable_seqscan", "'off'"), ("enable_bitmapscan", "'off'"), ("enable_sort", "'off'"), ("jit", "'off'"),
            ("plan_cache_mode", "'force_generic_plan'"),
            // The conflict check of a push depends on it: the later statements see what the first one waited for.
            ("default_transaction_isolation", "'read committed'"), ("default_transaction_read_only", "'off'"),
            // What is acknowledged is on disk. Whoever has asked for more, for standbys, keeps it.
            (
                "synchronous_commit",
                "CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' "
                    + "ELSE current_setting('synchronous_commit') END"
            ),
            ("lock_timeout", "'\(Self.milliseconds(waitLimit / 6))ms'"),
            ("statement_timeout", "'\(Self.milliseconds(waitLimit * 9 / 10))ms'"),
            // A server that was stopped in its tracks, or whose machine is gone, holds no lock and no snapshot for long.
            ("idle_in_transaction_session_timeout", "'60s'"), ("tcp_keepalives_idle", "'60'"),
        ]
        let calls = settings.map { "set_config('\($0)', \($1), false)" }
        return PostgresStatement(sql: "SELECT " + calls.joined(separator: ", "), resultsAreText: true)
    }

    /// For the connection that tells and hears of changes. An announcement needs no disk: who misses it, catches up.
    static func feedSettings(waitLimit: Duration) -> PostgresStatement {
        PostgresStatement(
            sql: """
                SELECT set_config('synchronous_commit', 'off', false),
                    set_config('statement_timeout', '\(Self.milliseconds(waitLimit * 9 / 10))ms', false),
                    set_config('default_transaction_read_only', 'off', false),
                    set_config('tcp_keepalives_idle', '60', false)
                """, resultsAreText: true)
    }

    /// Zero would mean no limit.
    private static func milliseconds(_ duration: Duration) -> Int64 { max(1, Int64(duration / .milliseconds(1))) }
}
