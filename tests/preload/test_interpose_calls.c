/* SPDX-License-Identifier: MIT */
/* Calls that block, as a trace sees them: while they do, and when it is over. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "contention.h"
#include "own_segment.h"
#include "own_ticks.h"
#include "trace.h"

/* As interpose_calls.c defines them for tests. */
ssize_t cprof_test_read(int fd, void *bytes, size_t count);
int cprof_test_poll(void *fds, unsigned long count, int timeout_ms);
int cprof_test_clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
			       struct timespec *out_left);
int cprof_test_pause(void);
int cprof_test_sigwait(const sigset_t *set, int *out_number);
int cprof_test_sigwaitinfo(const sigset_t *set, siginfo_t *out_info);
int cprof_test_sigtimedwait(const sigset_t *set, siginfo_t *out_info, const struct timespec *timeout);

static int ends[2]; /* of a pipe */

static void open_segment(void)
{
	own_segment_open_traced(64 << 10);
	store_relaxed(&segment_control()->tick_rate, own_ticks_rate());
	cr_assert_eq(pipe(ends), 0);
}

TestSuite(interpose_calls, .init = open_segment, .timeout = 60);

/* The last event of a kind that this thread's trace has; NULL: none. */
static const struct cprof_event *last_of(enum cprof_event_kind kind)
{
	const struct cprof_trace_chunk *chunk = segment_trace_chunk(0);
	const struct cprof_event *last = NULL;
	for (uint32_t e = 0; e < load_acquire(&chunk->used); e++)
		if (cprof_event_kind_of(load_acquire(&chunk->events[e].head)) == kind)
			last = &chunk->events[e];
	return last;
}

static const struct cprof_event *last_wait(void)
{
	const struct cprof_event *last = last_of(CPROF_EVENT_WAIT);
	if (last)
		cr_expect_geq(last->a, CONTENTION_CALL_NS_MIN);
	return last;
}

static void expect_wait(enum cprof_wait what, uint32_t flags, uint64_t object)
{
	const struct cprof_event *wait = last_wait();
	cr_assert_not_null(wait);
	uint32_t head = load_acquire(&wait->head);
	cr_expect_eq(cprof_event_what_of(head), what);
	cr_expect_eq(cprof_event_flags_of(head), flags);
	cr_expect_eq(wait->b, object);
	cr_expect_neq(wait->stack, 0);
}

/* Until the thread with this slot shows a wait, and a little longer. */
static void await_shown(struct cprof_thread *slot, uint32_t what)
{
	while (load_acquire(&slot->waiting.what) != what)
		usleep(100);
	usleep(1000);
}

static void *write_when_awaited(void *slot)
{
	struct cprof_thread *reader = slot;
	await_shown(reader, CPROF_WAIT_READ);
	cr_expect_eq(load_relaxed(&reader->waiting.object), (uint64_t)ends[0]);
	cr_expect_eq(write(ends[1], "answer", 6), 6);
	return NULL;
}

static struct cprof_thread *own_slot(void)
{
	struct guard guard;
	cr_assert(guard_enter(&guard));
	guard_leave(&guard);
	return guard.slot;
}

Test(interpose_calls, a_read_is_shown_while_it_waits_and_told_at_its_end)
{
	char bytes[16];
	pthread_t writer;
	struct cprof_thread *slot = own_slot();
	pthread_create(&writer, NULL, write_when_awaited, slot);
	errno = 77;
	cr_expect_eq(cprof_test_read(ends[0], bytes, sizeof bytes), 6);
	cr_expect_eq(memcmp(bytes, "answer", 6), 0);
	cr_expect_eq(errno, 77);
	pthread_join(writer, NULL);
	expect_wait(CPROF_WAIT_READ, 0, (uint64_t)ends[0]);
	cr_expect_eq(load_relaxed(&slot->waiting.what), CPROF_WAIT_NONE);
}

/* A wait of 2 ms, of a thread that had made many calls that did not wait; its begin is right. */
static void expect_only_the_wait(void)
{
	struct pollfd fds = {.fd = ends[0], .events = POLLIN};
	char c;
	for (int i = 0; i < 1000; i++)
		cr_expect_eq(cprof_test_read(-1, &c, 1), -1);
	uint64_t before = real_monotonic_ns();
	cr_expect_eq(cprof_test_poll(&fds, 1, 2), 0);
	uint64_t after = real_monotonic_ns();
	expect_wait(CPROF_WAIT_POLL, CPROF_EVENT_GAVE_UP, 1);
	const struct cprof_event *wait = last_wait();
	cr_expect_geq(wait->a, UINT64_C(2000000));
	cr_expect_leq(wait->time_ns, after);
	/* What is late: see tick_clock.h; a counter's rate is known to 1 in 1000 here. */
	cr_expect_geq(wait->time_ns - wait->a + UINT64_C(50000), before);
}

Test(interpose_calls, of_many_calls_the_one_that_waits_is_told)
{
	expect_only_the_wait();
}

Test(interpose_calls, so_it_is_where_nobody_knows_the_counters_rate)
{
	store_relaxed(&segment_control()->tick_rate, UINT64_C(0));
	expect_only_the_wait();
}

Test(interpose_calls, so_it_is_when_the_rate_goes_and_comes)
{
	uint64_t rate = load_relaxed(&segment_control()->tick_rate);
	expect_only_the_wait();
	store_relaxed(&segment_control()->tick_rate, UINT64_C(0));
	expect_only_the_wait();
	store_relaxed(&segment_control()->tick_rate, rate);
	expect_only_the_wait();
}

Test(interpose_calls, a_timeout_is_a_wait_in_vain)
{
	struct pollfd fds = {.fd = ends[0], .events = POLLIN};
	cr_expect_eq(cprof_test_poll(&fds, 1, 2), 0);
	expect_wait(CPROF_WAIT_POLL, CPROF_EVENT_GAVE_UP, 1);
}

static void on_signal(int number)
{
	(void)number;
}

struct interruption {
	pthread_t thread;
	enum cprof_wait what; /* in which it is to be */
};

static void *interrupt(void *argument)
{
	const struct interruption *interruption = argument;
	await_shown(segment_thread(0), interruption->what);
	pthread_kill(interruption->thread, SIGUSR2);
	return NULL;
}

Test(interpose_calls, a_signal_ends_a_sleep_in_vain_and_a_pause_as_it_should)
{
	const struct timespec long_time = {.tv_sec = 1000};
	struct interruption interruption = {pthread_self(), CPROF_WAIT_SLEEP};
	pthread_t other;
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGUSR2, &action, NULL);
	cr_assert_eq(own_slot(), segment_thread(0));
	pthread_create(&other, NULL, interrupt, &interruption);
	cr_expect_eq(cprof_test_clock_nanosleep(CLOCK_MONOTONIC, 0, &long_time, NULL), EINTR);
	pthread_join(other, NULL);
	expect_wait(CPROF_WAIT_SLEEP, CPROF_EVENT_GAVE_UP, 0);
	interruption.what = CPROF_WAIT_SIGNAL;
	pthread_create(&other, NULL, interrupt, &interruption);
	cr_expect_eq(cprof_test_pause(), -1);
	cr_expect_eq(errno, EINTR);
	pthread_join(other, NULL);
	expect_wait(CPROF_WAIT_SIGNAL, 0, 0);
	cr_expect_null(last_of(CPROF_EVENT_SIGNAL_TAKEN), "nobody knows what ended a pause");
}

static void expect_taken(int number, uint32_t sender)
{
	const struct cprof_event *taken = last_of(CPROF_EVENT_SIGNAL_TAKEN);
	cr_assert_not_null(taken);
	cr_expect_eq(cprof_event_what_of(load_acquire(&taken->head)), number);
	cr_expect_eq(taken->a, sender);
	cr_expect_eq(taken->b, (uint64_t)pthread_self());
	cr_expect_neq(taken->stack, 0);
}

Test(interpose_calls, who_waits_for_a_signal_tells_which_it_took)
{
	struct interruption interruption = {pthread_self(), CPROF_WAIT_SIGNAL};
	pthread_t other;
	sigset_t set;
	siginfo_t info;
	int number = 0;
	const struct timespec short_time = {.tv_nsec = 2000000};
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	cr_assert_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	cr_assert_eq(own_slot(), segment_thread(0));
	pthread_create(&other, NULL, interrupt, &interruption);
	cr_expect_eq(cprof_test_sigwait(&set, &number), 0);
	cr_expect_eq(number, SIGUSR2);
	pthread_join(other, NULL);
	expect_wait(CPROF_WAIT_SIGNAL, 0, 0);
	expect_taken(SIGUSR2, 0);
	const struct cprof_event *taken = last_of(CPROF_EVENT_SIGNAL_TAKEN);
	cr_expect_leq(taken->time_ns, last_wait()->time_ns);
	cr_expect_geq(taken->time_ns, last_wait()->time_ns - last_wait()->a);
	raise(SIGUSR2); /* does not wait, but takes */
	cr_expect_eq(cprof_test_sigwaitinfo(&set, &info), SIGUSR2);
	expect_taken(SIGUSR2, (uint32_t)getpid());
	taken = last_of(CPROF_EVENT_SIGNAL_TAKEN);
	errno = 0;
	cr_expect_eq(cprof_test_sigtimedwait(&set, NULL, &short_time), -1);
	cr_expect_eq(errno, EAGAIN);
	expect_wait(CPROF_WAIT_SIGNAL, CPROF_EVENT_GAVE_UP, 0);
	cr_expect_eq(last_of(CPROF_EVENT_SIGNAL_TAKEN), taken);
}

static void call_on_signal(int number)
{
	char c;
	(void)number;
	cr_expect_eq(cprof_test_read(-1, &c, 1), -1);
	cr_expect_eq(load_relaxed(&segment_thread(0)->waiting.what), CPROF_WAIT_SIGNAL);
}

Test(interpose_calls, a_wait_is_shown_again_after_a_call_in_a_handler)
{
	struct interruption interruption = {pthread_self(), CPROF_WAIT_SIGNAL};
	pthread_t other;
	struct sigaction action = {.sa_handler = call_on_signal};
	sigaction(SIGUSR2, &action, NULL);
	cr_assert_eq(own_slot(), segment_thread(0));
	pthread_create(&other, NULL, interrupt, &interruption);
	cr_expect_eq(cprof_test_pause(), -1);
	pthread_join(other, NULL);
	expect_wait(CPROF_WAIT_SIGNAL, 0, 0);
	cr_expect_eq(load_relaxed(&segment_thread(0)->waiting.what), CPROF_WAIT_NONE);
}

Test(interpose_calls, without_a_trace_nothing_is_told)
{
	struct pollfd fds = {.fd = ends[0], .events = POLLIN};
	store_relaxed(&segment_control()->trace, UINT32_C(0));
	cr_expect_eq(cprof_test_poll(&fds, 1, 2), 0);
	cr_expect_null(last_wait());
	cr_expect_eq(load_relaxed(&segment_control()->trace_claims), 0);
}

/* What is left in the middle of a call is not shown as going on for ever. */
static void *be_cancelled(void *unused)
{
	char c;
	(void)unused;
	(void)!cprof_test_read(ends[0], &c, 1);
	return NULL;
}

Test(interpose_calls, a_call_that_was_left_is_not_shown_in_the_next)
{
	pthread_t thread;
	struct cprof_thread *slot = segment_thread(0);
	pthread_create(&thread, NULL, be_cancelled, NULL);
	await_shown(slot, CPROF_WAIT_READ);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	/* Without the trampoline nobody tells of its end; the thread's next wait would take it away. */
	cr_expect_eq(load_relaxed(&slot->waiting.what), CPROF_WAIT_READ);
	contention_thread_ends(slot);
	cr_expect_eq(load_relaxed(&slot->waiting.what), CPROF_WAIT_NONE);
}
