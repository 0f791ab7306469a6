#include "cepoll.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BATCH_MAX = 64 };

int cepoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int cepoll_set(int epoll, int fd, uint32_t events, int is_registered) {
    struct epoll_event event = {0};
    if (events & CEPOLL_READABLE) event.events |= EPOLLIN;
    if (events & CEPOLL_WRITABLE) event.events |= EPOLLOUT;
    event.data.fd = fd;
    return epoll_ctl(epoll, is_registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
}

int cepoll_remove(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

int cepoll_wait(int epoll, cepoll_event *events, int capacity, int timeout_ms) {
    struct epoll_event ready[BATCH_MAX];
    int count = epoll_wait(epoll, ready, capacity < BATCH_MAX ? capacity : BATCH_MAX, timeout_ms);
    if (count < 0) return errno == EINTR ? 0 : -1;
    for (int i = 0; i < count; i++) {
        events[i].fd = ready[i].data.fd;
        events[i].events = 0;
        if (ready[i].events & EPOLLIN) events[i].events |= CEPOLL_READABLE;
        if (ready[i].events & EPOLLOUT) events[i].events |= CEPOLL_WRITABLE;
        if (ready[i].events & (EPOLLERR | EPOLLHUP)) events[i].events |= CEPOLL_BROKEN;
    }
    return count;
}

int cepoll_eventfd_create(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int cepoll_eventfd_signal(int fd) {
    uint64_t one = 1;
    return write(fd, &one, sizeof one) == sizeof one || errno == EAGAIN ? 0 : -1;
}

int cepoll_eventfd_drain(int fd) {
    uint64_t count;
    return read(fd, &count, sizeof count) == sizeof count || errno == EAGAIN ? 0 : -1;
}
