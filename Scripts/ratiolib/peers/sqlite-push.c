/* Pushes records to a database of less-sync as one would with SQLite alone: one writer, one transaction for each push, prepared
 * statements, synchronous FULL.
 *
 *     sqlite-push DATABASE SECONDS SPACES BYTES
 *
 * Prints the pushes a second. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static sqlite3 *db;

static void check(int code, int expected, const char *what) {
    if (code == expected) return;
    fprintf(stderr, "sqlite-push: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static sqlite3_stmt *prepare(const char *sql) {
    sqlite3_stmt *statement;
    check(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL), SQLITE_OK, sql);
    return statement;
}

static void run(sqlite3_stmt *statement, const char *what) {
    check(sqlite3_step(statement), SQLITE_DONE, what);
    sqlite3_reset(statement);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 5) return 64;
    double seconds = atof(argv[2]);
    unsigned spaces = atoi(argv[3]);
    int bytes = atoi(argv[4]);
    check(sqlite3_open(argv[1], &db), SQLITE_OK, "open");
    check(
        sqlite3_exec(
            db,
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -65536",
            NULL, NULL, NULL),
        SQLITE_OK, "pragmas");
    sqlite3_stmt *begin = prepare("BEGIN IMMEDIATE");
    sqlite3_stmt *commit = prepare("COMMIT");
    sqlite3_stmt *create = prepare("INSERT INTO spaces (id, client_id, created_at, updated_at) VALUES (?1, 'peer', 0, 0)");
    sqlite3_stmt *space = prepare("SELECT cursor, key_generation, rewrap_epoch FROM spaces WHERE id = ?1");
    sqlite3_stmt *record = prepare("SELECT cursor FROM records WHERE space_id = ?1 AND id = ?2");
    sqlite3_stmt *insert =
        prepare("INSERT INTO records (space_id, id, cursor, deleted, wrapped_dek, blob) VALUES (?1, ?2, ?3, 0, NULL, ?4)");
    sqlite3_stmt *update = prepare("UPDATE spaces SET cursor = ?2, updated_at = ?3 WHERE id = ?1");

    unsigned char(*ids)[16] = calloc(spaces, 16);
    char *blob = malloc(bytes);
    sqlite3_randomness(bytes, blob);
    run(begin, "begin");
    for (unsigned index = 0; index < spaces; index++) {
        sqlite3_randomness(16, ids[index]);
        sqlite3_bind_blob(create, 1, ids[index], 16, SQLITE_STATIC);
        run(create, "create");
    }
    run(commit, "commit");

    double start = now(), end = start;
    long pushes = 0;
    for (; end - start < seconds; end = now(), pushes++) {
        unsigned choice;
        unsigned char id[16];
        sqlite3_randomness(sizeof choice, &choice);
        sqlite3_randomness(16, id);
        unsigned char *chosen = ids[choice % spaces];
        run(begin, "begin");
        sqlite3_bind_blob(space, 1, chosen, 16, SQLITE_STATIC);
        check(sqlite3_step(space), SQLITE_ROW, "space");
        sqlite3_int64 cursor = sqlite3_column_int64(space, 0) + 1;
        sqlite3_reset(space);
        sqlite3_bind_blob(record, 1, chosen, 16, SQLITE_STATIC);
        sqlite3_bind_blob(record, 2, id, 16, SQLITE_STATIC);
        run(record, "record");
        sqlite3_bind_blob(insert, 1, chosen, 16, SQLITE_STATIC);
        sqlite3_bind_blob(insert, 2, id, 16, SQLITE_STATIC);
        sqlite3_bind_int64(insert, 3, cursor);
        sqlite3_bind_blob(insert, 4, blob, bytes, SQLITE_STATIC);
        run(insert, "insert");
        sqlite3_bind_blob(update, 1, chosen, 16, SQLITE_STATIC);
        sqlite3_bind_int64(update, 2, cursor);
        sqlite3_bind_int64(update, 3, (sqlite3_int64)(end * 1e6));
        run(update, "update");
        run(commit, "commit");
    }
    printf("%.3f\n", pushes / (end - start));
    return 0;
}
