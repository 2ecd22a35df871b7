/* SPDX-License-Identifier: MIT */
/*
 * Everything that a process does about itself after it was loaded: a forked child's
 * beginning, and any process's end.
 *
 * Context: any (async-signal-safe).
 */
#include "process.h"

#include <errno.h>
#include <time.h>

#include "config.h"
#include "contention.h"
#include "control.h"
#include "cpu_timer.h"
#include "flight_slow.h"
#include "interpose_malloc.h"
#include "label_table.h"
#include "module_rows.h"
#include "modules.h"
#include "revive.h"
#include "segment.h"
#include "segment_file.h"
#include "session.h"
#include "sys.h"
#include "thread.h"
#include "trace.h"
#include "unwind.h"

/* Before there is a page that fork wipes: nothing can fork before this image was loaded. */
static atomic_u32 early_words[3];

atomic_u32 *process_word = early_words;

atomic_u32 process_early_allocations;

/* Of the process that registered; written by it before it is RECORDING. */
static uint32_t registered_pid;
static bool is_first;
static bool has_collector;

TOGETHER atomic_u32 process_is_confined;

void process_forbid_syscalls(void)
{
	store_relaxed(&process_is_confined, UINT32_C(1)); /* read by this process's own later calls */
	unwind_forbid_syscalls();
}

void process_set_registered(uint32_t pid, bool first, bool collected)
{
	registered_pid = pid;
	is_first = first;
	has_collector = collected;
}

bool process_has_collector(void)
{
	return has_collector;
}

bool process_is_self(void)
{
	return (uint32_t)sys_call0(SYS_getpid) == registered_pid;
}

bool process_is_vfork_child(void)
{
	if (!process_may_call())
		return false;
	if (process_is_recording())
		return !process_is_self();
	uint32_t forked = load_relaxed(process_word + 2); /* noted by the only thread there was */
	return forked != 0 && forked != (uint32_t)sys_call0(SYS_getpid);
}

/*
 * A forked child's first recording: it gets a segment of its own, at the same address,
 * and registers.  May run in a signal handler.
 */
static COLD bool begin_forked_child(void)
{
	uint32_t expected = PROCESS_UNKNOWN;
	/* It would be taken for its parent, which nobody would hear of then. */
	if (process_is_vfork_child())
		return false;
	if (!cas_acq_rel(process_word, &expected, (uint32_t)PROCESS_STARTING))
		return expected == PROCESS_RECORDING;
	uint32_t pid = (uint32_t)sys_call0(SYS_getpid);
	bool may_follow = config.follow && process_may_call();
	struct label_table_copy labels = {.bytes = NULL};
	uint64_t tasks = load_relaxed(&segment_control()->trace_tasks); /* only this thread is here */
	if (may_follow)
		label_table_keep(&labels);
	revive_inherit();
	int fd = may_follow ? segment_create(pid) : -1;
	if (fd < 0) {
		label_table_drop(&labels);
		cpu_timer_stop();
		contention_turn_off();
		trace_turn_off();
		store_release(process_word, (uint32_t)PROCESS_OFF);
		return false;
	}
	thread_forget();
	if (!label_table_restore(&labels))
		thread_tls.labels = 0;
	label_table_drop(&labels);
	modules_forget();
	heap_probe_forget();
	contention_forget();
	flight_slow_forget();
	control_fill(pid, false, 1); /* its clock began at the fork */
	/* Not shared yet.  The ids of tasks that it inherited stay theirs. */
	store_relaxed(&segment_control()->trace_tasks, tasks);
	contention_follow_segment();
	trace_follow_segment();
	process_set_registered(pid, false, revive_register(fd, pid, false, SESSION_FIRST_TIME) == 0);
	(void)sys_call1(SYS_close, fd);
	store_release(process_word, (uint32_t)PROCESS_RECORDING); /* the segment is complete */
	return true;
}

bool process_ensure_recording(void)
{
	/* Acquire: pairs with the releases that make it RECORDING. */
	uint32_t state = load_acquire(process_word);
	if (likely(state == PROCESS_RECORDING))
		return true;
	if (state != PROCESS_UNKNOWN)
		return false;
	if (process_word == early_words) {
		process_load();
		return process_is_recording();
	}
	return begin_forked_child();
}

/* The words behind the state word, wiped with it. */

void process_set_forked(void)
{
	store_relaxed(process_word + 2, (uint32_t)sys_call0(SYS_getpid)); /* for this thread, the only one */
}

void process_set_armed(void)
{
	store_relaxed(process_word + 1, UINT32_C(1)); /* for this thread, in this process */
}

bool process_is_armed(void)
{
	return load_relaxed(process_word + 1) != 0; /* as above */
}

bool process_may_record(void)
{
	uint32_t state = load_acquire(process_word); /* as above */
	return state == PROCESS_RECORDING || (state == PROCESS_UNKNOWN && process_word != early_words);
}

void process_before_confinement(void)
{
	struct guard guard;
	/* A process that was never loaded or is off has nothing to register. */
	if (process_word == early_words || !guard_enter(&guard))
		return;
	/* What this thread's samples need system calls for is had now: slot, timer, randomness. */
	(void)thread_random();
	module_rows_keep_executable();
	guard_leave(&guard);
}

static bool has_samples(void)
{
	/* Relaxed: this process's own records, and it is about to end. */
	const struct cprof_control *control = segment_control();
	if (load_relaxed(&control->trace_asked) & CPROF_TRACE_STREAM)
		return true; /* a trace to be finished, if only an empty one */
	if (load_relaxed(&control->flight_requested) != load_relaxed(&control->flights_done))
		return true; /* a window to be saved */
	uint32_t used = load_relaxed(&control->threads_used);
	for (uint32_t i = 0; i < used && i < segment.geometry.thread_count; i++)
		if (load_relaxed(&segment_thread(i)->head) != 0)
			return true;
	return load_relaxed(&control->total_levels_used) != 0;
}

void process_register_again(int segment_fd)
{
	if (revive_register(segment_fd, registered_pid, is_first, SESSION_AGAIN) == 0)
		has_collector = true;
}

/* Whether somebody has, or now got, what this process recorded; the first process waits for its files. */
static bool is_collected(void)
{
	if (has_collector && session_is_served() &&
	    (!is_first || session_finish(config.exit_wait_ns) != -ESRCH))
		return true;
	if (revive_at_end(registered_pid, is_first) != 0)
		return false;
	return !is_first || session_finish(config.exit_wait_ns) != -ESRCH;
}

void process_finish(void)
{
	if (!process_is_recording() || !process_may_call() || !process_is_self())
		return;
	struct cprof_control *control = segment_control();
	/* Release: before final_requested. */
	store_release(&control->cpu_clock_ns, control_clock_ns(CLOCK_PROCESS_CPUTIME_ID));
	if (has_samples() && !is_collected())
		segment_file_save();
}
