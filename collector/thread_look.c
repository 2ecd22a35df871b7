/* SPDX-License-Identifier: MIT */
/*
 * What is read of a sleeping thread counts only if it slept all the time: its system
 * call and its count of context switches are compared before and after its stack was
 * copied.  The stack is unwound from the copy.
 *
 * Context: see thread_look.h.
 */
#include "thread_look.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "blocking_calls.h"
#include "thread_published.h"

#define ATTEMPTS 3
/* After a stop: until the thread sleeps in the same call again. */
#define SETTLE_ATTEMPTS 20
#define SETTLE_PAUSE_NS 100000
/* A wait's functions of libc need less stack than this. */
#define PUBLISHED_DEPTH_MAX 65536u

/* ---- the thread's slot -------------------------------------------------------------- */

/*
 * The slot of a thread, by its tid as the process sees it; NULL if it has none.  Threads
 * that were started one after the other mostly have slots one after the other.
 */
static const struct cprof_thread *find_slot(struct thread_look *look, uint32_t tid)
{
	const struct segment_reader *segment = look->segment;
	if (!segment || tid == 0)
		return NULL;
	/* Relaxed: a thread that sleeps has long written what it says. */
	uint32_t used = load_relaxed(&segment_reader_control(segment)->threads_used);
	if (used > segment->geometry.thread_count)
		used = segment->geometry.thread_count;
	for (uint32_t i = 0; i < used; i++) {
		uint32_t index = (look->next_slot + i) % used;
		const struct cprof_thread *slot = segment_reader_thread(segment, index);
		/* Acquire: pairs with the release of LIVE, which publishes tid. */
		if (load_acquire(&slot->state) != CPROF_THREAD_LIVE || load_relaxed(&slot->tid) != tid)
			continue;
		look->next_slot = index + 1;
		return slot;
	}
	return NULL;
}

/*
 * Whether the thread sleeps in the very wait that it published, and not in a handler
 * that interrupted it or in something that the waiting function does besides.
 */
static bool is_in_published(const struct thread_reading *reading, const struct thread_published *wait)
{
	/* How far from the object's address its futex word may be. */
	uint64_t extent = wait->what == CPROF_WAIT_JOIN ? 4096 : 64;
	const struct thread_call *call = &reading->call;
	return call->kind == THREAD_CALL_INSIDE && call->number == SYS_futex && call->sp < wait->sp &&
	       wait->sp - call->sp < PUBLISHED_DEPTH_MAX && call->arguments[0] >= wait->object &&
	       call->arguments[0] - wait->object < extent;
}

/* The same for a thread that spins. */
static bool is_spinning(const struct thread_published *wait, uint64_t sp)
{
	return wait->what == CPROF_WAIT_SPIN && sp < wait->sp && wait->sp - sp < PUBLISHED_DEPTH_MAX;
}

static void take_published(struct thread_reading *reading, const struct thread_published *wait)
{
	reading->wait = wait->what;
	reading->object = wait->object;
	reading->since_ns = wait->since_ns;
}

/* ---- one thread --------------------------------------------------------------------- */

static void walk(struct thread_look *look, struct thread_reading *reading, const struct remote_regs *regs)
{
	uint32_t skipped = reading->frame_count;
	uint32_t count;
	reading->end = remote_unwind_walk(look->unwind, regs, reading->frames + skipped,
					  reading->is_exact + skipped, THREAD_FRAMES_MAX - skipped, &count);
	reading->frame_count = skipped + count;
	reading->error = 0;
}

static void walk_published(struct thread_look *look, struct thread_reading *reading,
			   const struct thread_published *wait)
{
	struct remote_regs regs = {.pc_is_return_address = true};
	remote_regs_set(&regs, REMOTE_REG_PC, wait->pc);
	remote_regs_set(&regs, REMOTE_REG_SP, wait->sp);
	remote_regs_set(&regs, REMOTE_REG_FP, wait->fp);
	reading->how = THREAD_HOW_PUBLISHED;
	take_published(reading, wait);
	reading->frames[0] = wait->function;
	reading->is_exact[0] = true;
	reading->frame_count = 1;
	walk(look, reading, &regs);
}

static void walk_read(struct thread_look *look, struct thread_reading *reading)
{
	struct remote_regs regs = {0};
	remote_regs_set(&regs, REMOTE_REG_PC, reading->call.pc);
	remote_regs_set(&regs, REMOTE_REG_SP, reading->call.sp);
	reading->how = THREAD_HOW_READ;
	reading->frame_count = 0;
	walk(look, reading, &regs);
}

/* Whether the thread may be stopped at all: not one that somebody else has stopped or traces. */
static bool may_stop(const struct thread_state *state)
{
	return state->tracer_pid == 0 && (state->state == 'R' || state->state == 'S');
}

/* 0 or -errno; what there was of a stack stays then. */
static int read_stopped(struct thread_look *look, struct thread_reading *reading,
			const struct cprof_thread *slot)
{
	struct thread_stop stop;
	struct thread_published wait;
	if (!may_stop(&reading->state))
		return -EBUSY;
	int error = thread_stop_copy(reading->tid, &reading->call, look->stack, sizeof look->stack,
				     &look->late, &stop);
	if (error)
		return error;
	remote_memory_set_copy(look->memory, stop.regs.values[REMOTE_REG_SP], look->stack, stop.stack_bytes);
	reading->how = THREAD_HOW_STOPPED;
	reading->frame_count = 0;
	walk(look, reading, &stop.regs);
	if (slot && thread_published_read(slot, &wait) && is_spinning(&wait, stop.regs.values[REMOTE_REG_SP]))
		take_published(reading, &wait);
	return 0;
}

bool thread_look_is_unchanged(pid_t pid, const struct thread_reading *reading)
{
	struct thread_call call;
	struct thread_state state;
	return thread_state_read_call(pid, reading->tid, &call) == 0 &&
	       thread_state_is_same_call(&call, &reading->call) &&
	       thread_state_read_status(pid, reading->tid, &state) == 0 &&
	       state.switches == reading->state.switches;
}

/*
 * Our own stop made the thread leave its sleep for a moment: from here on counts
 * whether it leaves it again.
 */
static void settle(const struct thread_look *look, struct thread_reading *reading)
{
	struct timespec pause = {.tv_nsec = SETTLE_PAUSE_NS};
	for (int attempt = 0; attempt < SETTLE_ATTEMPTS; attempt++) {
		struct thread_state state;
		struct thread_call call;
		if (thread_state_read_status(look->pid, reading->tid, &state) ||
		    thread_state_read_call(look->pid, reading->tid, &call))
			return;
		if (thread_state_is_same_call(&call, &reading->call)) {
			reading->state.switches = state.switches;
			return;
		}
		nanosleep(&pause, NULL);
	}
}

/* A sleeping thread: 0, -EAGAIN if it moved meanwhile, or another error. */
static int read_asleep(struct thread_look *look, struct thread_reading *reading,
		       const struct cprof_thread *slot)
{
	struct thread_published wait = {0};
	bool is_published = slot && thread_published_read(slot, &wait) && is_in_published(reading, &wait);
	ssize_t copied = remote_memory_copy(look->pid, reading->call.sp, look->stack, sizeof look->stack);
	if (!thread_look_is_unchanged(look->pid, reading))
		return -EAGAIN;
	if (copied <= 0)
		return copied ? (int)copied : -EFAULT;
	remote_memory_set_copy(look->memory, reading->call.sp, look->stack, (size_t)copied);
	if (is_published)
		walk_published(look, reading, &wait);
	else /* before a stop, from which it would count anew */
		reading->since_ns = thread_since_read(&look->clocks, look->pid, reading->tid);
	if (!is_published || reading->end != REMOTE_END_FIRST_FRAME)
		walk_read(look, reading);
	if (reading->end == REMOTE_END_UNKNOWN_REGISTER &&
	    blocking_calls_restarts(look->pid, &reading->call) && read_stopped(look, reading, slot) == 0)
		settle(look, reading);
	return 0;
}

/* The thread may not be looked into: what it published of a wait is known all the same. */
static void take_unverified(struct thread_look *look, struct thread_reading *reading,
			    const struct cprof_thread *slot)
{
	struct thread_published wait;
	struct thread_state state;
	if (!slot || reading->state.state != 'S' || !thread_published_read(slot, &wait) ||
	    thread_state_read_status(look->pid, reading->tid, &state) ||
	    state.switches != reading->state.switches)
		return;
	take_published(reading, &wait);
	reading->how = THREAD_HOW_PUBLISHED;
	reading->frames[0] = wait.function;
	reading->is_exact[0] = true;
	reading->frames[1] = wait.pc;
	reading->is_exact[1] = false;
	reading->frame_count = 2;
	reading->end = REMOTE_END_MEMORY;
}

void thread_look_at(struct thread_look *look, struct thread_reading *reading)
{
	const struct cprof_thread *slot = NULL;
	reading->error = -EAGAIN;
	for (int attempt = 0; attempt < ATTEMPTS && reading->error == -EAGAIN; attempt++) {
		int error = thread_state_read_status(look->pid, reading->tid, &reading->state);
		if (error) {
			reading->error = error;
			return;
		}
		reading->has_state = true;
		if (!slot)
			slot = find_slot(look, reading->state.tid);
		reading->created_by = slot ? load_relaxed(&slot->created_by) : 0; /* ordered by LIVE */
		if (strchr("ZXx", reading->state.state)) {
			reading->error = -ESRCH;
			return;
		}
		error = thread_state_read_call(look->pid, reading->tid, &reading->call);
		if (error) {
			reading->error = error;
			thread_state_read_wchan(look->pid, reading->tid, reading->wchan);
			take_unverified(look, reading, slot);
			return;
		}
		reading->has_call = true;
		if (reading->call.kind == THREAD_CALL_RUNNING)
			break;
		reading->error = read_asleep(look, reading, slot);
	}
	if (reading->error == -EAGAIN) {
		/* It runs, or sleeps too shortly to be read: as good as running. */
		reading->call.kind = THREAD_CALL_RUNNING;
		reading->error = read_stopped(look, reading, slot);
	}
}
