/* SPDX-License-Identifier: MIT */
/*
 * Locks at the edge of their lives: gone as soon as the one who waited has them, waited
 * for on the smallest stacks, by a thousand threads each for its own, by a handler in the
 * middle of another wait, left by a jump a thousand times.
 *
 *     lock_edges MODE
 *
 * Prints "NAME figure..." where the test needs to know.
 *
 * Context: test program.
 */
#include "wait_tally.h"

#include <limits.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

/* ---- gone with the release ---------------------------------------------------------- */

#define ROUNDS 3000

/* Alone on its page, which is unmapped by the one who waited. */
struct object {
	pthread_mutex_t mutex;
	pthread_rwlock_t rwlock;
	pthread_spinlock_t spin;
	sem_t sem;
	pthread_barrier_t barrier;
};

static struct object *objects[ROUNDS];
static pthread_barrier_t both;

FRAME static void take_and_unmap(struct object *o, int kind)
{
	switch (kind) {
	case 0:
		pthread_mutex_lock(&o->mutex);
		pthread_mutex_unlock(&o->mutex);
		break;
	case 1:
		pthread_rwlock_rdlock(&o->rwlock);
		pthread_rwlock_unlock(&o->rwlock);
		break;
	case 2:
		pthread_spin_lock(&o->spin);
		pthread_spin_unlock(&o->spin);
		break;
	case 3:
		while (sem_wait(&o->sem))
			;
		break;
	default:
		pthread_barrier_wait(&o->barrier);
		pthread_barrier_destroy(&o->barrier); /* waits until all others have left it */
		break;
	}
	munmap(o, sizeof *o);
}

static void *other_side(void *unused)
{
	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&both);
		take_and_unmap(objects[round], round % 5);
	}
	return unused;
}

static void lifetimes(void)
{
	pthread_t thread;
	pthread_barrier_init(&both, NULL, 2);
	pthread_create(&thread, NULL, other_side, NULL);
	for (int round = 0; round < ROUNDS; round++) {
		struct object *o = mmap(NULL, sizeof *o, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		pthread_mutex_init(&o->mutex, NULL);
		pthread_rwlock_init(&o->rwlock, NULL);
		pthread_spin_init(&o->spin, 0);
		sem_init(&o->sem, 0, 0);
		pthread_barrier_init(&o->barrier, NULL, 2);
		pthread_mutex_lock(&o->mutex);
		pthread_rwlock_wrlock(&o->rwlock);
		pthread_spin_lock(&o->spin);
		objects[round] = o;
		pthread_barrier_wait(&both);
		if (round % 10 < 5)
			spin_briefly();
		else if (round % 50 < 20)
			nap(1);
		switch (round % 5) {
		case 0:
			pthread_mutex_unlock(&o->mutex);
			break;
		case 1:
			pthread_rwlock_unlock(&o->rwlock);
			break;
		case 2:
			pthread_spin_unlock(&o->spin);
			break;
		case 3:
			sem_post(&o->sem);
			break;
		default:
			pthread_barrier_wait(&o->barrier);
		}
	}
	pthread_join(thread, NULL);
	printf("rounds %d\n", ROUNDS);
}

/* ---- the smallest stacks ------------------------------------------------------------ */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t sem;

FRAME static int small_waits(void)
{
	int failed = 0;
	pthread_mutex_lock(&mutex);
	failed += pthread_cond_timedwait(&cond, &mutex, deadline(CLOCK_REALTIME, 3)) != ETIMEDOUT;
	pthread_mutex_unlock(&mutex);
	failed += sem_timedwait(&sem, deadline(CLOCK_REALTIME, 3)) != -1;
	return failed;
}

static void *on_small_stack(void *unused)
{
	return small_waits() ? &mutex : unused;
}

static void small_stacks(void)
{
	pthread_attr_t attributes;
	void *value;
	int failed = 0;
	sem_init(&sem, 0, 0);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN);
	pthread_mutex_lock(&mutex);
	pthread_t threads[10];
	for (int i = 0; i < 10; i++)
		failed += pthread_create(&threads[i], &attributes, on_small_stack, NULL);
	nap(20);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < 10; i++) {
		pthread_join(threads[i], &value);
		failed += value != NULL;
	}
	printf("failed %d\n", failed);
}

/* ---- a crowd ------------------------------------------------------------------------ */

#define CROWD 1300

static pthread_mutex_t own[CROWD];
static int waiting;

SITE(waits_for_own, "pthread_mutex_lock", pthread_mutex_lock((pthread_mutex_t *)object))

FRAME static void releases_own(pthread_mutex_t *m)
{
	pthread_mutex_unlock(m);
	NO_TAIL_CALL();
}

static void *wait_for_own(void *m)
{
	__atomic_fetch_add(&waiting, 1, __ATOMIC_RELAXED);
	waits_for_own(m);
	pthread_mutex_unlock((pthread_mutex_t *)m);
	return NULL;
}

static void crowd(void)
{
	static pthread_t threads[CROWD];
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	for (int i = 0; i < CROWD; i++) {
		pthread_mutex_init(&own[i], NULL);
		pthread_mutex_lock(&own[i]);
		if (pthread_create(&threads[i], &attributes, wait_for_own, &own[i]))
			exit(9);
	}
	while (__atomic_load_n(&waiting, __ATOMIC_RELAXED) < CROWD)
		nap(1);
	for (int i = 0; i < CROWD; i++)
		while (__atomic_load_n(&own[i].__data.__lock, __ATOMIC_RELAXED) != 2)
			nap(1);
	nap(50);
	for (int i = 0; i < CROWD; i++)
		releases_own(&own[i]);
	for (int i = 0; i < CROWD; i++)
		pthread_join(threads[i], NULL);
	tally_print(&tally_of_waits_for_own);
}

/* ---- handlers in the middle of waits ------------------------------------------------ */

static pthread_mutex_t for_handler = PTHREAD_MUTEX_INITIALIZER;
static volatile sig_atomic_t handled;
static sigjmp_buf jump;

SITE(handler_waits, "pthread_mutex_timedlock", pthread_mutex_timedlock(&for_handler, deadline(CLOCK_REALTIME, 2)))
SITE(outer_waits, "pthread_mutex_lock", pthread_mutex_lock(&mutex))

static void wait_in_handler(int signal)
{
	handled += signal == SIGUSR2;
	handler_waits(NULL);
}

static void jump_from_handler(int signal)
{
	siglongjmp(jump, signal);
}

FRAME static void left_waits(int how)
{
	if (how == 0)
		pthread_mutex_lock(&mutex);
	else
		sem_wait(&sem);
	NO_TAIL_CALL();
}

static void *signal_it(void *whom)
{
	struct waiter *w = (struct waiter *)whom;
	for (int i = 0; i < 20; i++) {
		const sig_atomic_t before = handled;
		pthread_kill(w->thread, SIGUSR2);
		while (handled == before)
			nap(1);
		nap(4);
	}
	return NULL;
}

static void handlers(void)
{
	struct waiter w;
	struct sigaction action;
	pthread_t thread;
	memset(&action, 0, sizeof action);
	action.sa_handler = wait_in_handler;
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR2, &action, NULL);
	sem_init(&sem, 0, 0);
	pthread_mutex_lock(&for_handler);
	pthread_mutex_lock(&mutex);
	/* One wait, with twenty others in it. */
	waiter_begin(&w, outer_waits, NULL);
	pthread_create(&thread, NULL, signal_it, &w);
	pthread_join(thread, NULL);
	pthread_mutex_unlock(&mutex);
	pthread_join(w.thread, NULL);
	tally_print(&tally_of_handler_waits);
	tally_print(&tally_of_outer_waits);
	printf("handled %d\n", (int)handled);
}

/* Waits that never end by themselves: what is left of them does not pile up. */
#define JUMPS 200

static pid_t jumping;
static volatile int left;

static void *jump_out(void *unused)
{
	__atomic_store_n(&jumping, thread_id(), __ATOMIC_RELEASE);
	for (left = 0; left < JUMPS;)
		if (sigsetjmp(jump, 1) == 0) {
			__atomic_store_n(&waiting, 1, __ATOMIC_RELEASE);
			left_waits(left % 2);
		} else {
			left++;
		}
	__atomic_store_n(&waiting, 2, __ATOMIC_RELEASE);
	return unused;
}

/* `is_blocked`: only when it is seen to sleep there; else at any moment. */
static void jump_about(bool is_blocked)
{
	struct sigaction action;
	struct waiter w;
	pthread_t thread;
	memset(&action, 0, sizeof action);
	action.sa_handler = jump_from_handler;
	sigaction(SIGUSR2, &action, NULL);
	sem_init(&sem, 0, 0);
	pthread_mutex_lock(&mutex);
	pthread_create(&thread, NULL, jump_out, NULL);
	for (int state; (state = __atomic_exchange_n(&waiting, 0, __ATOMIC_ACQ_REL)) != 2;)
		if (state == 1) {
			if (is_blocked)
				await_blocked(__atomic_load_n(&jumping, __ATOMIC_ACQUIRE));
			else
				for (int i = 0; i < 20; i++)
					sched_yield();
			pthread_kill(thread, SIGUSR2);
		} else {
			sched_yield();
		}
	pthread_join(thread, NULL);
	/* Another thread's wait afterwards. */
	waiter_begin(&w, outer_waits, NULL);
	nap(20);
	pthread_mutex_unlock(&mutex);
	pthread_join(w.thread, NULL);
	tally_print(&tally_of_outer_waits);
}

static void jumps(void) { jump_about(true); }
static void jumps_anywhere(void) { jump_about(false); }

/* ---- everybody against everybody ---------------------------------------------------- */

static pthread_mutex_t several[3] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP,
				     PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static long work_done;

static void work_briefly(uint64_t *random)
{
	for (uint64_t i = random_next(random) % 200; i > 0; i--)
		__asm__ volatile("" ::: "memory");
	if (random_next(random) % 16 == 0)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, 20000}, NULL);
}

static void *hammer_along(void *seed)
{
	uint64_t random = (uint64_t)(uintptr_t)seed;
	for (int i = 0; i < 8000; i++) {
		pthread_mutex_t *m = &several[random_next(&random) % 3];
		int result = 0;
		switch (random_next(&random) % 6) {
		case 0:
			result = pthread_rwlock_wrlock(&rwlock);
			work_briefly(&random);
			pthread_rwlock_unlock(&rwlock);
			break;
		case 1:
			result = pthread_rwlock_rdlock(&rwlock);
			work_briefly(&random);
			pthread_rwlock_unlock(&rwlock);
			break;
		case 2: {
			const struct timespec soon = from_now(CLOCK_REALTIME, 0);
			result = pthread_mutex_timedlock(m, &soon);
			break;
		}
		case 3:
			result = pthread_mutex_trylock(m);
			break;
		default:
			result = pthread_mutex_lock(m);
		}
		__atomic_fetch_add(&work_done, 1, __ATOMIC_RELAXED);
		if (result == 0 && m->__data.__owner == thread_id()) {
			work_briefly(&random);
			pthread_mutex_unlock(m);
		}
	}
	return NULL;
}

static void hammer(void)
{
	pthread_t threads[5];
	for (uintptr_t i = 0; i < 5; i++)
		pthread_create(&threads[i], NULL, hammer_along, (void *)(i * 7919 + 1));
	for (int i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 3; i++) {
		const int result = pthread_mutex_trylock(&several[i]);
		printf("free %d\n", result);
	}
	printf("done %ld\n", work_done);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = {{"lifetimes", lifetimes}, {"small-stacks", small_stacks}, {"crowd", crowd}, {"handlers", handlers},
		     {"jumps", jumps}, {"jumps-anywhere", jumps_anywhere}, {"hammer", hammer}};
	begin();
	for (size_t i = 0; argc == 2 && i < sizeof modes / sizeof modes[0]; i++)
		if (!strcmp(argv[1], modes[i].name)) {
			modes[i].run();
			return 0;
		}
	return 2;
}
