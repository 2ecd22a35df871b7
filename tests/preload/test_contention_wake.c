/* SPDX-License-Identifier: MIT */
/*
 * Waits and wakes in a trace: each wait is there with its length, and whoever ended it;
 * nothing that nobody waits for leaves anything, and no profile is touched.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "contention.h"
#include "contention_wake.h"
#include "own_segment.h"
#include "own_ticks.h"
#include "real.h"
#include "shown_wait.h"
#include "trace.h"
#include "wait_counts.h"

long cprof_test_syscall(long number, ...);

static void open_segment(void)
{
	own_segment_open_traced(1 << 20);
	real_resolve_optional();
	wait_counts_learn();
	store_relaxed(&segment_control()->contention, UINT32_C(1));
	contention_follow_segment();
}

TestSuite(contention_wake, .init = open_segment, .timeout = 60);

struct found {
	uint32_t count;
	struct cprof_event last; /* in the order of time */
	uint32_t tid;
};

/* All events of a kind for an object, up to some time. */
static struct found find_until(enum cprof_event_kind kind, enum cprof_wait what, const void *object,
			       uint64_t until_ns)
{
	struct found found = {.count = 0};
	for (uint32_t i = 0; i < segment_control()->trace_chunk_count; i++) {
		const struct cprof_trace_chunk *chunk = segment_trace_chunk(i);
		for (uint32_t e = 0; load_acquire(&chunk->state) && e < load_acquire(&chunk->used); e++) {
			const struct cprof_event *event = &chunk->events[e];
			uint32_t head = load_acquire(&event->head);
			if (cprof_event_kind_of(head) != (uint32_t)kind ||
			    cprof_event_what_of(head) != (uint32_t)what ||
			    event->b != (uint64_t)(uintptr_t)object || event->time_ns > until_ns)
				continue;
			if (event->time_ns >= found.last.time_ns) {
				memcpy(&found.last, event, sizeof found.last);
				found.tid = chunk->tid;
			}
			found.count++;
		}
	}
	return found;
}

static struct found find(enum cprof_event_kind kind, enum cprof_wait what, const void *object)
{
	return find_until(kind, what, object, UINT64_MAX);
}

/* The one wait for the object, and the one wake within it, by the thread `waker`. */
static void expect_pair(enum cprof_wait what, const void *object, uint32_t waker)
{
	struct found wait = find(CPROF_EVENT_WAIT, what, object);
	struct found wake = find(CPROF_EVENT_WAKE, what, object);
	cr_assert_eq(wait.count, 1, "%u waits", wait.count);
	cr_assert_eq(wake.count, 1, "%u wakes", wake.count);
	cr_expect_eq(wake.tid, waker);
	cr_expect_neq(wait.tid, waker);
	cr_expect_leq(wake.last.time_ns, wait.last.time_ns);
	cr_expect_geq(wake.last.time_ns, wait.last.time_ns - wait.last.a);
	cr_expect_eq(cprof_event_flags_of(load_relaxed(&wait.last.head)), 0);
	cr_expect_neq(wait.last.stack, 0);
	cr_expect_neq(wake.last.stack, 0);
}

/* Whatever was shown as waiting sleeps by now, or the pause is made again: no sleeper, no wake. */
static void give_time_to_sleep(void)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	nanosleep(&pause, NULL);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static mtx_t c11_mutex;
static cnd_t c11_cond;
static uint32_t futex_word;
static bool is_ready;

static void *lock_mutex(void *unused)
{
	cprof_test_pthread_mutex_lock(&mutex);
	cprof_test_pthread_mutex_unlock(&mutex);
	return unused;
}

Test(contention_wake, unlock_with_a_sleeper_wakes_it)
{
	pthread_t thread;
	cprof_test_pthread_mutex_lock(&mutex);
	pthread_create(&thread, NULL, lock_mutex, NULL);
	until_shown(CPROF_WAIT_MUTEX, &mutex);
	while (((volatile int *)&mutex)[0] != 2) /* glibc's word: somebody sleeps, or is about to */
		sched_yield();
	cprof_test_pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
	expect_pair(CPROF_WAIT_MUTEX, &mutex, thread_id());
	cr_expect_eq(find(CPROF_EVENT_WAKE, CPROF_WAIT_MUTEX, &mutex).last.a, 1);
}

static void *lock_for_reading(void *unused)
{
	cprof_test_pthread_rwlock_rdlock(&rwlock);
	cprof_test_pthread_rwlock_unlock(&rwlock);
	return unused;
}

Test(contention_wake, unlock_of_a_writer_wakes_readers)
{
	pthread_t thread;
	cprof_test_pthread_rwlock_wrlock(&rwlock);
	pthread_create(&thread, NULL, lock_for_reading, NULL);
	until_shown(CPROF_WAIT_RWLOCK_READ, &rwlock);
	cprof_test_pthread_rwlock_unlock(&rwlock);
	pthread_join(thread, NULL);
	cr_expect_eq(find(CPROF_EVENT_WAIT, CPROF_WAIT_RWLOCK_READ, &rwlock).count, 1);
	struct found wake = find(CPROF_EVENT_WAKE, CPROF_WAIT_RWLOCK_WRITE, &rwlock);
	cr_expect_eq(wake.count, 1);
	cr_expect_eq(wake.tid, thread_id());
	cr_expect_eq(wake.last.a, 0);
}

static void *lock_for_writing(void *unused)
{
	cprof_test_pthread_rwlock_wrlock(&rwlock);
	cprof_test_pthread_rwlock_unlock(&rwlock);
	return unused;
}

Test(contention_wake, unlock_of_a_reader_wakes_one_writer)
{
	pthread_t thread;
	cprof_test_pthread_rwlock_rdlock(&rwlock);
	pthread_create(&thread, NULL, lock_for_writing, NULL);
	until_shown(CPROF_WAIT_RWLOCK_WRITE, &rwlock);
	cprof_test_pthread_rwlock_unlock(&rwlock);
	pthread_join(thread, NULL);
	struct found wake = find(CPROF_EVENT_WAKE, CPROF_WAIT_RWLOCK_WRITE, &rwlock);
	cr_expect_eq(wake.count, 1);
	cr_expect_eq(wake.tid, thread_id());
	cr_expect_eq(wake.last.a, 1, "it says so, for readers are not let go on by one");
}

Test(contention_wake, wait_shows_its_stack_before_it_is_over)
{
	pthread_t thread;
	uint32_t shown = 0;
	cprof_test_pthread_mutex_lock(&mutex);
	pthread_create(&thread, NULL, lock_mutex, NULL);
	until_shown(CPROF_WAIT_MUTEX, &mutex);
	while (shown == 0)
		for (uint32_t i = 0; i < load_acquire(&segment_control()->threads_used); i++)
			shown |= load_acquire(&segment_thread(i)->waiting.stack);
	cprof_test_pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
	cr_expect_eq(find(CPROF_EVENT_WAIT, CPROF_WAIT_MUTEX, &mutex).last.stack, shown);
}

static void *wait_for_cond(void *unused)
{
	pthread_mutex_lock(&mutex);
	while (!is_ready)
		cprof_test_pthread_cond_wait(&cond, &mutex);
	pthread_mutex_unlock(&mutex);
	return unused;
}

/* As with a C library that nothing is known of. */
static void unlearn(void)
{
	wait_counts = (struct wait_counts){.cond_word = WAIT_COUNTS_NONE, .semaphore_word = WAIT_COUNTS_NONE};
}

static void wake_by_signal(void)
{
	pthread_t thread;
	cprof_test_pthread_cond_signal(&cond);
	cprof_test_pthread_cond_broadcast(&cond);
	cr_expect_eq(find(CPROF_EVENT_WAKE, CPROF_WAIT_COND, &cond).count, 0, "nobody waits");
	pthread_create(&thread, NULL, wait_for_cond, NULL);
	until_shown(CPROF_WAIT_COND, &cond);
	pthread_mutex_lock(&mutex);
	is_ready = true;
	cprof_test_pthread_cond_signal(&cond);
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
	expect_pair(CPROF_WAIT_COND, &cond, thread_id());
	cr_expect_eq(find(CPROF_EVENT_WAKE, CPROF_WAIT_COND, &cond).last.a, 1);
	cprof_test_pthread_cond_broadcast(&cond);
	cr_expect_eq(find(CPROF_EVENT_WAKE, CPROF_WAIT_COND, &cond).count, 1, "nobody waits any more");
}

#ifndef __SANITIZE_ADDRESS__ /* whose functions stand before the C library's: it is unknown then */
Test(contention_wake, signal_wakes_who_waits_for_the_condition)
{
	cr_assert_eq(wait_counts.cond_word, offsetof(pthread_cond_t, __data.__wrefs) / sizeof(uint32_t));
	wake_by_signal();
	cr_expect_eq(load_relaxed(contention_wake_word(&cond)), 0);
}
#endif

Test(contention_wake, signal_wakes_who_waits_for_a_condition_of_an_unknown_library)
{
	unlearn();
	wake_by_signal();
}

/* A clock that another thread overtakes: when it is first read there, that one sleeps for the mutex. */
static int (*true_clock)(clockid_t clock, struct timespec *out_now);
static _Thread_local bool is_overtaken;
static atomic_u32 has_begun;

static int read_late(clockid_t clock, struct timespec *out_now)
{
	if (is_overtaken) {
		is_overtaken = false;
		store_release(&has_begun, 1);            /* nothing but itself */
		while (((volatile int *)&mutex)[0] != 2) /* glibc's word: see above */
			sched_yield();
	}
	return true_clock(clock, out_now);
}

static void *overtake_and_signal(void *unused)
{
	while (!load_acquire(&has_begun))
		sched_yield();
	cprof_test_pthread_mutex_lock(&mutex);
	is_ready = true;
	pthread_cond_signal(&cond);
	cprof_test_pthread_mutex_unlock(&mutex);
	return unused;
}

Test(contention_wake, wait_for_a_condition_wakes_who_came_for_its_mutex_meanwhile)
{
	pthread_t thread;
	true_clock = real.clock_gettime;
	real.clock_gettime = read_late;
	pthread_create(&thread, NULL, overtake_and_signal, NULL);
	cprof_test_pthread_mutex_lock(&mutex);
	is_overtaken = true;
	while (!is_ready)
		cprof_test_pthread_cond_wait(&cond, &mutex);
	cprof_test_pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
	expect_pair(CPROF_WAIT_MUTEX, &mutex, thread_id());
}

static int wait_for_c11_cond(void *unused)
{
	(void)unused;
	mtx_lock(&c11_mutex);
	while (!is_ready)
		cprof_test_cnd_wait(&c11_cond, &c11_mutex);
	mtx_unlock(&c11_mutex);
	return 0;
}

Test(contention_wake, broadcast_of_c11_wakes_all)
{
	thrd_t thread;
	mtx_init(&c11_mutex, mtx_plain);
	cnd_init(&c11_cond);
	thrd_create(&thread, wait_for_c11_cond, NULL);
	until_shown(CPROF_WAIT_COND, &c11_cond);
	mtx_lock(&c11_mutex);
	is_ready = true;
	cprof_test_cnd_broadcast(&c11_cond);
	mtx_unlock(&c11_mutex);
	thrd_join(thread, NULL);
	expect_pair(CPROF_WAIT_COND, &c11_cond, thread_id());
	cr_expect_eq(find(CPROF_EVENT_WAKE, CPROF_WAIT_COND, &c11_cond).last.a, 0);
}

static void *wait_for_semaphore(void *unused)
{
	cprof_test_sem_wait(&semaphore);
	return unused;
}

static void wake_by_post(void)
{
	pthread_t thread;
	sem_init(&semaphore, 0, 0);
	pthread_create(&thread, NULL, wait_for_semaphore, NULL);
	while (__atomic_load_n(&((uint32_t *)&semaphore)[1], __ATOMIC_ACQUIRE) ==
	       0) /* glibc's count of those who wait */
		sched_yield();
	cprof_test_sem_post(&semaphore);
	pthread_join(thread, NULL);
	expect_pair(CPROF_WAIT_SEMAPHORE, &semaphore, thread_id());
	cprof_test_sem_post(&semaphore);
	cr_expect_eq(find(CPROF_EVENT_WAKE, CPROF_WAIT_SEMAPHORE, &semaphore).count, 1);
}

#ifndef __SANITIZE_ADDRESS__ /* as above */
Test(contention_wake, post_wakes_who_waits_for_the_semaphore)
{
	cr_assert_neq(wait_counts.semaphore_word, WAIT_COUNTS_NONE);
	wake_by_post();
}
#endif

Test(contention_wake, post_wakes_who_waits_for_a_semaphore_of_an_unknown_library)
{
	unlearn();
	wake_by_post();
}

static void *come_to_barrier(void *unused)
{
	cprof_test_pthread_barrier_wait(&barrier);
	return unused;
}

Test(contention_wake, last_at_a_barrier_wakes_the_others)
{
	pthread_t threads[2];
	pthread_barrier_init(&barrier, NULL, 3);
	for (uint32_t i = 0; i < 2; i++) {
		pthread_create(&threads[i], NULL, come_to_barrier, NULL);
		while (shown_count(CPROF_WAIT_BARRIER, &barrier) != i + 1)
			sched_yield();
	}
	give_time_to_sleep(); /* between being shown and being in */
	cprof_test_pthread_barrier_wait(&barrier);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(find(CPROF_EVENT_WAIT, CPROF_WAIT_BARRIER, &barrier).count, 2);
	struct found wake = find(CPROF_EVENT_WAKE, CPROF_WAIT_BARRIER, &barrier);
	cr_expect_eq(wake.count, 1);
	cr_expect_eq(wake.tid, thread_id());
	cr_expect_eq(wake.last.a, 0);
}

static void *wait_for_futex(void *unused)
{
	while (__atomic_load_n(&futex_word, __ATOMIC_ACQUIRE) == 0)
		cprof_test_syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return unused;
}

Test(contention_wake, futex_wake_counts_who_was_woken)
{
	pthread_t thread;
	pthread_create(&thread, NULL, wait_for_futex, NULL);
	until_shown(CPROF_WAIT_FUTEX, &futex_word);
	__atomic_store_n(&futex_word, 1, __ATOMIC_RELEASE);
	long woken = 0;
	while (load_relaxed(contention_wake_word(&futex_word)) != 0 && woken == 0)
		woken = cprof_test_syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL,
					   0);
	pthread_join(thread, NULL);
	struct found wake = find(CPROF_EVENT_WAKE, CPROF_WAIT_FUTEX, &futex_word);
	cr_expect_eq(wake.count, woken);
	cr_expect(woken == 0 || wake.last.a == 1);
}

/* ---- by the processor's counter -------------------------------------------------------------- */

#define HANDOFFS 100

static sem_t turns[2];

static void *take_turns(void *unused)
{
	for (int i = 0; i < HANDOFFS; i++) {
		cprof_test_sem_wait(&turns[1]);
		cprof_test_sem_post(&turns[0]);
	}
	return unused;
}

static bool has_wait_around(const sem_t *object, uint64_t time_ns)
{
	uint64_t until_ns = UINT64_MAX;
	for (;;) {
		struct found wait = find_until(CPROF_EVENT_WAIT, CPROF_WAIT_SEMAPHORE, object, until_ns);
		if (wait.count == 0 || wait.last.time_ns < time_ns)
			return false;
		if (wait.last.time_ns - wait.last.a <= time_ns)
			return true;
		until_ns = wait.last.time_ns - 1;
	}
}

/* Each wake lies within a wait.  A wait may have none: a post came before it was in. */
static void expect_within_waits(const sem_t *object)
{
	struct found wake = find(CPROF_EVENT_WAKE, CPROF_WAIT_SEMAPHORE, object);
	cr_expect_leq(wake.count, HANDOFFS);
	while (wake.count != 0) {
		cr_expect(has_wait_around(object, wake.last.time_ns), "wake %u", wake.count);
		wake = find_until(CPROF_EVENT_WAKE, CPROF_WAIT_SEMAPHORE, object, wake.last.time_ns - 1);
	}
}

Test(contention_wake, wakes_lie_within_their_waits_by_the_counters_of_several_threads)
{
	pthread_t thread;
	store_relaxed(&segment_control()->tick_rate, own_ticks_rate());
	sem_init(&turns[0], 0, 0);
	sem_init(&turns[1], 0, 0);
	pthread_create(&thread, NULL, take_turns, NULL);
	for (int i = 0; i < HANDOFFS; i++) {
		cprof_test_sem_post(&turns[1]);
		cprof_test_sem_wait(&turns[0]);
	}
	pthread_join(thread, NULL);
	expect_within_waits(&turns[0]);
	expect_within_waits(&turns[1]);
}

/* ---- what is not there ---------------------------------------------------------------------- */

Test(contention_wake, wait_in_vain_says_so)
{
	const struct timespec past = {.tv_sec = 1};
	sem_init(&semaphore, 0, 0);
	cr_assert_eq(cprof_test_sem_timedwait(&semaphore, &past), -1);
	cr_expect_eq(errno, ETIMEDOUT);
	struct found wait = find(CPROF_EVENT_WAIT, CPROF_WAIT_SEMAPHORE, &semaphore);
	cr_expect_eq(wait.count, 1);
	cr_expect_eq(cprof_event_flags_of(load_relaxed(&wait.last.head)), CPROF_EVENT_GAVE_UP);
}

Test(contention_wake, calls_that_hardly_take_time_leave_nothing)
{
	struct unwind_regs regs;
	struct contention_wait wait;
	const struct timespec pause = {.tv_nsec = 2 * (long)CONTENTION_CALL_NS_MIN};
	unwind_regs_of_caller(&regs);
	contention_wait_begin(&wait, CPROF_WAIT_SLEEP, NULL, (const void *)(uintptr_t)nanosleep, &regs);
	nanosleep(&pause, NULL);
	contention_wait_end(&wait, CONTENTION_ACQUIRED);
	struct found found = find(CPROF_EVENT_WAIT, CPROF_WAIT_SLEEP, NULL);
	cr_expect_eq(found.count, 1);
	cr_expect_geq(found.last.a, (uint64_t)pause.tv_nsec);
	cr_expect_neq(found.last.stack, 0);
	/* Of many at least one is not interrupted. */
	for (int i = 0; i < 100; i++) {
		contention_wait_begin(&wait, CPROF_WAIT_READ, NULL, (const void *)(uintptr_t)read, &regs);
		contention_wait_end(&wait, CONTENTION_ACQUIRED);
	}
	cr_expect_lt(find(CPROF_EVENT_WAIT, CPROF_WAIT_READ, NULL).count, 100);
}

Test(contention_wake, profiles_stay_empty_without_their_rates)
{
	for (int i = 0; i < 100; i++) {
		pthread_t thread;
		cprof_test_pthread_mutex_lock(&mutex);
		pthread_create(&thread, NULL, lock_mutex, NULL);
		until_shown(CPROF_WAIT_MUTEX, &mutex);
		cprof_test_pthread_mutex_unlock(&mutex);
		pthread_join(thread, NULL);
	}
	cr_expect_eq(find(CPROF_EVENT_WAIT, CPROF_WAIT_MUTEX, &mutex).count, 100);
	for (uint32_t i = 0; i < load_acquire(&segment_control()->threads_used); i++)
		cr_expect_eq(load_relaxed(&segment_thread(i)->head), 0);
	cr_expect_eq(lock_waiters_look(&mutex), 0);
}

static sigjmp_buf way_out;

static void jump_away(int number)
{
	(void)number;
	siglongjmp(way_out, 1);
}

static void *leave_wait(void *unused)
{
	own_thread_attach();
	if (!sigsetjmp(way_out, 1))
		cprof_test_syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	thread_detach();
	return unused;
}

Test(contention_wake, wait_that_was_left_is_not_waited_for)
{
	struct sigaction action = {.sa_handler = jump_away};
	pthread_t thread;
	sigaction(SIGUSR2, &action, NULL);
	pthread_create(&thread, NULL, leave_wait, NULL);
	until_shown(CPROF_WAIT_FUTEX, &futex_word);
	cr_expect_eq(load_relaxed(contention_wake_word(&futex_word)), 1);
	pthread_kill(thread, SIGUSR2);
	pthread_join(thread, NULL);
	cr_expect_eq(load_relaxed(contention_wake_word(&futex_word)), 0);
}
