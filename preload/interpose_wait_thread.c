/* SPDX-License-Identifier: MIT */
/*
 * Waits for other threads: to end, or to come to a barrier.  To join a thread that has
 * ended already is no wait, nor is it one to come last to a barrier.
 *
 * Context: as the real functions.
 */
#include "interpose_lock.h"

static enum contention_end end_of_barrier(int result)
{
	return result == 0 ? CONTENTION_ACQUIRED : CONTENTION_NO_WAIT;
}

#define DEFINE_JOIN(name, parameters, arguments, is_fit)                                          \
	DEFINE_CONTENDED(name, CPROF_WAIT_JOIN, thread, contention_end_of, parameters, arguments) \
	static NOINLINE int watched_##name parameters                                             \
	{                                                                                         \
		bool has_joined = is_fit && real.pthread_tryjoin_np(thread, out_result) == 0;     \
		return has_joined ? 0 : contended_##name arguments;                               \
	}                                                                                         \
	DEFINE_WATCHED(name, parameters, arguments)

DEFINE_JOIN(pthread_join, (pthread_t thread, void **out_result), (thread, out_result), true)
DEFINE_JOIN(pthread_timedjoin_np, (pthread_t thread, void **out_result, const struct timespec *deadline),
	    (thread, out_result, deadline), true)
DEFINE_JOIN(pthread_clockjoin_np,
	    (pthread_t thread, void **out_result, clockid_t clock, const struct timespec *deadline),
	    (thread, out_result, clock, deadline), interpose_lock_has_clock(clock))

DEFINE_CONTENDED(thrd_join, CPROF_WAIT_JOIN, thread, interpose_lock_end_of_c11,
		 (thrd_t thread, int *out_result), (thread, out_result))

static NOINLINE int watched_thrd_join(thrd_t thread, int *out_result)
{
	void *result;
	if (real.pthread_tryjoin_np(thread, &result) != 0)
		return contended_thrd_join(thread, out_result);
	if (out_result)
		*out_result = (int)(intptr_t)result;
	return thrd_success;
}

DEFINE_WATCHED(thrd_join, (thrd_t thread, int *out_result), (thread, out_result))

/* glibc tells the thread that came last so (2.25 and on): it wakes the others. */
static NOINLINE int watched_pthread_barrier_wait(pthread_barrier_t *barrier)
{
	const void *function = (const void *)(uintptr_t)real.pthread_barrier_wait;
	struct contention_wait wait;
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	contention_wait_begin(&wait, CPROF_WAIT_BARRIER, barrier, function, &regs);
	int result = real.pthread_barrier_wait(barrier);
	contention_wait_end(&wait, end_of_barrier(result));
	if (result == PTHREAD_BARRIER_SERIAL_THREAD && wait.is_watched && trace_is_on()) {
		const struct contention_wake wake = {
			.what = CPROF_WAIT_BARRIER, .object = barrier, .time_ns = wait.start_ns};
		contention_wake_record(&wake, function, &regs);
	}
	return result;
}

DEFINE_WATCHED(pthread_barrier_wait, (pthread_barrier_t * barrier), (barrier))
