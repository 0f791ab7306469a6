extension Migration {
    /// Objects that are to be deleted because the rows of their files are gone: a queue that a restart does not empty
    /// (docs/contract/storage.md §6.4, Δ-S7). The trigger fills it, whoever removes a row and however.
    static let fileDeletions = Migration(
        version: 14, name: "file_deletions",
        up: [
            """
            CREATE TABLE file_deletions (
                id bigint NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT file_deletions_pkey PRIMARY KEY,
                space_id uuid NOT NULL,
                file_id uuid NOT NULL,
                due_at timestamptz NOT NULL DEFAULT now(),
                attempts integer NOT NULL DEFAULT 0
            )
            """,
            "CREATE INDEX idx_file_deletions_due_at ON file_deletions (due_at, id)",
            """
            CREATE FUNCTION queue_file_deletion() RETURNS trigger LANGUAGE plpgsql AS $function$
            BEGIN
                INSERT INTO file_deletions (space_id, file_id) VALUES (OLD.space_id, OLD.id);
                RETURN NULL;
            END
            $function$
            """,
            """
            CREATE TRIGGER files_queue_deletion AFTER DELETE ON files
                FOR EACH ROW EXECUTE FUNCTION queue_file_deletion()
            """,
        ],
        down: [
            "DROP TRIGGER files_queue_deletion ON files",
            "DROP FUNCTION queue_file_deletion()",
            "DROP TABLE file_deletions",
        ]
    )
}
