"""The transaction of a push, for pgbench: as separate statements, and as one call of the server's own function."""

SPACE = "('00000000-0000-4000-8000-' || lpad(:space::text, 12, '0'))::uuid"

CREATE_SPACES = (
    "INSERT INTO spaces (id, client_id) "
    "SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'peer' FROM generate_series(1, {0}) n "
    "ON CONFLICT DO NOTHING"
)


def _choice(spaces, own):
    return "\\set space :client_id + 1" if own else f"\\set space random(1, {spaces})"


def call(spaces, own=False):
    """One record, whose blob (the variable `blob`) crosses the connection."""
    return f"""{_choice(spaces, own)}
SELECT statuses, cursors, key_generations, rewrap_epochs, removed_pushes, removed_files FROM less_sync_push(
    ARRAY[{SPACE}], ARRAY[0], ARRAY['peer'], ARRAY[1], ARRAY[1], ARRAY[gen_random_uuid()], ARRAY[:blob::bytea],
    ARRAY[0::int8], ARRAY[NULL::bytea]);
"""


def statements(spaces, records=1, own=False):
    """One round trip for each statement, as a program would write it that takes no trouble."""
    record = f"""\\set record random(1, 9223372036854775806)
SELECT cursor FROM records WHERE space_id = {SPACE} AND id = md5(:record::text)::uuid;
INSERT INTO records (space_id, id, blob, cursor, wrapped_dek, deleted)
VALUES ({SPACE}, md5(:record::text)::uuid, :blob::bytea, :cursor::int8, NULL, false);
"""
    return f"""{_choice(spaces, own)}
BEGIN;
SELECT cursor + 1 AS cursor, key_generation, rewrap_epoch FROM spaces WHERE id = {SPACE} FOR UPDATE \\gset
{record * records}UPDATE spaces SET cursor = :cursor::int8 WHERE id = {SPACE};
COMMIT;
"""


def array_call(spaces, records, blob):
    """Many records. pgbench cannot pass so long a parameter: the blobs are part of the prepared statement, and do not cross the
    connection, which is to its advantage."""
    return f"""{_choice(spaces, own=True)}
SELECT statuses, cursors, key_generations, rewrap_epochs, removed_pushes, removed_files FROM less_sync_push(
    ARRAY[{SPACE}], ARRAY[0], ARRAY['peer'], ARRAY[{records}], array_fill(1, ARRAY[{records}]),
    (SELECT array_agg(gen_random_uuid()) FROM generate_series(1, {records})),
    array_fill('{blob}'::bytea, ARRAY[{records}]), array_fill(0::int8, ARRAY[{records}]),
    array_fill(NULL::bytea, ARRAY[{records}]));
"""
