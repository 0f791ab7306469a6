/// The tables of docs/contract/storage.md §2 with the types of §11: a baseline, as they are after migration 13 (architecture
/// W5), and steps from there.
///
/// Apart from the types it differs from PostgreSQL in this: indexes end in the column that breaks ties of a pull, so that
/// reading in pull order needs no sort; large columns stand last, because SQLite reads a row from its front; ids and flags
/// are checked, because SQLite would store anything.
enum Schema {
    /// Versions that the baseline stands for, with the names of docs/contract/storage.md §3.
    static let baselineNames: [(version: Int, name: String)] = [
        (1, "initial"), (2, "revocations"), (3, "invitations"), (4, "add_wrapped_dek"), (5, "files_record_id"),
        (6, "privacy_phase1"), (7, "mailbox_invitations"), (8, "ephemeral_rate_limits"), (9, "rewrap_epoch"),
        (10, "unified_cursor"), (11, "federation_keys"), (12, "federation_key_lifecycle"), (13, "records_space_key"),
    ]

    /// What came after the baseline, in order.
    static let steps: [(version: Int, name: String, statements: [String])] = [
        (
            14, "file_deletions",
            [
                // Numbers are not used twice: who is done with an entry must not remove another.
                """
                CREATE TABLE file_deletions (
                    id INTEGER PRIMARY KEY AUTOINCREMENT,
                    space_id BLOB NOT NULL CHECK (length(space_id) = 16),
                    file_id BLOB NOT NULL CHECK (length(file_id) = 16),
                    due_at INTEGER NOT NULL,
                    attempts INTEGER NOT NULL DEFAULT 0
                )
                """,
                "CREATE INDEX idx_file_deletions_due_at ON file_deletions (due_at, id)",
                """
                CREATE TRIGGER files_queue_deletion AFTER DELETE ON files BEGIN
                    INSERT INTO file_deletions (space_id, file_id, due_at) VALUES (OLD.space_id, OLD.id, 0);
                END
                """,
            ]
        )
    ]

    static let names = Self.baselineNames + Self.steps.map { ($0.version, $0.name) }

    static let baselineVersion = 13

    static let version = Self.baselineVersion + Self.steps.count

    static let versionTable = """
        CREATE TABLE less_sync_migrations (
            version INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            applied_at INTEGER NOT NULL
        )
        """

    static let baseline = [
        """
        CREATE TABLE spaces (
            id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
            client_id TEXT NOT NULL,
            root_public_key BLOB,
            key_generation INTEGER NOT NULL DEFAULT 1,
            min_key_generation INTEGER NOT NULL DEFAULT 1,
            metadata_version INTEGER NOT NULL DEFAULT 0,
            cursor INTEGER NOT NULL DEFAULT 0,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            rewrap_epoch INTEGER,
            home_server TEXT
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE records (
            space_id BLOB NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            id BLOB NOT NULL CHECK (length(id) = 16),
            cursor INTEGER NOT NULL,
            deleted INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
            wrapped_dek BLOB,
            blob BLOB,
            PRIMARY KEY (space_id, id)
        )
        """,
        "CREATE INDEX idx_records_sync ON records (space_id, cursor, id)",
        """
        CREATE TABLE files (
            space_id BLOB NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            id BLOB NOT NULL CHECK (length(id) = 16),
            size INTEGER NOT NULL,
            wrapped_dek BLOB NOT NULL,
            record_id BLOB NOT NULL,
            cursor INTEGER NOT NULL DEFAULT 0,
            deleted INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
            PRIMARY KEY (space_id, id),
            CONSTRAINT files_record_fk FOREIGN KEY (space_id, record_id) REFERENCES records (space_id, id),
            CONSTRAINT files_not_deleted_check CHECK (deleted OR (size >= 0 AND length(wrapped_dek) = 44))
        )
        """,
        "CREATE INDEX idx_files_record_id ON files (space_id, record_id)",
        "CREATE INDEX idx_files_space_cursor ON files (space_id, cursor, id)",
        """
        CREATE TABLE members (
            space_id BLOB NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            chain_seq INTEGER NOT NULL,
            prev_hash BLOB,
            entry_hash BLOB NOT NULL,
            payload BLOB NOT NULL,
            cursor INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (space_id, chain_seq)
        )
        """,
        "CREATE INDEX idx_members_cursor ON members (space_id, cursor, chain_seq)",
        """
        CREATE TABLE revocations (
            space_id BLOB NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            ucan_cid TEXT NOT NULL,
            UNIQUE (space_id, ucan_cid)
        )
        """,
        """
        CREATE TABLE invitations (
            id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
            mailbox_id TEXT NOT NULL CHECK (length(mailbox_id) <= 64),
            payload BLOB NOT NULL,
            created_at INTEGER NOT NULL,
            expires_at INTEGER NOT NULL
        )
        """,
        "CREATE INDEX idx_invitations_mailbox ON invitations (mailbox_id, created_at DESC)",
        "CREATE INDEX idx_invitations_expires_at ON invitations (expires_at)",
        """
        CREATE TABLE rate_limit_actions (
            action TEXT NOT NULL CHECK (length(action) <= 32),
            actor_hash TEXT NOT NULL CHECK (length(actor_hash) <= 64),
            created_at INTEGER NOT NULL
        )
        """,
        "CREATE INDEX idx_rate_limit_actions_lookup ON rate_limit_actions (action, actor_hash, created_at)",
        """
        CREATE TABLE federation_signing_keys (
            kid TEXT NOT NULL PRIMARY KEY,
            private_key BLOB NOT NULL,
            public_key BLOB NOT NULL,
            created_at INTEGER NOT NULL,
            is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
            is_primary INTEGER NOT NULL DEFAULT 0 CHECK (is_primary IN (0, 1)),
            deactivated_at INTEGER
        )
        """,
        """
        CREATE UNIQUE INDEX federation_signing_keys_single_primary_idx
        ON federation_signing_keys (is_primary) WHERE is_primary
        """,
    ]
}
