extension Migration {
    static let initial = Migration(
        version: 1, name: "initial",
        up: [
            """
            CREATE TABLE spaces (
                id uuid NOT NULL CONSTRAINT spaces_pkey PRIMARY KEY,
                client_id text NOT NULL,
                root_public_key bytea,
                key_generation integer NOT NULL DEFAULT 1,
                min_key_generation integer NOT NULL DEFAULT 1,
                metadata_version integer NOT NULL DEFAULT 0,
                sequence bigint NOT NULL DEFAULT 0,
                created_at timestamptz NOT NULL DEFAULT now(),
                updated_at timestamptz NOT NULL DEFAULT now()
            )
            """,
            """
            CREATE TABLE records (
                id uuid NOT NULL CONSTRAINT records_pkey PRIMARY KEY,
                space_id uuid NOT NULL CONSTRAINT records_space_id_fkey REFERENCES spaces (id) ON DELETE CASCADE,
                blob bytea,
                sequence bigint NOT NULL
            )
            """,
            "CREATE INDEX idx_records_sync ON records (space_id, sequence, id)",
            """
            CREATE TABLE files (
                space_id uuid NOT NULL CONSTRAINT files_space_id_fkey REFERENCES spaces (id) ON DELETE CASCADE,
                id uuid NOT NULL,
                size bigint NOT NULL CONSTRAINT files_size_positive CHECK (size >= 0),
                wrapped_dek bytea NOT NULL CONSTRAINT files_wrapped_dek_length CHECK (octet_length(wrapped_dek) = 44),
                file_seq bigserial NOT NULL,
                created_at timestamptz NOT NULL DEFAULT now(),
                CONSTRAINT files_pkey PRIMARY KEY (space_id, id)
            )
            """,
            "CREATE INDEX idx_files_space_id ON files (space_id)",
            "CREATE INDEX idx_files_created_at ON files (created_at)",
            "CREATE INDEX idx_files_space_dek ON files (space_id, file_seq)",
            """
            CREATE TABLE members (
                space_id uuid NOT NULL CONSTRAINT members_space_id_fkey REFERENCES spaces (id) ON DELETE CASCADE,
                seq integer NOT NULL,
                prev_hash bytea,
                entry_hash bytea NOT NULL,
                payload bytea NOT NULL,
                created_at timestamptz NOT NULL DEFAULT now(),
                CONSTRAINT members_pkey PRIMARY KEY (space_id, seq)
            )
            """,
            """
            CREATE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                NEW.updated_at = now();
                RETURN NEW;
            END
            $$
            """,
            """
            CREATE TRIGGER spaces_updated_at BEFORE UPDATE ON spaces
                FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()
            """,
        ],
        down: [
            "DROP TRIGGER spaces_updated_at ON spaces",
            "DROP FUNCTION update_updated_at_column()",
            "DROP TABLE members",
            "DROP TABLE files",
            "DROP TABLE records",
            "DROP TABLE spaces",
        ]
    )

    static let revocations = Migration(
        version: 2, name: "revocations",
        up: [
            """
            CREATE TABLE revocations (
                space_id uuid NOT NULL CONSTRAINT revocations_space_id_fkey REFERENCES spaces (id) ON DELETE CASCADE,
                ucan_cid text NOT NULL,
                revoked_by text NOT NULL,
                revoked_at timestamptz NOT NULL DEFAULT now(),
                CONSTRAINT revocations_space_id_ucan_cid_key UNIQUE (space_id, ucan_cid)
            )
            """
        ],
        down: ["DROP TABLE revocations"]
    )

    static let invitations = Migration(
        version: 3, name: "invitations",
        up: Self.createRecipientInvitations,
        down: ["DROP TABLE invitations"]
    )

    /// Invitations between two hashed people, as they were from version 3 to 6.
    static let createRecipientInvitations = [
        """
        CREATE TABLE invitations (
            id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT invitations_pkey PRIMARY KEY,
            recipient_hash char(64) NOT NULL,
            sender_hash char(64) NOT NULL,
            payload bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL
        )
        """,
        "CREATE INDEX idx_invitations_recipient ON invitations (recipient_hash, created_at DESC)",
        "CREATE INDEX idx_invitations_sender ON invitations (sender_hash, created_at DESC)",
        "CREATE INDEX idx_invitations_expires_at ON invitations (expires_at)",
    ]

    static let addWrappedDEK = Migration(
        version: 4, name: "add_wrapped_dek",
        up: ["ALTER TABLE records ADD COLUMN wrapped_dek bytea"],
        down: ["ALTER TABLE records DROP COLUMN wrapped_dek"]
    )

    static let filesRecordID = Migration(
        version: 5, name: "files_record_id",
        up: [
            "ALTER TABLE files ADD COLUMN record_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'",
            "ALTER TABLE files ALTER COLUMN record_id DROP DEFAULT",
            "ALTER TABLE files ADD CONSTRAINT files_record_fk FOREIGN KEY (record_id) REFERENCES records (id)",
            "CREATE INDEX idx_files_record_id ON files (record_id)",
        ],
        down: [
            "DROP INDEX idx_files_record_id",
            "ALTER TABLE files DROP CONSTRAINT files_record_fk",
            "ALTER TABLE files DROP COLUMN record_id",
        ]
    )
}
