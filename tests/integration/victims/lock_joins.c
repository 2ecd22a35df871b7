/* SPDX-License-Identifier: MIT */
/*
 * Barriers, spin locks, joins, and what <threads.h> has: each call free, waited for, in
 * time and not, and with arguments that are none.
 *
 * Context: test program.
 */
#include "lock_victim.h"

#include <limits.h>
#include <semaphore.h>
#include <threads.h>

/* ---- barriers and spin locks -------------------------------------------------------- */

static int barrier_wait(void *b) { return pthread_barrier_wait(b); }

static void barriers(void)
{
	for (int shared = 0; shared < 2; shared++) {
		pthread_barrierattr_t attributes;
		pthread_barrier_t b;
		struct waiter w[2];
		printf("barrier %s\n", shared ? "shared" : "private");
		pthread_barrierattr_init(&attributes);
		SAY(pthread_barrierattr_setpshared(&attributes, shared));
		SAY(pthread_barrier_init(&b, &attributes, 0));
		SAY(pthread_barrier_init(&b, &attributes, 1));
		SAY(pthread_barrier_wait(&b));
		SAY(pthread_barrier_destroy(&b));
		SAY(pthread_barrier_init(&b, &attributes, 3));
		for (int round = 0; round < 3; round++) {
			waiter_begin(&w[0], barrier_wait, &b);
			waiter_begin(&w[1], barrier_wait, &b);
			int serial = pthread_barrier_wait(&b) == PTHREAD_BARRIER_SERIAL_THREAD, other_results = 0;
			for (int i = 0; i < 2; i++) {
				pthread_join(w[i].thread, NULL);
				serial += w[i].call.result == PTHREAD_BARRIER_SERIAL_THREAD;
				other_results += w[i].call.result != 0 && w[i].call.result != PTHREAD_BARRIER_SERIAL_THREAD;
			}
			printf("    serial threads %d, other results %d\n", serial, other_results);
		}
		SAY(pthread_barrier_destroy(&b));
	}
}

static int spin_lock_and_back(void *l)
{
	const int result = pthread_spin_lock(l);
	return result ? result : pthread_spin_unlock(l);
}
static int spin_trylock(void *l) { return pthread_spin_trylock((pthread_spinlock_t *)l); }

static void spins(void)
{
	pthread_spinlock_t l;
	pthread_t thread;
	struct other o = {spin_lock_and_back, (void *)&l, -1, 0};
	printf("spin lock\n");
	SAY(pthread_spin_init(&l, PTHREAD_PROCESS_PRIVATE));
	SAY(pthread_spin_lock(&l));
	SAY(pthread_spin_trylock(&l));
	SAY_OTHER(spin_trylock, (void *)&l);
	pthread_create(&thread, NULL, other_main, &o);
	nap(10);
	SAY(pthread_spin_unlock(&l));
	pthread_join(thread, NULL);
	say_result("another thread that spun", o.result, o.errno_after);
	SAY(pthread_spin_trylock(&l));
	SAY(pthread_spin_unlock(&l));
	SAY(pthread_spin_destroy(&l));
}

/* ---- joins -------------------------------------------------------------------------- */

static void *after_a_nap(void *value)
{
	nap(20);
	return value;
}

static void *at_once(void *value)
{
	return value;
}

static sem_t sem;

static int wait_sem(void *unused) { (void)unused; return sem_wait(&sem); }

static void joins(void)
{
	pthread_t t;
	void *value = NULL;
	int number = 0;
	printf("join\n");
	SAY(pthread_join(pthread_self(), NULL));
	SAY(pthread_timedjoin_np(pthread_self(), NULL, SOON(CLOCK_REALTIME)));
	pthread_create(&t, NULL, after_a_nap, &number);
	SAY(pthread_tryjoin_np(t, &value));
	SAY(pthread_timedjoin_np(t, &value, GONE(CLOCK_REALTIME)));
	SAY(pthread_clockjoin_np(t, &value, CLOCK_PROCESS_CPUTIME_ID, LATER(0)));
	SAY(pthread_clockjoin_np(t, &value, 9999, LATER(0)));
	SAY(pthread_join(t, &value));
	printf("    value %d\n", value == &number);
	pthread_create(&t, NULL, after_a_nap, &number);
	SAY(pthread_timedjoin_np(t, &value, LATER(CLOCK_REALTIME)));
	pthread_create(&t, NULL, after_a_nap, &number);
	SAY(pthread_clockjoin_np(t, NULL, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC)));
	pthread_create(&t, NULL, at_once, NULL);
	while (pthread_tryjoin_np(t, &value) == EBUSY)
		nap(1);
	printf("    value %d\n", value == NULL);
	/* glibc does not look at the deadline's form. */
	pthread_create(&t, NULL, after_a_nap, &number);
	SAY(pthread_timedjoin_np(t, &value, &negative));
	pthread_create(&t, NULL, after_a_nap, &number);
	SAY(pthread_clockjoin_np(t, &value, CLOCK_MONOTONIC, &too_large));
	/* Detached, but alive. */
	sem_init(&sem, 0, 0);
	struct waiter w;
	waiter_begin(&w, wait_sem, NULL);
	SAY(pthread_detach(w.thread));
	SAY(pthread_detach(w.thread));
	SAY(pthread_join(w.thread, NULL));
	SAY(pthread_tryjoin_np(w.thread, NULL));
	SAY(pthread_timedjoin_np(w.thread, NULL, SOON(CLOCK_REALTIME)));
	sem_post(&sem);
	while (!__atomic_load_n(&w.is_over, __ATOMIC_ACQUIRE))
		nap(1);
}

/* ---- <threads.h> -------------------------------------------------------------------- */

static mtx_t mtx;
static cnd_t cnd;
static int cnd_tokens;

static const char *thrd_name(int result)
{
	return result == thrd_success ? "success"
	       : result == thrd_busy  ? "busy"
	       : result == thrd_error ? "error"
	       : result == thrd_nomem ? "nomem"
				      : result == thrd_timedout ? "timedout" : "?";
}

#define SAY_C11(call)                                                       \
	do {                                                                \
		errno = ERRNO_BEFORE;                                       \
		const char *name_ = thrd_name(call);                        \
		const int errno_ = errno;                                   \
		printf("    %s: %s", #call, name_);                         \
		printf(errno_ == ERRNO_BEFORE ? "\n" : ", errno changed\n"); \
	} while (0)

static int lock_mtx(void *unused) { (void)unused; return mtx_lock(&mtx); }
static int unlock_mtx(void *unused) { (void)unused; return mtx_unlock(&mtx); }
static int trylock_mtx(void *unused) { (void)unused; return mtx_trylock(&mtx); }
static int timedlock_mtx(void *unused) { (void)unused; return mtx_timedlock(&mtx, SOON(CLOCK_REALTIME)); }

static int take_cnd_token(void *timed)
{
	int result = mtx_lock(&mtx);
	while (result == thrd_success && cnd_tokens == 0)
		result = timed ? cnd_timedwait(&cnd, &mtx, LATER(CLOCK_REALTIME)) : cnd_wait(&cnd, &mtx);
	cnd_tokens--;
	mtx_unlock(&mtx);
	return result;
}

static int return_number(void *argument)
{
	nap(10);
	return *(int *)argument;
}

static int exit_number(void *argument)
{
	nap(10);
	thrd_exit(*(int *)argument);
}

static void c11(void)
{
	static const struct {
		const char *name;
		int type;
	} kinds[] = {{"plain", mtx_plain},
		     {"timed", mtx_timed},
		     {"recursive", mtx_plain | mtx_recursive},
		     {"timed recursive", mtx_timed | mtx_recursive}};
	struct waiter w;
	for (size_t i = 0; i < 4; i++) {
		printf("C11 mutex %s\n", kinds[i].name);
		SAY_C11(mtx_init(&mtx, kinds[i].type));
		SAY_C11(mtx_lock(&mtx));
		SAY_C11(mtx_trylock(&mtx));
		if (kinds[i].type & mtx_recursive)
			SAY_C11(mtx_unlock(&mtx));
		SAY_OTHER(trylock_mtx, NULL);
		SAY_OTHER(timedlock_mtx, NULL);
		SAY_C11(cnd_init(&cnd));
		SAY_C11(cnd_timedwait(&cnd, &mtx, GONE(CLOCK_REALTIME)));
		SAY_C11(cnd_timedwait(&cnd, &mtx, SOON(CLOCK_REALTIME)));
		SAY_C11(cnd_timedwait(&cnd, &mtx, &negative));
		SAY_C11(mtx_unlock(&mtx));
		struct holder h;
		holder_begin(&h, lock_mtx, unlock_mtx, NULL);
		SAY_C11(mtx_lock(&mtx));
		holder_end(&h);
		SAY_C11(mtx_unlock(&mtx));
		holder_begin(&h, lock_mtx, unlock_mtx, NULL);
		SAY_C11(mtx_timedlock(&mtx, LATER(CLOCK_REALTIME)));
		holder_end(&h);
		SAY_C11(mtx_unlock(&mtx));
		for (int timed = 0; timed < 2; timed++) {
			waiter_begin(&w, take_cnd_token, timed ? &timed : NULL);
			mtx_lock(&mtx);
			cnd_tokens = 1;
			SAY_C11(timed ? cnd_broadcast(&cnd) : cnd_signal(&cnd));
			mtx_unlock(&mtx);
			waiter_end(&w, "woken");
		}
		cnd_destroy(&cnd);
		mtx_destroy(&mtx);
	}
	printf("C11 threads\n");
	int numbers[] = {INT_MIN, -1, 0, 1, INT_MAX}, result;
	for (size_t i = 0; i < 5; i++) {
		thrd_t thread;
		SAY_C11(thrd_create(&thread, i % 2 ? exit_number : return_number, &numbers[i]));
		SAY_C11(thrd_join(thread, &result));
		printf("    result %d\n", result);
	}
	thrd_t thread;
	thrd_create(&thread, return_number, &numbers[0]);
	SAY_C11(thrd_join(thread, NULL));
	SAY_C11(thrd_join(thrd_current(), NULL));
}

int main(void)
{
	begin();
	barriers();
	spins();
	joins();
	c11();
	return 0;
}
