/* SPDX-License-Identifier: MIT */
/*
 * Every kind of mutex, every function on it, free, owned, waited for, in time and not,
 * and with deadlines that are none.
 *
 * Context: test program.
 */
#include "lock_victim.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

static int lock(void *m) { return pthread_mutex_lock(m); }
static int unlock(void *m) { return pthread_mutex_unlock(m); }
static int trylock(void *m) { return pthread_mutex_trylock(m); }
static int timedlock_gone(void *m) { return pthread_mutex_timedlock(m, GONE(CLOCK_REALTIME)); }
static int timedlock_soon(void *m) { return pthread_mutex_timedlock(m, SOON(CLOCK_REALTIME)); }
static int timedlock_1970(void *m) { return pthread_mutex_timedlock(m, &before_1970); }
static int timedlock_negative(void *m) { return pthread_mutex_timedlock(m, &negative); }
static int timedlock_too_large(void *m) { return pthread_mutex_timedlock(m, &too_large); }
static int clocklock_realtime(void *m) { return pthread_mutex_clocklock(m, CLOCK_REALTIME, SOON(CLOCK_REALTIME)); }
static int clocklock_monotonic(void *m) { return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, SOON(CLOCK_MONOTONIC)); }
static int clocklock_negative(void *m) { return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &negative); }
static int clocklock_cputime(void *m)
{
	return pthread_mutex_clocklock(m, CLOCK_PROCESS_CPUTIME_ID, SOON(CLOCK_MONOTONIC));
}
static int clocklock_unknown(void *m) { return pthread_mutex_clocklock(m, 9999, SOON(CLOCK_MONOTONIC)); }

static int make(pthread_mutex_t *m, int type, int protocol, int robust, int shared)
{
	pthread_mutexattr_t attributes;
	memset(m, 0, sizeof *m);
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, type);
	pthread_mutexattr_setprotocol(&attributes, protocol);
	pthread_mutexattr_setrobust(&attributes, robust);
	pthread_mutexattr_setpshared(&attributes, shared);
	const int result = pthread_mutex_init(m, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return result;
}

/* The robust mutex `m` is taken by a thread that ends. */
static void orphan(pthread_mutex_t *m)
{
	SAY_OTHER(lock, m);
}

static void robust_mutex(pthread_mutex_t *m)
{
	orphan(m);
	SAY(pthread_mutex_lock(m));
	SAY_OTHER(trylock, m);
	SAY(pthread_mutex_consistent(m));
	SAY(pthread_mutex_consistent(m));
	SAY(pthread_mutex_unlock(m));
	orphan(m);
	SAY(pthread_mutex_trylock(m));
	SAY(pthread_mutex_consistent(m));
	SAY(pthread_mutex_unlock(m));
	orphan(m);
	SAY(pthread_mutex_timedlock(m, LATER(CLOCK_REALTIME)));
	SAY(pthread_mutex_consistent(m));
	SAY(pthread_mutex_unlock(m));
	/* The owner dies while somebody waits. */
	SAY_WAITING(pthread_mutex_lock(m), lock, NULL, m);
	SAY(pthread_mutex_consistent(m));
	SAY(pthread_mutex_unlock(m));
	SAY_WAITING(pthread_mutex_timedlock(m, LATER(CLOCK_REALTIME)), lock, NULL, m);
	SAY(pthread_mutex_consistent(m));
	SAY(pthread_mutex_unlock(m));
	/* Not made consistent: lost for ever. */
	orphan(m);
	SAY(pthread_mutex_lock(m));
	SAY(pthread_mutex_unlock(m));
	SAY(pthread_mutex_lock(m));
	SAY(pthread_mutex_timedlock(m, LATER(CLOCK_REALTIME)));
	SAY(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC)));
	SAY_OTHER(lock, m);
	/* Last: glibc leaves it locked here. */
	SAY(pthread_mutex_trylock(m));
}

static void mutex(int type, int protocol, int robust, int shared)
{
	static pthread_mutex_t storage;
	pthread_mutex_t *m = &storage;
	const bool has_owner = robust || protocol != PTHREAD_PRIO_NONE || type == PTHREAD_MUTEX_RECURSIVE ||
			       type == PTHREAD_MUTEX_ERRORCHECK;

	SAY(make(m, type, protocol, robust, shared));
	if (has_owner)
		SAY(pthread_mutex_unlock(m));
	SAY(pthread_mutex_lock(m));
	SAY(pthread_mutex_trylock(m));
	/* Again by the owner: counted, refused, or a deadlock that the deadline ends. */
	SAY(pthread_mutex_timedlock(m, SOON(CLOCK_REALTIME)));
	if (type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK)
		SAY(pthread_mutex_lock(m));
	SAY(pthread_mutex_timedlock(m, &negative));
	SAY(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, SOON(CLOCK_MONOTONIC)));
	if (type == PTHREAD_MUTEX_RECURSIVE)
		while (pthread_mutex_trylock(m) == 0 && m->__data.__count < 9)
			;
	printf("    depth %u\n", m->__data.__count);
	SAY_OTHER(trylock, m);
	SAY_OTHER(timedlock_gone, m);
	SAY_OTHER(timedlock_soon, m);
	SAY_OTHER(timedlock_1970, m);
	SAY_OTHER(timedlock_negative, m);
	SAY_OTHER(timedlock_too_large, m);
	SAY_OTHER(clocklock_realtime, m);
	SAY_OTHER(clocklock_monotonic, m);
	SAY_OTHER(clocklock_negative, m);
	SAY_OTHER(clocklock_cputime, m);
	SAY_OTHER(clocklock_unknown, m);
	if (has_owner)
		SAY_OTHER(unlock, m);
	/* A robust one's end is not refused, but leaves it on its owner's list. */
	if (!robust)
		SAY(pthread_mutex_destroy(m));
	int unlocks = 0, result;
	do
		result = pthread_mutex_unlock(m);
	while (result == 0 && ++unlocks < 20 && type == PTHREAD_MUTEX_RECURSIVE);
	printf("    unlocks %d, then %s\n", unlocks, error_name(result));
	/* Free: deadlines are not looked at by the calls that need not wait. */
	SAY(pthread_mutex_timedlock(m, &negative));
	if (!pthread_mutex_trylock(m))
		pthread_mutex_unlock(m);
	pthread_mutex_unlock(m);
	SAY(pthread_mutex_clocklock(m, 9999, GONE(CLOCK_REALTIME)));
	pthread_mutex_unlock(m);
	make(m, type, protocol, robust, shared);
	SAY_WAITING(pthread_mutex_lock(m), lock, unlock, m);
	SAY(pthread_mutex_unlock(m));
	SAY_WAITING(pthread_mutex_timedlock(m, LATER(CLOCK_REALTIME)), lock, unlock, m);
	SAY(pthread_mutex_unlock(m));
	SAY_WAITING(pthread_mutex_clocklock(m, CLOCK_REALTIME, LATER(CLOCK_REALTIME)), lock, unlock, m);
	pthread_mutex_unlock(m);
	pthread_mutex_unlock(m);
	make(m, type, protocol, robust, shared);
	if (robust)
		robust_mutex(m);
	else
		SAY(pthread_mutex_destroy(m));
}

/* The owner's priority is raised to the ceiling: it needs the right to that, or says that it has it not. */
static void priority_protected(void)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t storage, *m = &storage;
	int ceiling = -1;
	/* Only a thread with a real-time policy can be raised. */
	SAY(pthread_setschedparam(pthread_self(), SCHED_FIFO, &(struct sched_param){1}));
	pthread_mutexattr_init(&attributes);
	SAY(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_PROTECT));
	SAY(pthread_mutexattr_setprioceiling(&attributes, 3));
	SAY(pthread_mutex_init(m, &attributes));
	SAY(pthread_mutex_getprioceiling(m, &ceiling));
	printf("    ceiling %d\n", ceiling);
	errno = ERRNO_BEFORE;
	const int result = pthread_mutex_lock(m);
	say_result("pthread_mutex_lock(m)", result, errno);
	if (result == 0) {
		SAY_OTHER(trylock, m);
		SAY_OTHER(timedlock_soon, m);
		SAY_OTHER(timedlock_negative, m);
		SAY(pthread_mutex_unlock(m));
		SAY_WAITING(pthread_mutex_lock(m), lock, unlock, m);
		SAY(pthread_mutex_unlock(m));
	}
	SAY(pthread_mutex_setprioceiling(m, 5, &ceiling));
	SAY(pthread_mutex_setprioceiling(m, 500, &ceiling));
	printf("    ceiling was %d\n", ceiling);
	SAY(pthread_mutex_destroy(m));
	SAY(pthread_setschedparam(pthread_self(), SCHED_OTHER, &(struct sched_param){0}));
}

/* Between processes: the child holds it while the parent waits, then dies with it. */
static void between_processes(int type, int protocol)
{
	struct shared {
		pthread_mutex_t mutex;
		int ready[2];
	} *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutex_t *m = &s->mutex;
	char c;
	int status;
	SAY(make(m, type, protocol, PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_SHARED));
	if (pipe(s->ready))
		abort();
	fflush(stdout);
	for (int dies = 0; dies < 2; dies++) {
		const pid_t child = fork();
		if (child == 0) {
			pthread_mutex_lock(m);
			if (write(s->ready[1], "x", 1) != 1)
				abort();
			/* Long enough that the parent waits, which it does not need for the same answer. */
			nap(30);
			if (!dies)
				pthread_mutex_unlock(m);
			_exit(7);
		}
		if (read(s->ready[0], &c, 1) != 1)
			abort();
		SAY(pthread_mutex_timedlock(m, GONE(CLOCK_REALTIME)));
		SAY(pthread_mutex_lock(m));
		if (dies)
			SAY(pthread_mutex_consistent(m));
		SAY(pthread_mutex_unlock(m));
		waitpid(child, &status, 0);
		printf("    child %d\n", WEXITSTATUS(status));
	}
	/* What the parent holds, the child may not have. */
	pthread_mutex_lock(m);
	const pid_t child = fork();
	if (child == 0) {
		SAY(pthread_mutex_trylock(m));
		SAY(pthread_mutex_timedlock(m, SOON(CLOCK_REALTIME)));
		SAY(pthread_mutex_unlock(m));
		_exit(8);
	}
	waitpid(child, &status, 0);
	printf("    child %d\n", WEXITSTATUS(status));
	SAY(pthread_mutex_unlock(m));
}

int main(void)
{
	static const struct {
		const char *name;
		int value;
	} types[] = {{"normal", PTHREAD_MUTEX_NORMAL},
		     {"recursive", PTHREAD_MUTEX_RECURSIVE},
		     {"errorcheck", PTHREAD_MUTEX_ERRORCHECK},
		     {"adaptive", PTHREAD_MUTEX_ADAPTIVE_NP}},
	  protocols[] = {{"", PTHREAD_PRIO_NONE}, {" inherit", PTHREAD_PRIO_INHERIT}},
	  robusts[] = {{"", PTHREAD_MUTEX_STALLED}, {" robust", PTHREAD_MUTEX_ROBUST}};

	begin();
	for (int t = 0; t < 4; t++)
		for (int p = 0; p < 2; p++)
			for (int r = 0; r < 2; r++)
				for (int shared = 0; shared < 2; shared++) {
					printf("mutex %s%s%s%s\n", types[t].name, protocols[p].name, robusts[r].name,
					       shared ? " shared" : "");
					mutex(types[t].value, protocols[p].value, robusts[r].value, shared);
				}
	printf("mutex protected\n");
	priority_protected();
	for (int p = 0; p < 2; p++) {
		printf("mutex between processes%s\n", protocols[p].name);
		between_processes(PTHREAD_MUTEX_NORMAL, protocols[p].value);
		between_processes(PTHREAD_MUTEX_ERRORCHECK, protocols[p].value);
	}
	return 0;
}
