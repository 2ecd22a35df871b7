/* SPDX-License-Identifier: MIT */
/*
 * Stops a thread for as long as it takes to copy its registers and its stack, some
 * 50 us (ptrace).  For threads that run, and for those in system calls that the kernel
 * restarts.  A call of another kind that a stop ends all the same is made anew: a thread
 * sees no EINTR that is our doing.  What remains: while the main thread is stopped the
 * kernel queues signals without effect that somebody sends to the process (SIGWINCH,
 * SIGURG), and another thread may be woken for them, whose call we do not hold.
 *
 * Context: one thread of a process whose end lets go of whatever it has stopped.
 */
#ifndef COLLECTOR_THREAD_STOP_H
#define COLLECTOR_THREAD_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "remote_regs.h"
#include "thread_state.h"

struct thread_stop {
	struct remote_regs regs;
	size_t stack_bytes; /* copied from regs' sp on */
};

/* Threads that were asked to stop and had not done so in time. */
struct thread_stop_late {
	pid_t tids[64];
	size_t count;
	int64_t patience_ns; /* what "in time" is; 0: so briefly that many of them hold up a dump little */
};

/*
 * Stops the thread, copies, and lets it go on.  `assumed`: the call that the decision was made for; a
 * thread that is found elsewhere is let go at once (-EAGAIN). Other errors: -EBUSY: another thread
 * might notice; -EPERM (also where somebody else traces it), -ESRCH, -ETIMEDOUT: it did not come to a
 * stop in time; it is then in `late`.
 */
int thread_stop_copy(pid_t tid, const struct thread_call *assumed, unsigned char *stack, size_t capacity,
		     struct thread_stop_late *late, struct thread_stop *out_stop);

/* Lets go of those that have stopped meanwhile. */
void thread_stop_release_late(struct thread_stop_late *late);

/*
 * Lets go of all of them, by this moment of CLOCK_MONOTONIC.  What is left then is let
 * go by our end, and a call that its stop has ended may be seen to end.
 */
void thread_stop_await_late(struct thread_stop_late *late, int64_t deadline_ns);

#endif
