/* Steps the statement of a pull over the largest space of a database of less-sync, again and again, and looks at every column.
 *
 *     sqlite-scan DATABASE SECONDS ROWS
 *
 * Prints the rows a second. A pass that does not find ROWS rows is an error. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static sqlite3 *db;

static void check(int isRight, const char *what) {
    if (isRight) return;
    fprintf(stderr, "sqlite-scan: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 4) return 64;
    double seconds = atof(argv[2]);
    long expected = atol(argv[3]);
    check(sqlite3_open(argv[1], &db) == SQLITE_OK, "open");
    sqlite3_stmt *largest, *scan;
    check(
        sqlite3_prepare_v2(
            db, "SELECT space_id FROM records GROUP BY space_id ORDER BY count(*) DESC LIMIT 1", -1, &largest, NULL)
            == SQLITE_OK,
        "prepare");
    check(
        sqlite3_prepare_v2(
            db,
            "SELECT cursor, id, deleted, wrapped_dek, blob FROM records "
            "WHERE space_id = ?1 AND (cursor, id) > (?2, ?3) AND deleted = 0 ORDER BY cursor, id",
            -1, &scan, NULL)
            == SQLITE_OK,
        "prepare");
    check(sqlite3_step(largest) == SQLITE_ROW, "no space");
    sqlite3_bind_blob(scan, 1, sqlite3_column_blob(largest, 0), 16, SQLITE_TRANSIENT);
    sqlite3_bind_int64(scan, 2, 0);
    sqlite3_bind_zeroblob(scan, 3, 16);
    sqlite3_finalize(largest);

    double start = now(), end = start;
    long rows = 0;
    unsigned long sum = 0;
    for (; end - start < seconds; end = now()) {
        long pass = 0;
        while (sqlite3_step(scan) == SQLITE_ROW) {
            pass++;
            sum += sqlite3_column_int64(scan, 0) + sqlite3_column_int(scan, 2);
            for (int column = 1; column < 5; column += column == 1 ? 2 : 1) {
                const unsigned char *bytes = sqlite3_column_blob(scan, column);
                int count = sqlite3_column_bytes(scan, column);
                if (count > 0) sum += bytes[0] + bytes[count - 1];
            }
        }
        sqlite3_reset(scan);
        check(pass == expected, "another number of rows");
        rows += pass;
    }
    printf("%.3f\n", rows / (end - start));
    return sum == 0;
}
