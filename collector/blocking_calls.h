/* SPDX-License-Identifier: MIT */
/*
 * The system calls that threads sleep in: their names, and which of them go on as if
 * nothing had been when a thread is stopped by ptrace in the middle and continued.
 *
 * Context: any; constant tables.
 */
#ifndef COLLECTOR_BLOCKING_CALLS_H
#define COLLECTOR_BLOCKING_CALLS_H

#include <stdbool.h>

#include "thread_state.h"

/* NULL: not one of those that are known to sleep. */
const char *blocking_calls_name(int64_t number);

/*
 * Whether the call is certain to go on: the kernel restarts it by itself, with the
 * time that is left.  Those that end with EINTR instead (epoll_wait, semtimedop,
 * sigtimedwait, sockets with a time limit) or might, are not.
 */
bool blocking_calls_restarts(const struct thread_call *call);

#endif
