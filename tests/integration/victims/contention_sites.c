/* SPDX-License-Identifier: MIT */
/*
 * Waits of every kind, known by construction: a thread that is to wait is seen to sleep
 * before what it waits for comes, so the number of waits is exact, and the program's own
 * clock tells how long they took.
 *
 *     wait SITE LEAF COUNT NANOSECONDS      what the block profile must say of this site
 *     charge SITE LEAF COUNT LOW HIGH       the mutex profile: the release at this site is
 *                                           charged with at least LOW, at most HIGH
 *     charges GROUP SITE... WAITS NS        together these sites carry exactly these waits
 *
 * Context: test program.
 */
#include "wait_tally.h"

#include <linux/futex.h>
#include <semaphore.h>
#include <signal.h>
#include <threads.h>

#define HELD_MS 40
#define WAITERS 4

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
		       timed_mutex = PTHREAD_MUTEX_INITIALIZER, cond_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER, shared = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_spinlock_t spin;
static pthread_barrier_t barrier;
static sem_t sem;
static mtx_t mtx;
static cnd_t cnd;
static uint32_t futex_word;
static pthread_t sleeper;

static int64_t now(void) { return clock_read_ns(CLOCK_MONOTONIC); }

/* ---- one lock, one holder, several waiters ------------------------------------------ */

SITE(waits_for_mutex, "pthread_mutex_lock", pthread_mutex_lock(&mutex))
SITE(waits_for_recursive, "pthread_mutex_lock", pthread_mutex_lock(&recursive))
SITE(waits_timed, "pthread_mutex_timedlock", pthread_mutex_timedlock(&timed_mutex, LATER(CLOCK_REALTIME)))
SITE(waits_clock, "pthread_mutex_clocklock",
     pthread_mutex_clocklock(&timed_mutex, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC)))
SITE(gives_up_timed, "pthread_mutex_timedlock",
     pthread_mutex_timedlock(&timed_mutex, deadline(CLOCK_REALTIME, HELD_MS)))
SITE(waits_to_read, "pthread_rwlock_rdlock", pthread_rwlock_rdlock(&written))
SITE(waits_to_read_timed, "pthread_rwlock_timedrdlock", pthread_rwlock_timedrdlock(&written, LATER(CLOCK_REALTIME)))
SITE(waits_to_write, "pthread_rwlock_wrlock", pthread_rwlock_wrlock(&shared))
SITE(waits_to_write_clock, "pthread_rwlock_clockwrlock",
     pthread_rwlock_clockwrlock(&shared, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC)))
SITE(waits_for_mtx, "mtx_lock", mtx_lock(&mtx))
SITE(waits_for_mtx_timed, "mtx_timedlock", mtx_timedlock(&mtx, LATER(CLOCK_REALTIME)))

FRAME static void releases_mutex(void)
{
	pthread_mutex_unlock(&mutex);
	NO_TAIL_CALL();
}
FRAME static void passes_mutex_on(void)
{
	pthread_mutex_unlock(&mutex);
	NO_TAIL_CALL();
}
FRAME static void releases_recursive(void)
{
	pthread_mutex_unlock(&recursive);
	NO_TAIL_CALL();
}
FRAME static void keeps_recursive(void)
{
	pthread_mutex_unlock(&recursive);
	NO_TAIL_CALL();
}
FRAME static void releases_timed(void)
{
	pthread_mutex_unlock(&timed_mutex);
	NO_TAIL_CALL();
}
FRAME static void releases_written(void)
{
	pthread_rwlock_unlock(&written);
	NO_TAIL_CALL();
}
FRAME static void releases_shared(void)
{
	pthread_rwlock_unlock(&shared);
	NO_TAIL_CALL();
}
FRAME static void releases_mtx(void)
{
	mtx_unlock(&mtx);
	NO_TAIL_CALL();
}

/* Kept for a while, so that the release that ended the wait is over before the next one. */
static int then(int (*wait)(void *), void (*release)(void))
{
	const int result = wait(NULL);
	if (result == 0) {
		nap(HELD_MS / 4);
		release();
	}
	return result;
}

static int use_mutex(void *unused) { (void)unused; return then(waits_for_mutex, passes_mutex_on); }
static int use_recursive(void *unused) { (void)unused; return then(waits_for_recursive, releases_recursive); }
static int use_timed(void *unused) { (void)unused; return then(waits_timed, releases_timed); }
static int use_clock(void *unused) { (void)unused; return then(waits_clock, releases_timed); }
static int use_given_up(void *unused) { (void)unused; return then(gives_up_timed, releases_timed); }
static int use_read(void *unused) { (void)unused; return then(waits_to_read, releases_written); }
static int use_read_timed(void *unused) { (void)unused; return then(waits_to_read_timed, releases_written); }
static int use_write(void *unused) { (void)unused; return then(waits_to_write, releases_shared); }
static int use_write_clock(void *unused) { (void)unused; return then(waits_to_write_clock, releases_shared); }
static int use_mtx(void *unused) { (void)unused; return then(waits_for_mtx, releases_mtx); }
static int use_mtx_timed(void *unused) { (void)unused; return then(waits_for_mtx_timed, releases_mtx); }

/* `count` threads wait, each seen to sleep; then what they wait for is kept some time more, and given. */
static void hold(int count, int (*use)(void *), void (*release)(void))
{
	struct waiter w[WAITERS];
	for (int i = 0; i < count; i++)
		waiter_begin(&w[i], use, NULL);
	nap(HELD_MS);
	release();
	for (int i = 0; i < count; i++)
		pthread_join(w[i].thread, NULL);
}

static void mutexes(void)
{
	struct waiter w[WAITERS];
	int64_t waited = 0, start[WAITERS];
	pthread_mutex_lock(&mutex);
	for (int i = 0; i < WAITERS; i++) {
		waiter_begin(&w[i], use_mutex, NULL);
		start[i] = now();
	}
	nap(HELD_MS);
	for (int i = 0; i < WAITERS; i++)
		waited += now() - start[i];
	releases_mutex();
	for (int i = 0; i < WAITERS; i++)
		pthread_join(w[i].thread, NULL);
	printf("charge releases_mutex pthread_mutex_unlock 1 %lld %lld\n", (long long)waited,
	       (long long)tally_of_waits_for_mutex.ns);
	printf("charges releases_mutex passes_mutex_on %d %lld\n", WAITERS, (long long)tally_of_waits_for_mutex.ns);

	pthread_mutex_lock(&recursive);
	pthread_mutex_lock(&recursive);
	waiter_begin(&w[0], use_recursive, NULL);
	nap(HELD_MS / 2);
	keeps_recursive();
	nap(HELD_MS / 2);
	releases_recursive();
	pthread_join(w[0].thread, NULL);
	printf("charge keeps_recursive pthread_mutex_unlock 0 0 0\n");
	printf("charges releases_recursive 1 %lld\n", (long long)tally_of_waits_for_recursive.ns);

	pthread_mutex_lock(&timed_mutex);
	hold(1, use_timed, releases_timed);
	pthread_mutex_lock(&timed_mutex);
	hold(2, use_clock, releases_timed);
	/* In vain: the holder made it wait, all the same. */
	pthread_mutex_lock(&timed_mutex);
	waiter_begin(&w[0], use_given_up, NULL);
	waiter_end(&w[0], "a timeout");
	releases_timed();
	printf("charges releases_timed 4 %lld\n",
	       (long long)(tally_of_waits_timed.ns + tally_of_waits_clock.ns + tally_of_gives_up_timed.ns));

	mtx_lock(&mtx);
	hold(1, use_mtx, releases_mtx);
	mtx_lock(&mtx);
	hold(1, use_mtx_timed, releases_mtx);
	printf("charges releases_mtx 2 %lld\n", (long long)(tally_of_waits_for_mtx.ns + tally_of_waits_for_mtx_timed.ns));
}

static void rwlocks(void)
{
	pthread_rwlock_wrlock(&written);
	hold(3, use_read, releases_written);
	pthread_rwlock_wrlock(&written);
	hold(1, use_read_timed, releases_written);
	printf("charges releases_written 4 %lld\n",
	       (long long)(tally_of_waits_to_read.ns + tally_of_waits_to_read_timed.ns));
	pthread_rwlock_rdlock(&shared);
	hold(1, use_write, releases_shared);
	pthread_rwlock_rdlock(&shared);
	hold(2, use_write_clock, releases_shared);
	printf("charges releases_shared 3 %lld\n",
	       (long long)(tally_of_waits_to_write.ns + tally_of_waits_to_write_clock.ns));
}

/* ---- what is no lock ---------------------------------------------------------------- */

static int tokens;

SITE(waits_for_token, "pthread_cond_wait", pthread_cond_wait(&cond, &cond_mutex))
SITE(waits_for_token_timed, "pthread_cond_timedwait", pthread_cond_timedwait(&cond, &cond_mutex, LATER(CLOCK_REALTIME)))
SITE(waits_for_nothing, "pthread_cond_clockwait",
     pthread_cond_clockwait(&cond, &cond_mutex, CLOCK_MONOTONIC, deadline(CLOCK_MONOTONIC, HELD_MS)))
SITE(waits_for_sem, "sem_wait", sem_wait(&sem))
SITE(waits_for_sem_timed, "sem_timedwait", sem_timedwait(&sem, deadline(CLOCK_REALTIME, HELD_MS)))
SITE(waits_for_sem_clock, "sem_clockwait", sem_clockwait(&sem, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC)))
SITE(waits_for_thread, "pthread_join", pthread_join(sleeper, NULL))
SITE(waits_for_thread_timed, "pthread_timedjoin_np",
     pthread_timedjoin_np(sleeper, NULL, deadline(CLOCK_REALTIME, HELD_MS)))
SITE(waits_for_thread_clock, "pthread_clockjoin_np",
     pthread_clockjoin_np(sleeper, NULL, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC)))
SITE(waits_at_barrier, "pthread_barrier_wait", pthread_barrier_wait(&barrier))
SITE(waits_for_spin, "pthread_spin_lock", pthread_spin_lock(&spin))
SITE(waits_for_cnd, "cnd_wait", cnd_wait(&cnd, &mtx))
SITE(waits_for_cnd_timed, "cnd_timedwait", cnd_timedwait(&cnd, &mtx, deadline(CLOCK_REALTIME, HELD_MS)))
SITE(waits_for_futex, "syscall",
     (int)syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0))
SITE(waits_for_futex_bits, "syscall",
     (int)syscall(SYS_futex, &futex_word, FUTEX_WAIT_BITSET_PRIVATE, 0, deadline(CLOCK_MONOTONIC, HELD_MS), NULL, 1))

static int take_token(void *wait)
{
	pthread_mutex_lock(&cond_mutex);
	while (tokens == 0)
		((int (*)(void *))wait)(NULL);
	tokens--;
	pthread_mutex_unlock(&cond_mutex);
	return 0;
}

FRAME static void gives_token(void)
{
	pthread_mutex_lock(&cond_mutex);
	tokens++;
	pthread_cond_signal(&cond);
	/* The one who is woken waits for the mutex too; that belongs to its wait for the condition. */
	nap(HELD_MS / 2);
	pthread_mutex_unlock(&cond_mutex);
	NO_TAIL_CALL();
}

static void conds(void)
{
	struct waiter w[3];
	for (int i = 0; i < 3; i++)
		waiter_begin(&w[i], take_token, (void *)(i == 2 ? waits_for_token_timed : waits_for_token));
	nap(HELD_MS);
	for (int i = 0; i < 3; i++)
		gives_token();
	for (int i = 0; i < 3; i++)
		pthread_join(w[i].thread, NULL);
	pthread_mutex_lock(&cond_mutex);
	waits_for_nothing(NULL);
	pthread_mutex_unlock(&cond_mutex);
}

static void on_signal(int signal) { (void)signal; }

static void sems(void)
{
	struct waiter w[3];
	for (int i = 0; i < 3; i++)
		waiter_begin(&w[i], i == 2 ? waits_for_sem_clock : waits_for_sem, NULL);
	nap(HELD_MS);
	for (int i = 0; i < 3; i++)
		sem_post(&sem);
	for (int i = 0; i < 3; i++)
		pthread_join(w[i].thread, NULL);
	waits_for_sem_timed(NULL);
	/* Interrupted: it waited until then. */
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = on_signal;
	sigaction(SIGUSR2, &action, NULL);
	waiter_begin(&w[0], waits_for_sem, NULL);
	nap(HELD_MS);
	pthread_kill(w[0].thread, SIGUSR2);
	pthread_join(w[0].thread, NULL);
}

static void *sleep_some(void *unused)
{
	nap(2 * HELD_MS);
	return unused;
}

static void joins(void)
{
	pthread_create(&sleeper, NULL, sleep_some, NULL);
	waits_for_thread(NULL);
	pthread_create(&sleeper, NULL, sleep_some, NULL);
	waits_for_thread_timed(NULL);
	waits_for_thread_clock(NULL);
}

static int spin_and_back(void *unused)
{
	(void)unused;
	waits_for_spin(NULL);
	return pthread_spin_unlock(&spin);
}

FRAME static void releases_spin(void)
{
	pthread_spin_unlock(&spin);
	NO_TAIL_CALL();
}

static void barriers_and_spins(void)
{
	struct waiter w[2];
	struct other o = {spin_and_back, NULL, 0, 0};
	pthread_t thread;
	waiter_begin(&w[0], waits_at_barrier, NULL);
	waiter_begin(&w[1], waits_at_barrier, NULL);
	nap(HELD_MS);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 2; i++)
		pthread_join(w[i].thread, NULL);

	pthread_spin_lock(&spin);
	pthread_create(&thread, NULL, other_main, &o);
	nap(2 * HELD_MS);
	releases_spin();
	pthread_join(thread, NULL);
	printf("charges releases_spin 1 %lld\n", (long long)tally_of_waits_for_spin.ns);
}

static int cnd_tokens;

static int take_cnd_token(void *unused)
{
	(void)unused;
	mtx_lock(&mtx);
	while (cnd_tokens == 0)
		waits_for_cnd(NULL);
	cnd_tokens--;
	mtx_unlock(&mtx);
	return 0;
}

static void c11(void)
{
	struct waiter w;
	waiter_begin(&w, take_cnd_token, NULL);
	nap(HELD_MS);
	mtx_lock(&mtx);
	cnd_tokens++;
	cnd_signal(&cnd);
	mtx_unlock(&mtx);
	pthread_join(w.thread, NULL);
	mtx_lock(&mtx);
	waits_for_cnd_timed(NULL);
	mtx_unlock(&mtx);
}

static void futexes(void)
{
	struct waiter w[2];
	waiter_begin(&w[0], waits_for_futex, NULL);
	waiter_begin(&w[1], waits_for_futex, NULL);
	nap(HELD_MS);
	syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0);
	for (int i = 0; i < 2; i++)
		pthread_join(w[i].thread, NULL);
	waits_for_futex_bits(NULL);
}

/* None of this waits. */
FRAME static void never_waits(void)
{
	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&mutex);
		pthread_mutex_trylock(&mutex);
		pthread_mutex_unlock(&mutex);
		pthread_mutex_lock(&recursive);
		pthread_mutex_lock(&recursive);
		pthread_mutex_unlock(&recursive);
		pthread_mutex_unlock(&recursive);
		pthread_mutex_timedlock(&timed_mutex, GONE(CLOCK_REALTIME));
		pthread_mutex_unlock(&timed_mutex);
		pthread_rwlock_rdlock(&written);
		pthread_rwlock_rdlock(&written);
		pthread_rwlock_trywrlock(&written);
		pthread_rwlock_unlock(&written);
		pthread_rwlock_unlock(&written);
		pthread_rwlock_wrlock(&shared);
		pthread_rwlock_wrlock(&shared); /* EDEADLK */
		pthread_rwlock_unlock(&shared);
		sem_post(&sem);
		sem_wait(&sem);
		sem_trywait(&sem);
		pthread_spin_lock(&spin);
		pthread_spin_unlock(&spin);
		mtx_lock(&mtx);
		mtx_unlock(&mtx);
		pthread_cond_signal(&cond);
		syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0); /* EAGAIN */
		syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
}

int main(void)
{
	begin();
	mtx_init(&mtx, mtx_timed);
	cnd_init(&cnd);
	sem_init(&sem, 0, 0);
	pthread_spin_init(&spin, 0);
	pthread_barrier_init(&barrier, NULL, 3);
	mutexes();
	rwlocks();
	conds();
	sems();
	joins();
	barriers_and_spins();
	c11();
	futexes();
	never_waits();
	static const struct wait_tally *const all[] = {
		&tally_of_waits_for_mutex, &tally_of_waits_for_recursive, &tally_of_waits_timed, &tally_of_waits_clock,
		&tally_of_gives_up_timed, &tally_of_waits_to_read, &tally_of_waits_to_read_timed,
		&tally_of_waits_to_write, &tally_of_waits_to_write_clock, &tally_of_waits_for_mtx,
		&tally_of_waits_for_mtx_timed, &tally_of_waits_for_token, &tally_of_waits_for_token_timed,
		&tally_of_waits_for_nothing, &tally_of_waits_for_sem, &tally_of_waits_for_sem_timed,
		&tally_of_waits_for_sem_clock, &tally_of_waits_for_thread, &tally_of_waits_for_thread_timed,
		&tally_of_waits_for_thread_clock, &tally_of_waits_at_barrier, &tally_of_waits_for_spin,
		&tally_of_waits_for_cnd, &tally_of_waits_for_cnd_timed, &tally_of_waits_for_futex,
		&tally_of_waits_for_futex_bits};
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		tally_print(all[i]);
	return 0;
}
