/* SPDX-License-Identifier: MIT */
/*
 * Waits and releases from the interposed functions to the ring: what counts as a wait,
 * who is charged, what a waiting thread shows, and that samples estimate what they were
 * taken from.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/futex.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "contention.h"
#include "contention_sums.h"
#include "shown_wait.h"

long cprof_test_syscall(long number, ...);

TestSuite(contention, .init = contention_sums_open, .timeout = 60);

static struct timespec soon(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	t.tv_nsec += 2000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

/* ---- the rule ------------------------------------------------------------------------------- */

Test(contention, sample_follows_the_rule)
{
	struct contention_sample s = contention_sample(1, 100, 1, 12345);
	cr_expect_eq(s.weight, CPROF_WEIGHT_ONE);
	cr_expect_eq(s.value, 100);
	s = contention_sample(1, 100000, 100000, 12345);
	cr_expect_eq(s.weight, CPROF_WEIGHT_ONE, "as long as the rate");
	s = contention_sample(1, 25000, 100000, 24999);
	cr_expect_eq(s.weight, 4 * CPROF_WEIGHT_ONE, "one in four");
	cr_expect_eq(s.value, 100000);
	s = contention_sample(1, 25000, 100000, 25000);
	cr_expect_eq(s.weight, 0);
	s = contention_sample(3, 50000, 100000, 0);
	cr_expect_eq(s.weight, 6 * CPROF_WEIGHT_ONE);
	s = contention_sample(1, 0, UINT64_C(3600000000000), 0);
	cr_expect_eq(s.weight, UINT64_C(3600000000000) * CPROF_WEIGHT_ONE, "no time counts as 1 ns");
}

/* Mixed short and long waits on one site; 100 seeded runs. */
Test(contention, estimates_are_unbiased)
{
	const uint64_t rate = 100000;
	double sum_ns = 0, sum_waits = 0, truth_ns = 0, truth_waits = 0, variance_ns = 0, variance_waits = 0;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		uint64_t state = seed;
		for (int i = 0; i < 5000; i++) {
			uint64_t r = cprof_mix64(state += UINT64_C(0x9e3779b97f4a7c15));
			uint64_t delay = i % 10 ? 100 + r % 20000 : 50000 + r % 1000000;
			double p = delay < rate ? (double)delay / (double)rate : 1;
			struct contention_sample s = contention_sample(
				1, delay, rate, cprof_mix64(state += UINT64_C(0x9e3779b97f4a7c15)));
			sum_ns += (double)s.value;
			sum_waits += (double)s.weight / (double)CPROF_WEIGHT_ONE;
			truth_ns += (double)delay;
			truth_waits += 1;
			variance_ns += (double)delay * (double)delay * (1 - p) / p;
			variance_waits += (1 - p) / p;
		}
	}
	cr_expect_float_eq(sum_ns, truth_ns, 4 * sqrt(variance_ns), "%f of %f", sum_ns, truth_ns);
	cr_expect_float_eq(sum_waits, truth_waits, 4 * sqrt(variance_waits), "%f of %f", sum_waits,
			   truth_waits);
}

/* ---- what is a wait -------------------------------------------------------------------------- */

Test(contention, what_does_not_wait_is_not_recorded)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
	pthread_mutex_t checking = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
	pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
	pthread_spinlock_t spin;
	struct timespec past = {0, 0}, wrong = {0, -1};
	sem_t semaphore;
	uint32_t word = 1;
	pthread_spin_init(&spin, 0);
	sem_init(&semaphore, 0, 3);
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(cprof_test_pthread_mutex_lock(&recursive), 0);
		cr_expect_eq(cprof_test_pthread_mutex_timedlock(&recursive, &wrong), 0, "it is free");
	}
	for (int i = 0; i < 4; i++)
		cr_expect_eq(cprof_test_pthread_mutex_unlock(&recursive), 0);
	cr_expect_eq(cprof_test_pthread_mutex_lock(&checking), 0);
	cr_expect_eq(cprof_test_pthread_mutex_lock(&checking), EDEADLK);
	cr_expect_eq(cprof_test_pthread_mutex_unlock(&checking), 0);
	cr_expect_eq(cprof_test_pthread_mutex_unlock(&checking), EPERM);
	cr_expect_eq(cprof_test_pthread_mutex_clocklock(&mutex, CLOCK_PROCESS_CPUTIME_ID, &past), EINVAL);
	cr_expect_eq(cprof_test_pthread_mutex_timedlock(&mutex, &past), 0);
	cr_expect_eq(cprof_test_pthread_mutex_unlock(&mutex), 0);
	cr_expect_eq(cprof_test_pthread_rwlock_wrlock(&rwlock), 0);
	cr_expect_eq(cprof_test_pthread_rwlock_rdlock(&rwlock), EDEADLK);
	cr_expect_eq(cprof_test_pthread_rwlock_unlock(&rwlock), 0);
	cr_expect_eq(cprof_test_pthread_rwlock_timedrdlock(&rwlock, &wrong), EINVAL, "though it is free");
	cr_expect_eq(cprof_test_pthread_spin_lock(&spin), 0);
	cr_expect_eq(cprof_test_pthread_spin_unlock(&spin), 0);
	errno = 77;
	cr_expect_eq(cprof_test_sem_wait(&semaphore), 0);
	cr_expect_eq(cprof_test_sem_timedwait(&semaphore, &past), 0);
	cr_expect_eq(errno, 77);
	cr_expect_eq(cprof_test_sem_timedwait(&semaphore, &wrong), -1);
	cr_expect_eq(errno, EINVAL);
	cr_expect_eq(cprof_test_syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0), -1);
	cr_expect_eq(errno, EAGAIN);
	cr_expect_eq(sum_of(CPROF_KIND_BLOCK, NULL).records, 0);
	cr_expect_eq(sum_of(CPROF_KIND_MUTEX, NULL).records, 0);
	cr_expect_not(lock_waiters_look(&checking));
	cr_expect_not(lock_waiters_look(&rwlock));
}

Test(contention, timeouts_are_waits)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	sem_t semaphore;
	uint32_t word = 1;
	struct timespec deadline = soon(CLOCK_REALTIME), span = {0, 1000};
	sem_init(&semaphore, 0, 0);
	cprof_test_pthread_mutex_lock(&mutex);
	cr_expect_eq(cprof_test_pthread_mutex_timedlock(&mutex, &deadline), ETIMEDOUT);
	cr_expect_eq(BLOCKED(pthread_mutex_timedlock), 1);
	cr_expect_eq(CHARGED(pthread_mutex_unlock), 0, "not yet");
	cprof_test_pthread_mutex_unlock(&mutex);
	cr_expect_eq(CHARGED(pthread_mutex_unlock), 1);
	deadline = soon(CLOCK_REALTIME);
	errno = 0;
	cr_expect_eq(cprof_test_sem_timedwait(&semaphore, &deadline), -1);
	cr_expect_eq(errno, ETIMEDOUT);
	cr_expect_eq(BLOCKED(sem_timedwait), 1);
	cprof_test_pthread_mutex_lock(&mutex);
	cr_expect_eq(cprof_test_pthread_cond_timedwait(&cond, &mutex, &deadline), ETIMEDOUT);
	cr_expect_eq(BLOCKED(pthread_cond_timedwait), 1);
	cprof_test_pthread_mutex_unlock(&mutex);
	cr_expect_eq(cprof_test_syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &span, NULL, 0), -1);
	cr_expect_eq(errno, ETIMEDOUT);
	cr_expect_eq(BLOCKED(syscall), 1);
}

/* ---- two threads ------------------------------------------------------------------------------ */

static pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t shared_rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t shared_cond = PTHREAD_COND_INITIALIZER;
static mtx_t shared_mtx;

static void *lock_shared(void *unused)
{
	cprof_test_pthread_mutex_lock(&shared);
	cprof_test_pthread_mutex_unlock(&shared);
	return unused;
}

Test(contention, wait_is_shown_recorded_and_charged_to_the_unlock)
{
	pthread_t thread;
	cprof_test_pthread_mutex_lock(&shared);
	pthread_create(&thread, NULL, lock_shared, NULL);
	until_shown(CPROF_WAIT_MUTEX, &shared);
	cr_expect_eq(sum_of(CPROF_KIND_BLOCK, NULL).records, 0);
	cprof_test_pthread_mutex_unlock(&shared);
	pthread_join(thread, NULL);
	cr_expect_not(is_shown(CPROF_WAIT_MUTEX, &shared));
	cr_expect_eq(BLOCKED(pthread_mutex_lock), 1);
	cr_expect_eq(CHARGED(pthread_mutex_unlock), 1);
	/* In units of 16 ns. */
	uint64_t block_ns = sum_of(CPROF_KIND_BLOCK, NULL).value;
	uint64_t mutex_ns = sum_of(CPROF_KIND_MUTEX, NULL).value;
	cr_expect_lt(block_ns > mutex_ns ? block_ns - mutex_ns : mutex_ns - block_ns, 32);
	cr_expect_not(lock_waiters_look(&shared));
}

/* What is done at its end is done with the lock. */
Test(contention, wait_for_a_lock_that_is_likely_recorded_is_walked_before_its_end)
{
	pthread_t thread;
	uint32_t shown = 0;
	store_relaxed(&segment_control()->block_rate_ns, UINT64_C(10000));
	cprof_test_pthread_mutex_lock(&shared);
	pthread_create(&thread, NULL, lock_shared, NULL);
	while (shown == 0) {
		for (uint32_t i = 0; i < load_acquire(&segment_control()->threads_used); i++)
			shown |= load_acquire(&segment_thread(i)->waiting.stack);
		sched_yield();
	}
	cprof_test_pthread_mutex_unlock(&shared);
	pthread_join(thread, NULL);
	const struct cprof_stack *stack = (const void *)(segment_frames() + shown);
	cr_expect_geq(stack->frame_count, 2);
}

Test(contention, inner_unlock_of_a_recursive_mutex_is_not_charged)
{
	static const pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
	pthread_t thread;
	shared = recursive;
	cprof_test_pthread_mutex_lock(&shared);
	cprof_test_pthread_mutex_lock(&shared);
	pthread_create(&thread, NULL, lock_shared, NULL);
	until_shown(CPROF_WAIT_MUTEX, &shared);
	cprof_test_pthread_mutex_unlock(&shared);
	cr_expect_eq(sum_of(CPROF_KIND_MUTEX, NULL).records, 0);
	cprof_test_pthread_mutex_unlock(&shared);
	pthread_join(thread, NULL);
	cr_expect_eq(CHARGED(pthread_mutex_unlock), 1);
}

Test(contention, cond_wait_gives_its_mutex_up)
{
	pthread_t thread;
	struct timespec deadline = soon(CLOCK_REALTIME);
	deadline.tv_sec += 1; /* until then the thread has had the mutex */
	cprof_test_pthread_mutex_lock(&shared);
	pthread_create(&thread, NULL, lock_shared, NULL);
	until_shown(CPROF_WAIT_MUTEX, &shared);
	cr_expect_eq(cprof_test_pthread_cond_timedwait(&shared_cond, &shared, &deadline), ETIMEDOUT);
	cprof_test_pthread_mutex_unlock(&shared);
	pthread_join(thread, NULL);
	cr_expect_eq(BLOCKED(pthread_cond_timedwait), 1);
	cr_expect_eq(BLOCKED(pthread_mutex_lock), 1);
	cr_expect_eq(CHARGED(pthread_cond_timedwait), 1);
}

static void *read_shared(void *unused)
{
	cprof_test_pthread_rwlock_rdlock(&shared_rwlock);
	cprof_test_pthread_rwlock_unlock(&shared_rwlock);
	return unused;
}

Test(contention, writer_is_charged_with_all_its_readers)
{
	pthread_t threads[3];
	cprof_test_pthread_rwlock_wrlock(&shared_rwlock);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, read_shared, NULL);
	for (int shown = 0; shown < 3;) {
		shown = 0;
		for (uint32_t i = 0; i < load_acquire(&segment_control()->threads_used); i++)
			shown += load_acquire(&segment_thread(i)->waiting.what) == CPROF_WAIT_RWLOCK_READ;
		sched_yield();
	}
	cprof_test_pthread_rwlock_unlock(&shared_rwlock);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(BLOCKED(pthread_rwlock_rdlock), 3);
	cr_expect_eq(CHARGED(pthread_rwlock_unlock), 3);
}

static int lock_shared_mtx(void *unused)
{
	(void)unused;
	cprof_test_mtx_lock(&shared_mtx);
	cprof_test_mtx_unlock(&shared_mtx);
	return 5;
}

Test(contention, c11_functions_say_their_own_words)
{
	thrd_t thread;
	int result = 0;
	struct timespec deadline = soon(CLOCK_REALTIME);
	mtx_init(&shared_mtx, mtx_timed);
	cr_expect_eq(cprof_test_mtx_lock(&shared_mtx), thrd_success);
	cr_expect_eq(cprof_test_mtx_timedlock(&shared_mtx, &deadline), thrd_timedout);
	thrd_create(&thread, lock_shared_mtx, NULL);
	until_shown(CPROF_WAIT_MUTEX, &shared_mtx);
	cr_expect_eq(cprof_test_mtx_unlock(&shared_mtx), thrd_success);
	cr_expect_eq(cprof_test_thrd_join(thread, &result), thrd_success);
	cr_expect_eq(result, 5);
	cr_expect_eq(BLOCKED(mtx_lock), 1);
	cr_expect_eq(BLOCKED(mtx_timedlock), 1);
	cr_expect_eq(CHARGED(mtx_unlock), 2);
}

/* ---- releases that are not seen ------------------------------------------------------------------ */

static uint64_t untracked(void)
{
	return load_relaxed(&segment_control()->counters[CPROF_WAITS_UNTRACKED]);
}

static void init_shared(int pshared, int robust)
{
	pthread_mutexattr_t attributes;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, pshared);
	pthread_mutexattr_setrobust(&attributes, robust);
	pthread_mutex_init(&shared, &attributes);
}

/* Another thread waits for `shared` until `release` is called; which is not charged, nor is the other's unlock. */
static void expect_charged_to_nobody(int (*release)(pthread_mutex_t *))
{
	pthread_t thread;
	real.pthread_mutex_lock(&shared);
	pthread_create(&thread, NULL, lock_shared, NULL);
	until_shown(CPROF_WAIT_MUTEX, &shared);
	usleep(2000);
	release(&shared);
	pthread_join(thread, NULL);
	cr_expect_eq(BLOCKED(pthread_mutex_lock), 1);
	cr_expect_eq(sum_of(CPROF_KIND_MUTEX, NULL).records, 0);
	cr_expect_eq(untracked(), 1);
	cr_expect_not(lock_waiters_look(&shared));
}

Test(contention, wait_for_a_release_that_is_not_seen_is_charged_to_nobody)
{
	expect_charged_to_nobody(real.pthread_mutex_unlock);
}

Test(contention, the_same_of_a_mutex_between_processes)
{
	init_shared(PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_STALLED);
	expect_charged_to_nobody(real.pthread_mutex_unlock);
}

Test(contention, mutex_between_processes_is_charged_to_a_release_that_is_seen)
{
	pthread_t thread;
	init_shared(PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_STALLED);
	cprof_test_pthread_mutex_lock(&shared);
	pthread_create(&thread, NULL, lock_shared, NULL);
	until_shown(CPROF_WAIT_MUTEX, &shared);
	cprof_test_pthread_mutex_unlock(&shared);
	pthread_join(thread, NULL);
	cr_expect_eq(CHARGED(pthread_mutex_unlock), 1);
	cr_expect_eq(untracked(), 0);
}

static sem_t is_held, may_die;

static void *die_with_it(void *unused)
{
	real.pthread_mutex_lock(&shared);
	sem_post(&is_held);
	while (real.sem_wait(&may_die) != 0)
		;
	return unused;
}

Test(contention, wait_for_a_holder_that_died_is_charged_to_nobody)
{
	pthread_t holder, thread;
	sem_init(&is_held, 0, 0);
	sem_init(&may_die, 0, 0);
	init_shared(PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_ROBUST);
	pthread_create(&holder, NULL, die_with_it, NULL);
	sem_wait(&is_held);
	pthread_create(&thread, NULL, lock_shared, NULL);
	until_shown(CPROF_WAIT_MUTEX, &shared);
	sem_post(&may_die);
	pthread_join(holder, NULL);
	pthread_join(thread, NULL);
	cr_expect_eq(BLOCKED(pthread_mutex_lock), 1);
	cr_expect_eq(sum_of(CPROF_KIND_MUTEX, NULL).records, 0);
	cr_expect_eq(untracked(), 1);
}

/* ---- rates ----------------------------------------------------------------------------------- */

Test(contention, nothing_is_recorded_while_it_is_off)
{
	struct timespec deadline = soon(CLOCK_REALTIME);
	store_relaxed(&segment_control()->contention, UINT32_C(0));
	cprof_test_pthread_mutex_lock(&shared);
	cr_expect_eq(cprof_test_pthread_mutex_timedlock(&shared, &deadline), ETIMEDOUT);
	cprof_test_pthread_mutex_unlock(&shared);
	cr_expect_eq(load_relaxed(&segment_control()->threads_used), 0);
}

Test(contention, fraction_alone_records_releases_only)
{
	struct timespec deadline = soon(CLOCK_REALTIME);
	store_relaxed(&segment_control()->block_rate_ns, UINT64_C(0));
	cprof_test_pthread_mutex_lock(&shared);
	cr_expect_eq(cprof_test_pthread_mutex_timedlock(&shared, &deadline), ETIMEDOUT);
	cprof_test_pthread_mutex_unlock(&shared);
	cr_expect_eq(sum_of(CPROF_KIND_BLOCK, NULL).records, 0);
	cr_expect_eq(CHARGED(pthread_mutex_unlock), 1);
}

Test(contention, release_is_scaled_by_the_fraction)
{
	const uint32_t fraction = 4;
	const int count = 2000;
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct timespec past = {1, 0};
	store_relaxed(&segment_control()->block_rate_ns, UINT64_C(0));
	store_relaxed(&segment_control()->mutex_fraction, fraction);
	uint64_t waits = 0;
	thread_tls.random_state = 1;
	for (int i = 0; i < count; i++) {
		cprof_test_pthread_mutex_lock(&mutex);
		cprof_test_pthread_mutex_timedlock(&mutex, &past);
		cprof_test_pthread_mutex_unlock(&mutex);
		if (i % 400 == 399) { /* before the ring is full */
			waits += CHARGED(pthread_mutex_unlock);
			for (uint32_t r = 0; r < CPROF_RING_RECORDS; r++)
				store_relaxed(&thread_tls.slot->ring[r].stamp, UINT32_C(0));
			store_relaxed(&thread_tls.slot->head, UINT64_C(0));
		}
	}
	cr_expect_eq(waits % fraction, 0);
	/* One wait each, kept with probability 1/4 as four: the standard error is sqrt(3 * count). */
	cr_expect_float_eq((double)waits, count, 4 * sqrt(3.0 * count));
}

Test(contention, turning_off_during_a_wait_loses_nothing)
{
	pthread_t thread;
	cprof_test_pthread_mutex_lock(&shared);
	pthread_create(&thread, NULL, lock_shared, NULL);
	until_shown(CPROF_WAIT_MUTEX, &shared);
	store_relaxed(&segment_control()->contention, UINT32_C(0));
	store_relaxed(&segment_control()->block_rate_ns, UINT64_C(0));
	store_relaxed(&segment_control()->mutex_fraction, UINT32_C(0));
	cprof_test_pthread_mutex_unlock(&shared);
	pthread_join(thread, NULL);
	cr_expect_eq(BLOCKED(pthread_mutex_lock), 1);
	cr_expect_eq(sum_of(CPROF_KIND_MUTEX, NULL).records, 0, "nobody charges it any more");
}
