/* SPDX-License-Identifier: MIT */
/*
 * Stops a thread for as long as it takes to copy its registers and its stack, some
 * 50 us (ptrace).  For threads that run, and for those in system calls that the kernel
 * restarts.
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
};

/*
 * Stops the thread, copies, and lets it go on.  `assumed`: the call that the decision
 * was made for; a thread that is found elsewhere is let go at once (-EAGAIN).
 * Other errors: -EPERM (also where somebody else traces it), -ESRCH, -ETIMEDOUT: it
 * did not come to a stop in time; it is then in `late`.
 */
int thread_stop_copy(pid_t tid, const struct thread_call *assumed, unsigned char *stack, size_t capacity,
		     struct thread_stop_late *late, struct thread_stop *out_stop);

/* Lets go of those that have stopped meanwhile. */
void thread_stop_release_late(struct thread_stop_late *late);

#endif
