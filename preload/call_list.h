/* SPDX-License-Identifier: MIT */
/*
 * The calls of the C library that may block and are watched while a trace is taken: one
 * list for the table of next functions (real.h) and for what is interposed
 * (interpose_calls.c).
 *
 * What the headers declare with types of their own, or as macros, stands here with
 * pointers to void: to the calling convention they are the same.
 *
 * Calls that libc makes for itself (stdio's write, system()'s waitpid) do not come by
 * the symbols, and are not seen.
 *
 * Context: any.
 */
#ifndef PRELOAD_CALL_LIST_H
#define PRELOAD_CALL_LIST_H

#include <signal.h>
#include <stddef.h>
#include <sys/select.h>
#include <sys/types.h>
#include <time.h>

/*
 * X(return type, name, parameters, arguments, what, object, end)
 *
 * object: as enum cprof_wait says.  end: what the result tells.  COUNT: below 0 it failed;
 * READY: 0 is a timeout as well; ERROR: anything but 0 is a failure; SIGNAL: it always ends
 * by a signal, which is what it waits for.
 *
 * First what servers call all the time: six, for struct real to have them in one cache line.
 */
#define CALL_LIST_OFTEN(X)                                                                                   \
	X(ssize_t, read, (int fd, void *bytes, size_t count), (fd, bytes, count), READ, fd, COUNT)           \
	X(ssize_t, write, (int fd, const void *bytes, size_t count), (fd, bytes, count), WRITE, fd, COUNT)   \
	X(ssize_t, recv, (int fd, void *bytes, size_t count, int flags), (fd, bytes, count, flags), READ,    \
	  fd, COUNT)                                                                                         \
	X(ssize_t, send, (int fd, const void *bytes, size_t count, int flags), (fd, bytes, count, flags),    \
	  WRITE, fd, COUNT)                                                                                  \
	X(int, epoll_wait, (int fd, void *events, int room, int timeout_ms), (fd, events, room, timeout_ms), \
	  POLL, fd, READY)                                                                                   \
	X(int, poll, (void *fds, unsigned long count, int timeout_ms), (fds, count, timeout_ms), POLL,       \
	  count, READY)

#define CALL_LIST_READ(X)                                                                                    \
	X(ssize_t, pread, (int fd, void *bytes, size_t count, off_t at), (fd, bytes, count, at), READ, fd,   \
	  COUNT)                                                                                             \
	X(ssize_t, pread64, (int fd, void *bytes, size_t count, off_t at), (fd, bytes, count, at), READ, fd, \
	  COUNT)                                                                                             \
	X(ssize_t, readv, (int fd, const void *parts, int count), (fd, parts, count), READ, fd, COUNT)       \
	X(ssize_t, preadv, (int fd, const void *parts, int count, off_t at), (fd, parts, count, at), READ,   \
	  fd, COUNT)                                                                                         \
	X(ssize_t, preadv64, (int fd, const void *parts, int count, off_t at), (fd, parts, count, at), READ, \
	  fd, COUNT)                                                                                         \
	X(ssize_t, preadv2, (int fd, const void *parts, int count, off_t at, int flags),                     \
	  (fd, parts, count, at, flags), READ, fd, COUNT)                                                    \
	X(ssize_t, preadv64v2, (int fd, const void *parts, int count, off_t at, int flags),                  \
	  (fd, parts, count, at, flags), READ, fd, COUNT)                                                    \
	X(ssize_t, recvfrom, (int fd, void *bytes, size_t count, int flags, void *from, void *from_bytes),   \
	  (fd, bytes, count, flags, from, from_bytes), READ, fd, COUNT)                                      \
	X(ssize_t, recvmsg, (int fd, void *message, int flags), (fd, message, flags), READ, fd, COUNT)       \
	X(int, recvmmsg, (int fd, void *messages, unsigned int count, int flags, struct timespec *timeout),  \
	  (fd, messages, count, flags, timeout), READ, fd, COUNT)                                            \
	X(ssize_t, __read_chk, (int fd, void *bytes, size_t count, size_t room), (fd, bytes, count, room),   \
	  READ, fd, COUNT)                                                                                   \
	X(ssize_t, __pread_chk, (int fd, void *bytes, size_t count, off_t at, size_t room),                  \
	  (fd, bytes, count, at, room), READ, fd, COUNT)                                                     \
	X(ssize_t, __pread64_chk, (int fd, void *bytes, size_t count, off_t at, size_t room),                \
	  (fd, bytes, count, at, room), READ, fd, COUNT)                                                     \
	X(ssize_t, __recv_chk, (int fd, void *bytes, size_t count, size_t room, int flags),                  \
	  (fd, bytes, count, room, flags), READ, fd, COUNT)                                                  \
	X(ssize_t, __recvfrom_chk,                                                                           \
	  (int fd, void *bytes, size_t count, size_t room, int flags, void *from, void *from_bytes),         \
	  (fd, bytes, count, room, flags, from, from_bytes), READ, fd, COUNT)

#define CALL_LIST_WRITE(X)                                                                                   \
	X(ssize_t, pwrite, (int fd, const void *bytes, size_t count, off_t at), (fd, bytes, count, at),      \
	  WRITE, fd, COUNT)                                                                                  \
	X(ssize_t, pwrite64, (int fd, const void *bytes, size_t count, off_t at), (fd, bytes, count, at),    \
	  WRITE, fd, COUNT)                                                                                  \
	X(ssize_t, writev, (int fd, const void *parts, int count), (fd, parts, count), WRITE, fd, COUNT)     \
	X(ssize_t, pwritev, (int fd, const void *parts, int count, off_t at), (fd, parts, count, at), WRITE, \
	  fd, COUNT)                                                                                         \
	X(ssize_t, pwritev64, (int fd, const void *parts, int count, off_t at), (fd, parts, count, at),      \
	  WRITE, fd, COUNT)                                                                                  \
	X(ssize_t, pwritev2, (int fd, const void *parts, int count, off_t at, int flags),                    \
	  (fd, parts, count, at, flags), WRITE, fd, COUNT)                                                   \
	X(ssize_t, pwritev64v2, (int fd, const void *parts, int count, off_t at, int flags),                 \
	  (fd, parts, count, at, flags), WRITE, fd, COUNT)                                                   \
	X(ssize_t, sendto,                                                                                   \
	  (int fd, const void *bytes, size_t count, int flags, const void *to, unsigned int to_bytes),       \
	  (fd, bytes, count, flags, to, to_bytes), WRITE, fd, COUNT)                                         \
	X(ssize_t, sendmsg, (int fd, const void *message, int flags), (fd, message, flags), WRITE, fd,       \
	  COUNT)                                                                                             \
	X(int, sendmmsg, (int fd, void *messages, unsigned int count, int flags),                            \
	  (fd, messages, count, flags), WRITE, fd, COUNT)

#define CALL_LIST_POLL(X)                                                                                 \
	X(int, ppoll,                                                                                     \
	  (void *fds, unsigned long count, const struct timespec *timeout, const sigset_t *mask),         \
	  (fds, count, timeout, mask), POLL, count, READY)                                                \
	X(int, __poll_chk, (void *fds, unsigned long count, int timeout_ms, size_t room),                 \
	  (fds, count, timeout_ms, room), POLL, count, READY)                                             \
	X(int, __ppoll_chk,                                                                               \
	  (void *fds, unsigned long count, const struct timespec *timeout, const sigset_t *mask,          \
	   size_t room),                                                                                  \
	  (fds, count, timeout, mask, room), POLL, count, READY)                                          \
	X(int, select, (int count, fd_set *in, fd_set *out, fd_set *urgent, struct timeval *timeout),     \
	  (count, in, out, urgent, timeout), POLL, count, READY)                                          \
	X(int, pselect,                                                                                   \
	  (int count, fd_set *in, fd_set *out, fd_set *urgent, const struct timespec *timeout,            \
	   const sigset_t *mask),                                                                         \
	  (count, in, out, urgent, timeout, mask), POLL, count, READY)                                    \
	X(int, epoll_pwait, (int fd, void *events, int room, int timeout_ms, const sigset_t *mask),       \
	  (fd, events, room, timeout_ms, mask), POLL, fd, READY)                                          \
	X(int, accept, (int fd, void *peer, void *peer_bytes), (fd, peer, peer_bytes), ACCEPT, fd, COUNT) \
	X(int, accept4, (int fd, void *peer, void *peer_bytes, int flags), (fd, peer, peer_bytes, flags), \
	  ACCEPT, fd, COUNT)                                                                              \
	X(int, connect, (int fd, const void *to, unsigned int to_bytes), (fd, to, to_bytes), CONNECT, fd, \
	  COUNT)

#define CALL_LIST_SLEEP(X)                                                                                   \
	X(int, nanosleep, (const struct timespec *time, struct timespec *out_left), (time, out_left), SLEEP, \
	  0, COUNT)                                                                                          \
	X(int, clock_nanosleep,                                                                              \
	  (clockid_t clock, int flags, const struct timespec *time, struct timespec *out_left),              \
	  (clock, flags, time, out_left), SLEEP, 0, ERROR)                                                   \
	X(int, usleep, (unsigned int us), (us), SLEEP, 0, COUNT)                                             \
	X(unsigned int, sleep, (unsigned int seconds), (seconds), SLEEP, 0, ERROR)                           \
	X(int, pause, (void), (), SIGNAL, 0, SIGNAL)                                                         \
	X(int, sigsuspend, (const sigset_t *mask), (mask), SIGNAL, 0, SIGNAL)                                \
	X(pid_t, wait, (void *out_status), (out_status), CHILD, -1, COUNT)                                   \
	X(pid_t, wait3, (void *out_status, int flags, void *out_usage), (out_status, flags, out_usage),      \
	  CHILD, -1, COUNT)                                                                                  \
	X(pid_t, wait4, (pid_t pid, void *out_status, int flags, void *out_usage),                           \
	  (pid, out_status, flags, out_usage), CHILD, pid, COUNT)                                            \
	X(pid_t, waitpid, (pid_t pid, void *out_status, int flags), (pid, out_status, flags), CHILD, pid,    \
	  COUNT)                                                                                             \
	X(int, waitid, (unsigned int what, unsigned int id, void *out_info, int flags),                      \
	  (what, id, out_info, flags), CHILD, id, COUNT)

/*
 * Those that take a signal: X(return type, name, parameters, arguments, number, info).  number:
 * of the signal, below 1: none was taken; info: what is known of it, NULL: nothing.
 */
#define CALL_LIST_SIGNAL(X)                                                                                \
	X(int, sigwait, (const sigset_t *set, int *out_number), (set, out_number),                         \
	  result == 0 ? *out_number : 0, NULL)                                                             \
	X(int, sigwaitinfo, (const sigset_t *set, siginfo_t *out_info), (set, out_info), result, out_info) \
	X(int, sigtimedwait, (const sigset_t *set, siginfo_t *out_info, const struct timespec *timeout),   \
	  (set, out_info, timeout), result, out_info)

/* What every libc has. */
#define CALL_LIST_SELDOM(X) CALL_LIST_READ(X) CALL_LIST_WRITE(X) CALL_LIST_POLL(X) CALL_LIST_SLEEP(X)
#define CALL_LIST_TIMED(X) CALL_LIST_OFTEN(X) CALL_LIST_SELDOM(X)
#define CALL_LIST(X) CALL_LIST_TIMED(X) CALL_LIST_SIGNAL(X)

/* Since glibc 2.28 and 2.35. */
#define CALL_LIST_LATE(X)                                                                              \
	X(int, thrd_sleep, (const struct timespec *time, struct timespec *out_left), (time, out_left), \
	  SLEEP, 0, COUNT)                                                                             \
	X(int, epoll_pwait2,                                                                           \
	  (int fd, void *events, int room, const struct timespec *timeout, const sigset_t *mask),      \
	  (fd, events, room, timeout, mask), POLL, fd, READY)

#endif
