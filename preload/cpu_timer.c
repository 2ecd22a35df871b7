/* SPDX-License-Identifier: MIT */
/*
 * Expiries that the kernel merged (its clock tick bounds the resolution) come as the
 * signal's overrun, and count: the sum of the weights is the CPU time, whatever the
 * tick.
 *
 * The rate may be changed at any time.  A thread notices at its next expiry, weighs
 * that with the rate the timer was armed with, and arms it anew.  At rate 0 the timer
 * goes on once per second of CPU time, recording nothing, so that it notices when it
 * is wanted again.
 *
 * A timer of period P whose first expiry comes after u counts P at each expiry.  Just
 * now, `since` after the last one, it has counted P - u - since more than has run: at a
 * fixed moment nothing in the mean.  When a change ends its time, what has run since
 * the last expiry is counted too, and P/2, the mean of P - u, is taken off again: so
 * any number of changes leaves the expectation of the sum where it belongs.
 *
 * The signal cuts no call short that SA_RESTART does not restart: from Linux 5.9 on the kernel looks at
 * the timers on the way out of the call (CONFIG_POSIX_CPU_TIMERS_TASK_WORK), and a timer of CPU time
 * does not expire while its thread sleeps.  Only io_uring looks at them within a call, see
 * uring_wait.h.
 *
 * Context: any (async-signal-safe).
 */
#include "cpu_timer.h"

#include <time.h>

#include "config.h"
#include "cprof_units.h"
#include "process.h"
#include "record.h"
#include "revive.h"
#include "segment.h"
#include "sys.h"
#include "thread.h"
#include "trace.h"
#include "unwind.h"

#define NS_PER_S UINT64_C(1000000000)

/* How often a timer at rest, which records nothing, looks whether it is wanted. */
#define REST_PERIOD_NS NS_PER_S

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

static uint64_t period_of(uint32_t hz)
{
	return hz ? NS_PER_S / hz : REST_PERIOD_NS;
}

/* Starts the timer anew, at a phase of its own; -errno or 0.  `out_before`, if not NULL: what it was. */
static long arm(int id, uint32_t hz, struct timer_spec *out_before)
{
	uint64_t period_ns = period_of(hz);
	struct timer_spec spec = {
		.interval = timespec_of(period_ns),
		.first = timespec_of(1 + thread_random() % period_ns),
	};
	return sys_call4(SYS_timer_settime, id, 0, (long)&spec, (long)out_before);
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
	error = arm(id, hz, NULL);
	if (error) {
		(void)sys_call1(SYS_timer_delete, id);
		return error;
	}
	thread_tls.timer_id = id;
	thread_tls.timer_hz = (uint16_t)hz;
	thread_tls.has_timer = true;
	return 0;
}

/* The rate that is in force; the segment is everybody's, so it may be anything. */
static uint32_t wanted_hz(void)
{
	uint32_t hz = load_relaxed(&segment_control()->cpu_hz); /* any recent value will do */
	return hz <= CPROF_CPU_HZ_MAX ? hz : CPROF_CPU_HZ_MAX;
}

void cpu_timer_start(void)
{
	/* Without a rate at the start nobody handles the signal. */
	if (segment_control()->cpu_hz_at_start == 0 || thread_tls.has_timer)
		return;
	if (!process_may_call() || thread_tls.sigprof_is_programs || start(wanted_hz()) != 0)
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
	if (process_may_call())
		cpu_timer_delete();
	thread_tls.has_timer = false;
}

void cpu_timer_delete(void)
{
	thread_tls.has_timer = false;
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
	return !is_on_it || here - low >= RECORD_STACK_BYTES;
}

/* Arms the timer at a new rate, if it may be.  Returns the nanoseconds that are to be added, see above. */
static COLD int64_t change_rate(uint32_t hz)
{
	uint64_t period_ns = period_of(thread_tls.timer_hz);
	struct timer_spec before = {.first = {0}};
	if (!process_may_call() || arm(thread_tls.timer_id, hz, &before) != 0)
		return 0;
	thread_tls.timer_hz = (uint16_t)hz;
	uint64_t left_ns = (uint64_t)before.first.tv_sec * NS_PER_S + (uint64_t)before.first.tv_nsec;
	uint64_t since_ns = left_ns <= period_ns ? period_ns - left_ns : 0;
	return (int64_t)since_ns - (int64_t)(period_ns / 2);
}

void cpu_timer_sample(const siginfo_t *info, const ucontext_t *context)
{
	struct guard guard;
	bool can_unwind = has_room(context);
	/* A forked child's first sample, which registers it, waits for a better moment. */
	if ((!can_unwind && !process_is_recording()) || !guard_enter(&guard))
		return;
	if (!can_unwind)
		guard.frames = NULL; /* counted as a sample without a stack */
	uint32_t hz = thread_tls.timer_hz;
	uint32_t next_hz = wanted_hz();
	uint64_t expiries = 1 + (uint64_t)(info->si_overrun > 0 ? info->si_overrun : 0);
	uint64_t period_ns = period_of(hz);
	uint64_t ns = expiries * period_ns;
	uint64_t weight = expiries * CPROF_WEIGHT_ONE;
	if (unlikely(next_hz != hz)) {
		ns += (uint64_t)change_rate(next_hz);
		weight = ns * CPROF_WEIGHT_ONE / period_ns;
	}
	/* Where no timer may be armed any more, it goes on as it was, and what is off is not recorded. */
	bool is_off = hz == 0 || (next_hz == 0 && thread_tls.timer_hz == hz);
	if (likely(!is_off)) {
		struct unwind_regs regs;
		unwind_regs_from_context(context, &regs);
		uint32_t stack = record_stack(&guard, &regs);
		record_add(&guard, stack, CPROF_KIND_CPU, weight, ns);
		if (trace_is_on())
			trace_event(&guard,
				    &(struct trace_event){.kind = CPROF_EVENT_CPU, .stack = stack, .a = ns});
	}
	guard_leave(&guard);
	revive_watch();
}
