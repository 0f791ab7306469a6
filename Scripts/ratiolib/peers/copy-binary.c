/* Copies the rows of a pull of the largest space out of a database of less-sync, again and again, in the order of the index.
 *
 *     copy-binary URL SECONDS ROWS
 *
 * Prints the rows a second. A pass that does not find ROWS rows is an error. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static PGconn *connection;

static void check(int isRight, const char *what) {
    if (isRight) return;
    fprintf(stderr, "copy-binary: %s: %s\n", what, PQerrorMessage(connection));
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
    connection = PQconnectdb(argv[1]);
    check(PQstatus(connection) == CONNECTION_OK, "connect");
    PQclear(PQexec(connection, "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off"));
    PGresult *largest =
        PQexec(connection, "SELECT space_id FROM records GROUP BY space_id ORDER BY count(*) DESC LIMIT 1");
    check(PQntuples(largest) == 1, "no space");
    char command[512];
    snprintf(
        command, sizeof command,
        "COPY (SELECT cursor, id, blob, wrapped_dek, deleted FROM records WHERE space_id = '%s' AND cursor > 0 "
        "AND NOT deleted ORDER BY cursor, id) TO STDOUT (FORMAT binary)",
        PQgetvalue(largest, 0, 0));
    PQclear(largest);

    double start = now(), end = start;
    long rows = 0;
    for (; end - start < seconds; end = now()) {
        PGresult *result = PQexec(connection, command);
        check(PQresultStatus(result) == PGRES_COPY_OUT, "copy");
        PQclear(result);
        long messages = 0;
        char *row;
        while (PQgetCopyData(connection, &row, 0) > 0) {
            messages++;
            PQfreemem(row);
        }
        while ((result = PQgetResult(connection)) != NULL) {
            check(PQresultStatus(result) == PGRES_COMMAND_OK, "copy");
            PQclear(result);
        }
        /* The header comes with the first row, the trailer is a message of its own. */
        check(messages - 1 == expected, "another number of rows");
        rows += messages - 1;
    }
    printf("%.3f\n", rows / (end - start));
    return 0;
}
