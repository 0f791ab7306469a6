/// The server-side function that writes a batch of pushes in one statement (architecture W1, W2).
///
/// PostgreSQL reads the records with a snapshot of its own for each statement of the function, taken after the first
/// one has locked the space rows: what a conflict check sees can no longer change. It is replaced at every start, under
/// the migration lock, and is no numbered migration.
enum PushFunction {
    /// What became of a push, as `status` says it.
    enum Status: Int32 {
        case accepted = 0
        case conflict = 1
        case spaceNotFound = 2
        case keyGenerationStale = 3
    }

    /// Parameters, all arrays. For each push, in arrival order: `uuid` space, `int4` key generation (0 or less: not
    /// checked), `text` creator or null, `int4` number of changes. For each change: `int4` number of its push from 1,
    /// `uuid` record, `bytea` blob or null, `int8` expected cursor, `bytea` DEK or null. No record of a space may be
    /// named twice in a batch.
    ///
    /// One row of arrays. For each push: `int4` status, `int8` cursor, `int4` key generation, `int4` rewrap epoch or
    /// null. For each removed file: `int4` number of the push, `uuid` file.
    static let call = """
        SELECT statuses, cursors, key_generations, rewrap_epochs, removed_pushes, removed_files
        FROM less_sync_push($1::uuid[], $2::int4[], $3::text[], $4::int4[],
                            $5::int4[], $6::uuid[], $7::bytea[], $8::int8[], $9::bytea[])
        """

    /// Removes the function, whatever its parameters are. It is not an error that there is none.
    static let drop = """
        DO $$
        DECLARE
            found regprocedure;
        BEGIN
            FOR found IN SELECT oid FROM pg_proc
                WHERE proname = 'less_sync_push' AND pronamespace = to_regnamespace(quote_ident(current_schema()))
            LOOP
                EXECUTE format('DROP FUNCTION %s', found);
            END LOOP;
        END
        $$
        """

    /// Replaces the function.
    ///
    /// Its plans are made once for each connection, perhaps while the tables are empty, and must still be right when they
    /// are not: every table is read through an index, `OFFSET 0` keeps a lookup for each change from becoming a join over
    /// the whole table, and removed files are named by their place in it.
    static let create = """
        CREATE OR REPLACE FUNCTION less_sync_push(
            push_spaces uuid[], push_generations int4[], push_creators text[], push_counts int4[],
            change_pushes int4[], change_ids uuid[], change_blobs bytea[], change_expected int8[], change_deks bytea[],
            OUT statuses int4[], OUT cursors int8[], OUT key_generations int4[], OUT rewrap_epochs int4[],
            OUT removed_pushes int4[], OUT removed_files uuid[]
        ) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $function$
        DECLARE
            space_ids uuid[];
            space_cursors int8[];
            space_generations int4[];
            space_minimums int4[];
            space_rewraps int4[];
            changed_ids uuid[];
            changed_cursors int8[];
            missing_ids uuid[];
            missing_creators text[];
            removed_rows tid[];
        BEGIN
            FOR attempt IN 1..2 LOOP
                -- In id order, so that batches of several spaces cannot wait for each other in a circle.
                WITH locked AS (
                    SELECT s.id, s.cursor, s.key_generation, s.rewrap_epoch,
                           CASE WHEN s.root_public_key IS NULL THEN 0 ELSE s.min_key_generation END AS minimum
                    FROM spaces s WHERE s.id = ANY (push_spaces) ORDER BY s.id FOR UPDATE
                )
                SELECT array_agg(l.id), array_agg(l.cursor), array_agg(l.key_generation), array_agg(l.minimum),
                       array_agg(l.rewrap_epoch)
                INTO space_ids, space_cursors, space_generations, space_minimums, space_rewraps FROM locked l;
                EXIT WHEN attempt = 2;

                -- A push that conflicts, as one that expects a record of a missing space does, creates nothing.
                SELECT array_agg(m.space), array_agg(m.creator) INTO missing_ids, missing_creators FROM (
                    SELECT DISTINCT ON (p.space) p.space, p.creator
                    FROM unnest(push_spaces, push_creators) WITH ORDINALITY AS p (space, creator, number)
                    WHERE p.creator IS NOT NULL AND p.space <> ALL (coalesce(space_ids, '{}'))
                        AND p.number NOT IN (
                            SELECT c.push FROM unnest(change_pushes, change_expected) AS c (push, expected)
                            WHERE c.expected <> 0)
                    ORDER BY p.space, p.number
                ) AS m;
                EXIT WHEN missing_ids IS NULL;
                INSERT INTO spaces (id, client_id)
                SELECT m.space, m.creator FROM unnest(missing_ids, missing_creators) AS m (space, creator)
                ON CONFLICT (id) DO NOTHING;
            END LOOP;

            WITH conflicting AS MATERIALIZED (
                SELECT DISTINCT c.push
                FROM unnest(change_pushes, change_ids, change_expected) AS c (push, id, expected)
                LEFT JOIN LATERAL (
                    SELECT r.cursor FROM records r WHERE r.space_id = push_spaces[c.push] AND r.id = c.id OFFSET 0
                ) AS r ON true
                WHERE r.cursor IS DISTINCT FROM nullif(c.expected, 0)
            ), checked AS (
                SELECT p.number, p.space, p.changes, s.cursor, s.generation, s.rewrap,
                       CASE WHEN s.id IS NULL THEN CASE WHEN p.creator IS NULL THEN 2 ELSE 1 END
                            WHEN p.changes = 0 THEN 0
                            WHEN p.generation > 0 AND p.generation < s.minimum THEN 3
                            WHEN p.number IN (SELECT push FROM conflicting) THEN 1
                            ELSE 0 END AS status
                FROM unnest(push_spaces, push_generations, push_creators, push_counts) WITH ORDINALITY
                    AS p (space, generation, creator, changes, number)
                LEFT JOIN unnest(space_ids, space_cursors, space_generations, space_minimums, space_rewraps)
                    AS s (id, cursor, generation, minimum, rewrap) ON s.id = p.space
            ), judged AS (
                SELECT k.number, k.space, k.status, k.changes, k.generation, k.rewrap,
                       k.cursor + count(*) FILTER (WHERE k.status = 0 AND k.changes > 0)
                           OVER (PARTITION BY k.space ORDER BY k.number) AS cursor
                FROM checked k
            )
            SELECT array_agg(j.status ORDER BY j.number), array_agg(j.cursor ORDER BY j.number),
                   array_agg(j.generation ORDER BY j.number), array_agg(j.rewrap ORDER BY j.number)
            INTO statuses, cursors, key_generations, rewrap_epochs FROM judged j;

            INSERT INTO records (space_id, id, blob, cursor, wrapped_dek, deleted)
            SELECT push_spaces[c.push], c.id, c.blob, cursors[c.push],
                   CASE WHEN c.blob IS NOT NULL THEN c.dek END, c.blob IS NULL
            FROM unnest(change_pushes, change_ids, change_blobs, change_deks) AS c (push, id, blob, dek)
            WHERE statuses[c.push] = 0
            ON CONFLICT (space_id, id) DO UPDATE
            SET blob = excluded.blob, cursor = excluded.cursor, wrapped_dek = excluded.wrapped_dek,
                deleted = excluded.deleted;

            IF array_position(change_blobs, NULL) IS NOT NULL THEN
                SELECT array_agg(c.push), array_agg(f.id), array_agg(f.row)
                INTO removed_pushes, removed_files, removed_rows
                FROM unnest(change_pushes, change_ids, change_blobs) AS c (push, id, blob)
                CROSS JOIN LATERAL (
                    SELECT f.id, f.ctid AS row FROM files f
                    WHERE f.space_id = push_spaces[c.push] AND f.record_id = c.id OFFSET 0 FOR UPDATE
                ) AS f
                WHERE c.blob IS NULL AND statuses[c.push] = 0;
                -- They are locked: each is still where it was found.
                DELETE FROM files f WHERE f.ctid = ANY (removed_rows);
            END IF;

            SELECT array_agg(t.space), array_agg(t.cursor) INTO changed_ids, changed_cursors FROM (
                SELECT p.space, max(p.cursor) AS cursor
                FROM unnest(push_spaces, cursors, statuses, push_counts) AS p (space, cursor, status, changes)
                WHERE p.status = 0 AND p.changes > 0 GROUP BY p.space
            ) AS t;
            UPDATE spaces s SET cursor = changed_cursors[array_position(changed_ids, s.id)] WHERE s.id = ANY (changed_ids);
        END
        $function$
        """
}
