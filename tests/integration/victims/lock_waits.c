/* SPDX-License-Identifier: MIT */
/*
 * Read-write locks, condition variables and semaphores: each call free, waited for, in
 * time and not, interrupted, and with arguments that are none.
 *
 * Context: test program.
 */
#include "lock_victim.h"

#include <limits.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* ---- read-write locks --------------------------------------------------------------- */

static int rdlock(void *l) { return pthread_rwlock_rdlock(l); }
static int wrlock(void *l) { return pthread_rwlock_wrlock(l); }
static int rwunlock(void *l) { return pthread_rwlock_unlock(l); }
static int tryrdlock_and_back(void *l)
{
	const int result = pthread_rwlock_tryrdlock(l);
	return result ? result : pthread_rwlock_unlock(l);
}
static int wrlock_and_back(void *l)
{
	const int result = pthread_rwlock_wrlock(l);
	return result ? result : pthread_rwlock_unlock(l);
}
static int timedrdlock_and_back(void *l)
{
	const int result = pthread_rwlock_timedrdlock(l, LATER(CLOCK_REALTIME));
	return result ? result : pthread_rwlock_unlock(l);
}
static int trywrlock(void *l) { return pthread_rwlock_trywrlock(l); }
static int timedrdlock_soon(void *l) { return pthread_rwlock_timedrdlock(l, SOON(CLOCK_REALTIME)); }
static int timedwrlock_soon(void *l) { return pthread_rwlock_timedwrlock(l, SOON(CLOCK_REALTIME)); }
static int clockrdlock_soon(void *l) { return pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, SOON(CLOCK_MONOTONIC)); }
static int clockwrlock_soon(void *l) { return pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, SOON(CLOCK_MONOTONIC)); }
static int clockrdlock_cputime(void *l) { return pthread_rwlock_clockrdlock(l, CLOCK_PROCESS_CPUTIME_ID, SOON(0)); }
static int clockwrlock_unknown(void *l) { return pthread_rwlock_clockwrlock(l, 9999, SOON(0)); }
static int timedrdlock_gone(void *l) { return pthread_rwlock_timedrdlock(l, GONE(CLOCK_REALTIME)); }
static int timedwrlock_negative(void *l) { return pthread_rwlock_timedwrlock(l, &negative); }
static int timedrdlock_too_large(void *l) { return pthread_rwlock_timedrdlock(l, &too_large); }
static int timedwrlock_1970(void *l) { return pthread_rwlock_timedwrlock(l, &before_1970); }

static void others_on_rwlock(pthread_rwlock_t *l)
{
	SAY_OTHER(tryrdlock_and_back, l);
	SAY_OTHER(trywrlock, l);
	SAY_OTHER(timedwrlock_soon, l);
	SAY_OTHER(clockwrlock_soon, l);
	SAY_OTHER(clockwrlock_unknown, l);
	SAY_OTHER(timedwrlock_negative, l);
	SAY_OTHER(timedwrlock_1970, l);
}

static void rwlock(int kind, int shared)
{
	pthread_rwlockattr_t attributes;
	pthread_rwlock_t storage, *l = &storage;
	pthread_rwlockattr_init(&attributes);
	SAY(pthread_rwlockattr_setkind_np(&attributes, kind));
	SAY(pthread_rwlockattr_setpshared(&attributes, shared));
	SAY(pthread_rwlock_init(l, &attributes));
	SAY(pthread_rwlock_rdlock(l));
	SAY(pthread_rwlock_rdlock(l));
	SAY(pthread_rwlock_tryrdlock(l));
	SAY(pthread_rwlock_trywrlock(l));
	SAY(pthread_rwlock_timedwrlock(l, SOON(CLOCK_REALTIME)));
	others_on_rwlock(l);
	SAY(pthread_rwlock_unlock(l));
	SAY(pthread_rwlock_unlock(l));
	SAY(pthread_rwlock_unlock(l));
	SAY(pthread_rwlock_wrlock(l));
	SAY(pthread_rwlock_wrlock(l));
	SAY(pthread_rwlock_rdlock(l));
	SAY(pthread_rwlock_tryrdlock(l));
	SAY(pthread_rwlock_timedrdlock(l, LATER(CLOCK_REALTIME)));
	SAY(pthread_rwlock_timedwrlock(l, LATER(CLOCK_REALTIME)));
	SAY(pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC)));
	others_on_rwlock(l);
	SAY_OTHER(timedrdlock_soon, l);
	SAY_OTHER(clockrdlock_soon, l);
	SAY_OTHER(clockrdlock_cputime, l);
	SAY_OTHER(timedrdlock_gone, l);
	SAY_OTHER(timedrdlock_too_large, l);
	SAY(pthread_rwlock_unlock(l));
	SAY_WAITING(pthread_rwlock_rdlock(l), wrlock, rwunlock, l);
	SAY(pthread_rwlock_unlock(l));
	SAY_WAITING(pthread_rwlock_wrlock(l), rdlock, rwunlock, l);
	SAY(pthread_rwlock_unlock(l));
	SAY_WAITING(pthread_rwlock_wrlock(l), wrlock, rwunlock, l);
	SAY(pthread_rwlock_unlock(l));
	SAY_WAITING(pthread_rwlock_timedrdlock(l, LATER(CLOCK_REALTIME)), wrlock, rwunlock, l);
	SAY(pthread_rwlock_unlock(l));
	SAY_WAITING(pthread_rwlock_timedwrlock(l, LATER(CLOCK_REALTIME)), rdlock, rwunlock, l);
	SAY(pthread_rwlock_unlock(l));
	SAY_WAITING(pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC)), wrlock, rwunlock, l);
	SAY(pthread_rwlock_unlock(l));
	SAY_WAITING(pthread_rwlock_clockwrlock(l, CLOCK_REALTIME, LATER(CLOCK_REALTIME)), wrlock, rwunlock, l);
	SAY(pthread_rwlock_unlock(l));
	/* A writer waits: whether another reader gets in is the kind's affair. */
	struct waiter writer;
	pthread_rwlock_rdlock(l);
	waiter_begin(&writer, wrlock_and_back, l);
	SAY_OTHER(tryrdlock_and_back, l);
	SAY_OTHER(timedwrlock_soon, l);
	pthread_rwlock_unlock(l);
	waiter_end(&writer, "the writer that waited");
	/* A reader waits, and gets it back after a writer. */
	pthread_rwlock_wrlock(l);
	waiter_begin(&writer, timedrdlock_and_back, l);
	pthread_rwlock_unlock(l);
	waiter_end(&writer, "the reader that waited");
	SAY(pthread_rwlock_destroy(l));
}

/* ---- condition variables ------------------------------------------------------------ */

static pthread_mutex_t cond_mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int tokens;

/* Takes a token when there is one; the mutex is this thread's at each return. */
static int take_token(void *how)
{
	int result = pthread_mutex_lock(&cond_mutex);
	while (result == 0 && tokens == 0) {
		result = how == NULL ? pthread_cond_wait(&cond, &cond_mutex)
			 : *(int *)how == CLOCK_REALTIME
				 ? pthread_cond_timedwait(&cond, &cond_mutex, LATER(CLOCK_REALTIME))
				 : pthread_cond_clockwait(&cond, &cond_mutex, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC));
		if (pthread_mutex_lock(&cond_mutex) != EDEADLK)
			printf("    not the owner after a wait\n");
	}
	tokens--;
	const int unlocked = pthread_mutex_unlock(&cond_mutex);
	return result ? result : unlocked;
}

static void give_tokens(int count, bool by_broadcast)
{
	pthread_mutex_lock(&cond_mutex);
	tokens += count;
	if (by_broadcast)
		SAY(pthread_cond_broadcast(&cond));
	else
		SAY(pthread_cond_signal(&cond));
	pthread_mutex_unlock(&cond_mutex);
}

static int wait_a_moment(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&cond_mutex);
	const int result = pthread_cond_timedwait(&cond, &cond_mutex, deadline(CLOCK_REALTIME, 30));
	const int unlocked = pthread_mutex_unlock(&cond_mutex);
	return unlocked ? unlocked : result;
}

static pthread_mutex_t robust_mutex;

static int lock_robust(void *unused)
{
	(void)unused;
	return pthread_mutex_lock(&robust_mutex);
}

static int wait_with_robust(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&robust_mutex);
	const int result = pthread_cond_wait(&cond, &robust_mutex);
	const int unlocked = pthread_mutex_unlock(&robust_mutex);
	return result * 1000 + unlocked;
}

static void conds_with(pthread_mutex_t *m, const char *what)
{
	pthread_cond_t c = PTHREAD_COND_INITIALIZER;
	printf("cond with %s mutex\n", what);
	SAY(pthread_mutex_lock(m));
	SAY(pthread_cond_timedwait(&c, m, GONE(CLOCK_REALTIME)));
	SAY(pthread_cond_timedwait(&c, m, SOON(CLOCK_REALTIME)));
	SAY(pthread_cond_timedwait(&c, m, &negative));
	SAY(pthread_cond_timedwait(&c, m, &too_large));
	SAY(pthread_cond_timedwait(&c, m, &before_1970));
	SAY(pthread_cond_clockwait(&c, m, CLOCK_MONOTONIC, SOON(CLOCK_MONOTONIC)));
	SAY(pthread_cond_clockwait(&c, m, CLOCK_REALTIME, GONE(CLOCK_REALTIME)));
	SAY(pthread_cond_clockwait(&c, m, CLOCK_MONOTONIC, &negative));
	SAY(pthread_cond_clockwait(&c, m, CLOCK_PROCESS_CPUTIME_ID, SOON(0)));
	SAY(pthread_cond_clockwait(&c, m, 9999, SOON(0)));
	SAY(pthread_mutex_unlock(m));
	SAY(pthread_cond_signal(&c));
	SAY(pthread_cond_broadcast(&c));
	SAY(pthread_cond_destroy(&c));
}

static void conds(void)
{
	static const pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER, recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
				     errorcheck = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP,
				     adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
	int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
	pthread_mutex_t m;
	conds_with(memcpy(&m, &plain, sizeof m), "normal");
	conds_with(memcpy(&m, &recursive, sizeof m), "recursive");
	conds_with(memcpy(&m, &errorcheck, sizeof m), "errorcheck");
	conds_with(memcpy(&m, &adaptive, sizeof m), "adaptive");
	pthread_mutexattr_t attributes;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&m, &attributes);
	conds_with(&m, "inheriting");
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&m, &attributes);
	conds_with(&m, "robust inheriting");

	printf("cond without the mutex\n");
	SAY(pthread_cond_wait(&cond, &cond_mutex));
	SAY(pthread_cond_timedwait(&cond, &cond_mutex, SOON(CLOCK_REALTIME)));
	printf("cond woken\n");
	struct waiter w[3];
	for (int by_broadcast = 0; by_broadcast < 2; by_broadcast++)
		for (int how = -1; how < 2; how++) {
			waiter_begin(&w[0], take_token, how < 0 ? NULL : &clocks[how]);
			give_tokens(1, by_broadcast);
			waiter_end(&w[0], "one waiter");
		}
	for (int i = 0; i < 3; i++)
		waiter_begin(&w[i], take_token, NULL);
	give_tokens(3, true);
	for (int i = 0; i < 3; i++)
		waiter_end(&w[i], "one of three");
	printf("    tokens %d\n", tokens);

	printf("cond whose mutex is somebody's at the deadline\n");
	waiter_begin(&w[0], wait_a_moment, NULL);
	pthread_mutex_lock(&cond_mutex);
	nap(60);
	pthread_mutex_unlock(&cond_mutex);
	waiter_end(&w[0], "the wait");

	printf("cond whose mutex is left by a dead owner\n");
	for (int lost = 0; lost < 2; lost++) {
		pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_NONE);
		pthread_mutex_init(&robust_mutex, &attributes);
		waiter_begin(&w[0], wait_with_robust, NULL);
		SAY_OTHER(lock_robust, NULL);
		if (lost) {
			SAY(pthread_mutex_lock(&robust_mutex));
			SAY(pthread_mutex_unlock(&robust_mutex));
		}
		SAY(pthread_cond_signal(&cond));
		waiter_end(&w[0], "the wait");
	}
}

/* ---- semaphores --------------------------------------------------------------------- */

static sem_t sem;
static volatile sig_atomic_t signals_seen;

static void on_signal(int signal)
{
	signals_seen += signal == SIGUSR2;
}

static void on_signal_post(int signal)
{
	signals_seen += signal == SIGUSR2;
	sem_post(&sem);
}

static int wait_sem(void *unused) { (void)unused; return sem_wait(&sem); }
static int timedwait_sem(void *unused) { (void)unused; return sem_timedwait(&sem, LATER(CLOCK_REALTIME)); }
static int clockwait_sem(void *unused)
{
	(void)unused;
	return sem_clockwait(&sem, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC));
}

static void handle(void (*handler)(int), int flags)
{
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = handler;
	action.sa_flags = flags;
	sigaction(SIGUSR2, &action, NULL);
}

static void semaphores(void)
{
	static int (*const calls[])(void *) = {wait_sem, timedwait_sem, clockwait_sem};
	static const char *const names[] = {"sem_wait", "sem_timedwait", "sem_clockwait"};
	struct waiter w;
	int value;
	printf("semaphore\n");
	SAY(sem_init(&sem, 0, (unsigned)SEM_VALUE_MAX + 1u));
	SAY(sem_init(&sem, 0, 1));
	SAY(sem_wait(&sem));
	SAY(sem_trywait(&sem));
	SAY(sem_timedwait(&sem, GONE(CLOCK_REALTIME)));
	SAY(sem_timedwait(&sem, SOON(CLOCK_REALTIME)));
	SAY(sem_timedwait(&sem, &negative));
	SAY(sem_timedwait(&sem, &too_large));
	SAY(sem_timedwait(&sem, &before_1970));
	SAY(sem_clockwait(&sem, CLOCK_MONOTONIC, SOON(CLOCK_MONOTONIC)));
	SAY(sem_clockwait(&sem, CLOCK_REALTIME, GONE(CLOCK_REALTIME)));
	SAY(sem_clockwait(&sem, CLOCK_PROCESS_CPUTIME_ID, SOON(0)));
	SAY(sem_clockwait(&sem, 9999, SOON(0)));
	SAY(sem_post(&sem));
	SAY(sem_timedwait(&sem, &negative));
	SAY(sem_post(&sem));
	SAY(sem_clockwait(&sem, 9999, SOON(0)));
	while (sem_trywait(&sem) == 0)
		;
	for (size_t i = 0; i < 3; i++) {
		printf("semaphore, %s in another thread\n", names[i]);
		waiter_begin(&w, calls[i], NULL);
		SAY(sem_post(&sem));
		waiter_end(&w, "posted");
		handle(on_signal, 0);
		waiter_begin(&w, calls[i], NULL);
		pthread_kill(w.thread, SIGUSR2);
		waiter_end(&w, "interrupted");
		handle(on_signal_post, 0);
		waiter_begin(&w, calls[i], NULL);
		pthread_kill(w.thread, SIGUSR2);
		waiter_end(&w, "interrupted by a handler that posts");
		sem_trywait(&sem);
		handle(on_signal_post, SA_RESTART);
		waiter_begin(&w, calls[i], NULL);
		pthread_kill(w.thread, SIGUSR2);
		waiter_end(&w, "interrupted by one that restarts, and posts");
		sem_trywait(&sem);
		sem_getvalue(&sem, &value);
		printf("    value %d signals %d\n", value, (int)signals_seen);
	}
	SAY(sem_destroy(&sem));
	sem_init(&sem, 0, SEM_VALUE_MAX);
	SAY(sem_post(&sem));
	SAY(sem_wait(&sem));
	sem_getvalue(&sem, &value);
	printf("    value %d\n", value);

	printf("semaphores between processes\n");
	sem_t *shared = mmap(NULL, 2 * sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sem_init(&shared[0], 1, 0);
	sem_init(&shared[1], 1, 0);
	fflush(stdout);
	const pid_t child = fork();
	if (child == 0) {
		SAY(sem_wait(&shared[0]));
		nap(20);
		SAY(sem_post(&shared[1]));
		_exit(0);
	}
	nap(20);
	sem_post(&shared[0]);
	SAY_AS("sem_wait for the child", sem_wait(&shared[1]) + waitpid(child, NULL, 0) - child);
	char name[64];
	snprintf(name, sizeof name, "/lock-waits-%d", (int)getpid());
	sem_t *named = sem_open(name, O_CREAT | O_EXCL, 0600, 1);
	SAY(sem_wait(named));
	SAY(sem_timedwait(named, SOON(CLOCK_REALTIME)));
	SAY(sem_close(named));
	SAY(sem_unlink(name));
}

int main(void)
{
	static const struct {
		const char *name;
		int kind;
	} kinds[] = {{"prefers readers", PTHREAD_RWLOCK_PREFER_READER_NP},
		     {"prefers writers", PTHREAD_RWLOCK_PREFER_WRITER_NP},
		     {"prefers writers, not recursive", PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP}};
	begin();
	for (int i = 0; i < 3; i++)
		for (int shared = 0; shared < 2; shared++) {
			printf("rwlock that %s%s\n", kinds[i].name, shared ? ", shared" : "");
			rwlock(kinds[i].kind, shared);
		}
	conds();
	semaphores();
	return 0;
}
