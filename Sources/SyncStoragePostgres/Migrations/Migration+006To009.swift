extension Migration {
    static let privacyPhase1 = Migration(
        version: 6, name: "privacy_phase1",
        up: [
            "ALTER TABLE revocations DROP COLUMN revoked_by",
            "ALTER TABLE revocations DROP COLUMN revoked_at",
            "DROP INDEX idx_files_created_at",
            "ALTER TABLE files DROP COLUMN created_at",
            "ALTER TABLE members DROP COLUMN created_at",
        ],
        down: [
            "ALTER TABLE members ADD COLUMN created_at timestamptz NOT NULL DEFAULT now()",
            "ALTER TABLE files ADD COLUMN created_at timestamptz NOT NULL DEFAULT now()",
            "CREATE INDEX idx_files_created_at ON files (created_at)",
            "ALTER TABLE revocations ADD COLUMN revoked_at timestamptz NOT NULL DEFAULT now()",
            "ALTER TABLE revocations ADD COLUMN revoked_by text NOT NULL DEFAULT ''",
        ]
    )

    static let mailboxInvitations = Migration(
        version: 7, name: "mailbox_invitations",
        up: [
            "DROP TABLE invitations",
            """
            CREATE TABLE invitations (
                id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT invitations_pkey PRIMARY KEY,
                mailbox_id char(64) NOT NULL,
                rate_limit_hash char(64) NOT NULL,
                payload bytea NOT NULL,
                created_at timestamptz NOT NULL DEFAULT now(),
                expires_at timestamptz NOT NULL
            )
            """,
            "CREATE INDEX idx_invitations_mailbox ON invitations (mailbox_id, created_at DESC)",
            "CREATE INDEX idx_invitations_rate_limit ON invitations (rate_limit_hash, created_at DESC)",
            "CREATE INDEX idx_invitations_expires_at ON invitations (expires_at)",
        ],
        down: ["DROP TABLE invitations"] + Self.createRecipientInvitations
    )

    static let ephemeralRateLimits = Migration(
        version: 8, name: "ephemeral_rate_limits",
        up: [
            """
            CREATE TABLE rate_limit_actions (
                action varchar(32) NOT NULL,
                actor_hash char(64) NOT NULL,
                created_at timestamptz NOT NULL DEFAULT now()
            )
            """,
            "CREATE INDEX idx_rate_limit_actions_lookup ON rate_limit_actions (action, actor_hash, created_at)",
            "DROP INDEX idx_invitations_rate_limit",
            "ALTER TABLE invitations DROP COLUMN rate_limit_hash",
        ],
        down: [
            "ALTER TABLE invitations ADD COLUMN rate_limit_hash char(64)",
            "CREATE INDEX idx_invitations_rate_limit ON invitations (rate_limit_hash, created_at DESC)",
            "DROP TABLE rate_limit_actions",
        ]
    )

    static let rewrapEpoch = Migration(
        version: 9, name: "rewrap_epoch",
        up: ["ALTER TABLE spaces ADD COLUMN rewrap_epoch integer"],
        down: ["ALTER TABLE spaces DROP COLUMN rewrap_epoch"]
    )
}
