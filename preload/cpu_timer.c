/* SPDX-License-Identifier: MIT */
/*
 * Expiries that the kernel merged (its clock tick bounds the resolution) come as the
 * signal's overrun, and count: the sum of the weights is the CPU time, whatever the
 * tick.
 *
 * Context: any (async-signal-safe).
 */
#include "cpu_timer.h"

#include <time.h>

#include "config.h"
#include "process.h"
#include "record.h"
#include "segment.h"
#include "sys.h"
#include "thread.h"
#include "unwind.h"

#define NS_PER_S UINT64_C(1000000000)

/* What a sample may need below the handler's first frame, a cold rule and a new module included. */
#define SAMPLE_STACK_BYTES 2560

/* Marks our timers' signals: no program passes this address. */
static const char timer_mark;

/* struct itimerspec as the kernel reads it. */
struct timer_spec {
	struct timespec interval;
	struct timespec first;
};

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

/* Creates and starts a timer; -errno or 0. */
static long start(uint32_t hz)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	event.sigev_value.sival_ptr = (void *)(uintptr_t)&timer_mark;
	event._sigev_un._tid = (pid_t)thread_id();
	int id;
	long error = sys_call3(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, (long)&event, (long)&id);
	if (error)
		return error;
	uint64_t period_ns = NS_PER_S / hz;
	struct timer_spec spec = {
		.interval = timespec_of(period_ns),
		.first = timespec_of(1 + thread_random() % period_ns),
	};
	error = sys_call4(SYS_timer_settime, id, 0, (long)&spec, 0);
	if (error) {
		(void)sys_call1(SYS_timer_delete, id);
		return error;
	}
	thread_tls.timer_id = id;
	thread_tls.has_timer = true;
	return 0;
}

void cpu_timer_start(void)
{
	uint32_t hz = load_relaxed(&segment_control()->cpu_hz); /* any recent value will do */
	if (hz == 0 || thread_tls.has_timer)
		return;
	if (!process_may_call() || thread_tls.sigprof_is_programs || start(hz) != 0)
		segment_count(CPROF_THREADS_NO_TIMER, 1);
}

void cpu_timer_start_in_child(void)
{
	thread_tls.has_timer = false;
	/* Without one the child's first heap sample registers it, and tries again. */
	if (config.cpu_hz && !thread_tls.sigprof_is_programs && start(config.cpu_hz) == 0)
		process_set_armed();
}

void cpu_timer_stop(void)
{
	if (!thread_tls.has_timer)
		return;
	thread_tls.has_timer = false;
	if (process_may_call())
		(void)sys_call1(SYS_timer_delete, thread_tls.timer_id);
}

bool cpu_timer_is_ours(const siginfo_t *info)
{
	return info->si_code == SI_TIMER && info->si_value.sival_ptr == (const void *)&timer_mark;
}

/*
 * Whether the stack that the handler runs on has room for an unwinding.  Alternate
 * stacks can be tiny (MINSIGSTKSZ leaves less than 1 KB behind the kernel's own frame),
 * and what lies below them is not ours.
 */
static bool has_room(const ucontext_t *context)
{
	uint64_t low = (uint64_t)(uintptr_t)context->uc_stack.ss_sp;
	uint64_t here = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	bool is_on_it = here >= low && here - low < context->uc_stack.ss_size;
	return !is_on_it || here - low >= SAMPLE_STACK_BYTES;
}

void cpu_timer_sample(const siginfo_t *info, const ucontext_t *context)
{
	struct guard guard;
	bool can_unwind = has_room(context);
	/* A forked child's first sample, which registers it, waits for a better moment. */
	if ((!can_unwind && !process_is_recording()) || !guard_enter(&guard))
		return;
	if (!can_unwind)
		guard.frames = NULL;                            /* counted as a sample without a stack */
	uint32_t hz = load_relaxed(&segment_control()->cpu_hz); /* as in cpu_timer_start() */
	uint64_t expiries = 1 + (uint64_t)(info->si_overrun > 0 ? info->si_overrun : 0);
	if (hz) {
		struct unwind_regs regs;
		unwind_regs_from_context(context, &regs);
		uint32_t stack = record_stack(&guard, &regs);
		record_add(&guard, stack, CPROF_KIND_CPU, expiries * CPROF_WEIGHT_ONE,
			   expiries * (NS_PER_S / hz));
	}
	guard_leave(&guard);
}
