#ifndef CEPOLL_H
#define CEPOLL_H

#include <stdint.h>

/// Bits of `events` and of what `cepoll_wait` reports.
enum { CEPOLL_READABLE = 1, CEPOLL_WRITABLE = 2, CEPOLL_BROKEN = 4 };

typedef struct {
    int fd;
    uint32_t events;
} cepoll_event;

/// Each call returns -1 with `errno` set when it fails.
int cepoll_create(void);
int cepoll_set(int epoll, int fd, uint32_t events, int is_registered);
int cepoll_remove(int epoll, int fd);
/// Waits at most `timeout_ms` (-1: for ever) and returns how many of `events` were filled; 0 after a signal.
int cepoll_wait(int epoll, cepoll_event *events, int capacity, int timeout_ms);

int cepoll_eventfd_create(void);
int cepoll_eventfd_signal(int fd);
int cepoll_eventfd_drain(int fd);

#endif
