extension Migration {
    static let unifiedCursor = Migration(
        version: 10, name: "unified_cursor",
        up: [
            "ALTER TABLE spaces RENAME COLUMN sequence TO cursor",
            "ALTER TABLE records RENAME COLUMN sequence TO cursor",
            "ALTER TABLE records ADD COLUMN deleted boolean NOT NULL DEFAULT false",
            "UPDATE records SET deleted = true WHERE blob IS NULL",
            "DROP INDEX idx_records_sync",
            "CREATE INDEX idx_records_sync ON records (space_id, cursor, id)",
            "ALTER TABLE members RENAME COLUMN seq TO chain_seq",
            "ALTER TABLE members ADD COLUMN cursor bigint NOT NULL DEFAULT 0",
            "CREATE INDEX idx_members_cursor ON members (space_id, cursor)",
            "ALTER TABLE files DROP CONSTRAINT files_size_positive",
            "ALTER TABLE files DROP CONSTRAINT files_wrapped_dek_length",
            "DROP INDEX idx_files_space_dek",
            "DROP INDEX idx_files_space_id",
            "ALTER TABLE files DROP COLUMN file_seq",
            "ALTER TABLE files ADD COLUMN cursor bigint NOT NULL DEFAULT 0",
            "ALTER TABLE files ADD COLUMN deleted boolean NOT NULL DEFAULT false",
            """
            ALTER TABLE files ADD CONSTRAINT files_not_deleted_check CHECK (
                deleted OR (size >= 0 AND wrapped_dek IS NOT NULL AND octet_length(wrapped_dek) = 44))
            """,
            "CREATE INDEX idx_files_space_cursor ON files (space_id, cursor)",
        ],
        down: [
            // They would break the checks below.
            "DELETE FROM files WHERE deleted",
            "DROP INDEX idx_files_space_cursor",
            "ALTER TABLE files DROP CONSTRAINT files_not_deleted_check",
            "ALTER TABLE files DROP COLUMN deleted",
            "ALTER TABLE files DROP COLUMN cursor",
            "ALTER TABLE files ADD COLUMN file_seq bigserial NOT NULL",
            "CREATE INDEX idx_files_space_id ON files (space_id)",
            "CREATE INDEX idx_files_space_dek ON files (space_id, file_seq)",
            "ALTER TABLE files ADD CONSTRAINT files_wrapped_dek_length CHECK (octet_length(wrapped_dek) = 44)",
            "ALTER TABLE files ADD CONSTRAINT files_size_positive CHECK (size >= 0)",
            "DROP INDEX idx_members_cursor",
            "ALTER TABLE members DROP COLUMN cursor",
            "ALTER TABLE members RENAME COLUMN chain_seq TO seq",
            "DROP INDEX idx_records_sync",
            "ALTER TABLE records DROP COLUMN deleted",
            "ALTER TABLE records RENAME COLUMN cursor TO sequence",
            "CREATE INDEX idx_records_sync ON records (space_id, sequence, id)",
            "ALTER TABLE spaces RENAME COLUMN cursor TO sequence",
        ]
    )

    static let federationKeys = Migration(
        version: 11, name: "federation_keys",
        up: [
            """
            CREATE TABLE federation_signing_keys (
                kid text NOT NULL CONSTRAINT federation_signing_keys_pkey PRIMARY KEY,
                private_key bytea NOT NULL,
                public_key bytea NOT NULL,
                created_at timestamptz NOT NULL DEFAULT now()
            )
            """,
            "ALTER TABLE spaces ADD COLUMN home_server text",
        ],
        down: [
            "ALTER TABLE spaces DROP COLUMN home_server",
            "DROP TABLE federation_signing_keys",
        ]
    )

    static let federationKeyLifecycle = Migration(
        version: 12, name: "federation_key_lifecycle",
        up: [
            "ALTER TABLE federation_signing_keys ADD COLUMN is_active boolean NOT NULL DEFAULT true",
            "ALTER TABLE federation_signing_keys ADD COLUMN is_primary boolean NOT NULL DEFAULT false",
            "ALTER TABLE federation_signing_keys ADD COLUMN deactivated_at timestamptz",
            """
            UPDATE federation_signing_keys SET is_primary = true
            WHERE kid = (SELECT kid FROM federation_signing_keys ORDER BY created_at, kid LIMIT 1)
            """,
            """
            CREATE UNIQUE INDEX federation_signing_keys_single_primary_idx ON federation_signing_keys (is_primary)
                WHERE is_primary
            """,
        ],
        down: [
            "DROP INDEX federation_signing_keys_single_primary_idx",
            "ALTER TABLE federation_signing_keys DROP COLUMN deactivated_at",
            "ALTER TABLE federation_signing_keys DROP COLUMN is_primary",
            "ALTER TABLE federation_signing_keys DROP COLUMN is_active",
        ]
    )

    /// Record ids belong to their space: no tenant can probe or occupy another's ids (architecture W5).
    static let recordsSpaceKey = Migration(
        version: 13, name: "records_space_key",
        up: [
            "ALTER TABLE files DROP CONSTRAINT files_record_fk",
            "ALTER TABLE records DROP CONSTRAINT records_pkey",
            "ALTER TABLE records ADD CONSTRAINT records_pkey PRIMARY KEY (space_id, id)",
            """
            ALTER TABLE files ADD CONSTRAINT files_record_fk
                FOREIGN KEY (space_id, record_id) REFERENCES records (space_id, id)
            """,
        ],
        down: [
            "ALTER TABLE files DROP CONSTRAINT files_record_fk",
            "ALTER TABLE records DROP CONSTRAINT records_pkey",
            // Fails, and leaves version 13, where one id occurs in two spaces.
            "ALTER TABLE records ADD CONSTRAINT records_pkey PRIMARY KEY (id)",
            "ALTER TABLE files ADD CONSTRAINT files_record_fk FOREIGN KEY (record_id) REFERENCES records (id)",
        ]
    )
}
