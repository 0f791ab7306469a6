/* Sends or fetches bytes over HTTP/1.1 as fast as the server lets it, on connections that stay open.
 *
 *     http-transfer PORT METHOD PATH BYTES CONNECTIONS SECONDS COUNT FIRST [HEADER...]
 *
 * Each request transfers BYTES. "{}" in PATH becomes twelve hexadecimal digits, of FIRST for the first request, then of the
 * numbers after it. Each connection begins no request after SECONDS, or after COUNT of them in all if COUNT is not 0.
 * Prints MB/s, the number of requests and the processor seconds of this process. An answer that is not 200, 201 or 204, or
 * that has another length, is an error. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { bufferBytes = 1 << 18 };

static int port;
static const char *method, *path;
static long bytes, limit;
static double deadline;
static char headers[1 << 16];
static char body[bufferBytes];
static atomic_long next, done;
static long first;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void check(int isRight, const char *what) {
    if (isRight) return;
    fprintf(stderr, "http-transfer: ");
    perror(what);
    exit(1);
}

static void sendAll(int descriptor, const char *data, long count) {
    while (count > 0) {
        ssize_t sent = send(descriptor, data, count, 0);
        check(sent > 0, "send");
        data += sent;
        count -= sent;
    }
}

static void sendRequest(int descriptor, long number) {
    char head[(1 << 16) + 4096];
    const char *mark = strstr(path, "{}");
    int prefix = mark ? (int)(mark - path) : (int)strlen(path);
    char digits[32] = "";
    if (mark) snprintf(digits, sizeof digits, "%012lx", number);
    int isUpload = strcmp(method, "PUT") == 0;
    int count = snprintf(
        head, sizeof head, "%s %.*s%s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: %ld\r\n%s\r\n", method, prefix,
        path, digits, mark ? mark + 2 : "", port, isUpload ? bytes : 0, headers);
    check(count < (int)sizeof head, "request head");
    sendAll(descriptor, head, count);
    for (long left = isUpload ? bytes : 0; left > 0; left -= bufferBytes)
        sendAll(descriptor, body, left < bufferBytes ? left : bufferBytes);
}

static void readAnswer(int descriptor, char *buffer) {
    long have = 0;
    char *end = NULL;
    while (!end) {
        ssize_t got = recv(descriptor, buffer + have, bufferBytes - have, 0);
        check(got > 0, "recv of a head");
        have += got;
        buffer[have] = 0;
        end = strstr(buffer, "\r\n\r\n");
        check(end || have < bufferBytes, "a head without an end");
    }
    int status = atoi(buffer + 9);
    if (status != 200 && status != 201 && status != 204) {
        fprintf(stderr, "http-transfer: %.*s\n", (int)have, buffer);
        exit(1);
    }
    long length = 0;
    for (char *line = buffer; line < end; line = strstr(line, "\r\n") + 2)
        if (strncasecmp(line, "content-length:", 15) == 0) length = atol(line + 15);
    check(strcmp(method, "GET") != 0 || length == bytes, "another length");
    long left = length - (have - (end + 4 - buffer));
    while (left > 0) {
        ssize_t got = recv(descriptor, buffer, left < bufferBytes ? left : bufferBytes, 0);
        check(got > 0, "recv");
        left -= got;
    }
}

static void *transfer(void *unused) {
    (void)unused;
    char *buffer = malloc(bufferBytes + 1);
    check(buffer != NULL, "malloc");
    int descriptor = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (now() < deadline) {
        long number = atomic_fetch_add(&next, 1);
        if (limit > 0 && number - first >= limit) break;
        sendRequest(descriptor, number);
        readAnswer(descriptor, buffer);
        atomic_fetch_add(&done, 1);
    }
    close(descriptor);
    free(buffer);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 9) return 64;
    signal(SIGPIPE, SIG_IGN);
    port = atoi(argv[1]);
    method = argv[2];
    path = argv[3];
    bytes = atol(argv[4]);
    int connections = atoi(argv[5]);
    limit = atol(argv[7]);
    first = atol(argv[8]);
    atomic_store(&next, first);
    for (int i = 9; i < argc; i++) {
        check(strlen(headers) + strlen(argv[i]) + 3 < sizeof headers, "headers");
        strcat(strcat(headers, argv[i]), "\r\n");
    }
    for (int i = 0; i < bufferBytes; i++) body[i] = (char)(i * 31 + (i >> 8));
    double start = now();
    deadline = start + atof(argv[6]);
    pthread_t threads[256];
    if (connections < 1 || connections > 256) return 64;
    for (int i = 0; i < connections; i++) check(pthread_create(&threads[i], NULL, transfer, NULL) == 0, "thread");
    for (int i = 0; i < connections; i++) pthread_join(threads[i], NULL);
    double elapsed = now() - start;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    long requests = atomic_load(&done);
    printf("%.3f %ld %.3f\n", requests * (double)bytes / elapsed / 1e6, requests, cpu);
    return 0;
}
