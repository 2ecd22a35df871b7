/* SPDX-License-Identifier: MIT */
/* cflags: -Iinclude */
/*
 * Waits whose truth is known: who waits, for what, from when to when, and who ends it.  Each
 * is begun by one thread, and ended by another only once the kernel says that the first one
 * sleeps; so it began between two known moments and ended between two others, on any machine.
 * Regions and tasks likewise.
 *
 *     trace_truth ROUNDS        ends by itself
 *     trace_truth ROUNDS hang   then lets one thread wait for ever for a mutex of the other
 *
 * Prints, with tabs between:
 *     wait|region|task NAME TID OBJECT BEGIN-NOT-BEFORE BEGIN-NOT-AFTER END-NOT-BEFORE END-NOT-AFTER WAKER-TID
 * Times are CLOCK_MONOTONIC in nanoseconds; 0: not known.
 */
#include <cprof.h>

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WAITERS 2

enum kind {
	MUTEX,
	READ_LOCK,
	WRITE_LOCK,
	SIGNAL,
	BROADCAST,
	SEMAPHORE,
	BARRIER,
	JOIN,
	PIPE,
	SIGWAIT,
	SIGWAITINFO,
	SLEEP,
	KINDS
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t cond_mutex = PTHREAD_MUTEX_INITIALIZER;
static int is_signalled;
static sem_t semaphore;
static pthread_barrier_t barrier;
static pthread_t joined;
static _Atomic int may_end, joined_tid;
static int pipe_ends[2];
static sigset_t awaited;

static struct waiter {
	pthread_t thread;
	_Atomic int tid, command, is_inside, is_done; /* command: kind + 1, -1: end */
	uint64_t before, after;
} waiters[WAITERS];

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int own_tid(void)
{
	return (int)syscall(SYS_gettid);
}

static void until(_Atomic int *flag)
{
	while (!atomic_load(flag))
		usleep(200);
}

/* Whether the kernel says that a thread sleeps. */
static int sleeps(int tid)
{
	char path[64];
	char text[256];
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	const char *end = strrchr(text, ')');
	return end && end[1] == ' ' && end[2] == 'S';
}

static __attribute__((noinline)) void wait_for(enum kind kind)
{
	char byte;
	int number;
	siginfo_t info;
	switch (kind) {
	case MUTEX:
		pthread_mutex_lock(&mutex);
		break;
	case READ_LOCK:
		pthread_rwlock_rdlock(&rwlock);
		break;
	case WRITE_LOCK:
		pthread_rwlock_wrlock(&rwlock);
		break;
	case SIGNAL:
	case BROADCAST:
		while (!is_signalled)
			pthread_cond_wait(&cond, &cond_mutex);
		break;
	case SEMAPHORE:
		sem_wait(&semaphore);
		break;
	case BARRIER:
		pthread_barrier_wait(&barrier);
		break;
	case JOIN:
		pthread_join(joined, NULL);
		break;
	case PIPE:
		if (read(pipe_ends[0], &byte, 1) != 1)
			abort();
		break;
	case SIGWAIT:
		if (sigwait(&awaited, &number) != 0 || number != SIGUSR2)
			abort();
		break;
	case SIGWAITINFO:
		if (sigwaitinfo(&awaited, &info) != SIGUSR2 || info.si_pid != getpid())
			abort();
		break;
	default:
		nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
		break;
	}
}

static void wait_once(struct waiter *self, enum kind kind)
{
	if (kind == SIGNAL || kind == BROADCAST)
		pthread_mutex_lock(&cond_mutex);
	self->before = now();
	atomic_store(&self->is_inside, 1);
	wait_for(kind);
	self->after = now();
	if (kind == SIGNAL || kind == BROADCAST)
		pthread_mutex_unlock(&cond_mutex);
	if (kind == MUTEX)
		pthread_mutex_unlock(&mutex);
	if (kind == READ_LOCK || kind == WRITE_LOCK)
		pthread_rwlock_unlock(&rwlock);
}

static void *wait_on_command(void *argument)
{
	struct waiter *self = argument;
	pthread_setname_np(pthread_self(), "waiter");
	atomic_store(&self->tid, own_tid());
	for (;;) {
		until(&self->command);
		int command = atomic_exchange(&self->command, 0);
		if (command < 0)
			return NULL;
		wait_once(self, (enum kind)(command - 1));
		atomic_store(&self->is_done, 1);
	}
}

static void *end_on_command(void *argument)
{
	(void)argument;
	atomic_store(&joined_tid, own_tid());
	until(&may_end);
	return NULL;
}

static void prepare(enum kind kind)
{
	is_signalled = 0;
	if (kind == MUTEX)
		pthread_mutex_lock(&mutex);
	if (kind == READ_LOCK)
		pthread_rwlock_wrlock(&rwlock);
	if (kind == WRITE_LOCK)
		pthread_rwlock_rdlock(&rwlock);
	if (kind == JOIN) {
		may_end = joined_tid = 0;
		pthread_create(&joined, NULL, end_on_command, NULL);
		until(&joined_tid);
	}
}

/* By another name of its each time. */
static void signal_waiter(void)
{
	static unsigned turn;
	switch (turn++ % 4) {
	case 0:
		tgkill(getpid(), waiters[0].tid, SIGUSR2);
		break;
	case 1:
		pthread_kill(waiters[0].thread, SIGUSR2);
		break;
	case 2:
		syscall(SYS_tgkill, getpid(), waiters[0].tid, SIGUSR2);
		break;
	default:
		syscall(SYS_tkill, waiters[0].tid, SIGUSR2);
		break;
	}
}

static __attribute__((noinline)) void let_go(enum kind kind)
{
	switch (kind) {
	case MUTEX:
		pthread_mutex_unlock(&mutex);
		break;
	case READ_LOCK:
	case WRITE_LOCK:
		pthread_rwlock_unlock(&rwlock);
		break;
	case SIGNAL:
	case BROADCAST:
		pthread_mutex_lock(&cond_mutex);
		is_signalled = 1;
		if (kind == SIGNAL)
			pthread_cond_signal(&cond);
		else
			pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&cond_mutex);
		break;
	case SEMAPHORE:
		sem_post(&semaphore);
		break;
	case BARRIER:
		pthread_barrier_wait(&barrier);
		break;
	case JOIN:
		atomic_store(&may_end, 1);
		break;
	case PIPE:
		if (write(pipe_ends[1], "x", 1) != 1)
			abort();
		break;
	case SIGWAIT:
		kill(getpid(), SIGUSR2);
		break;
	case SIGWAITINFO:
		signal_waiter();
		break;
	default:
		break;
	}
}

static const struct {
	const char *name;
	void *object;
} kinds[KINDS] = {
	[MUTEX] = {"mutex", &mutex},
	[READ_LOCK] = {"rwlock (to read)", &rwlock},
	[WRITE_LOCK] = {"rwlock (to write)", &rwlock},
	[SIGNAL] = {"condition variable", &cond},
	[BROADCAST] = {"condition variable", &cond},
	[SEMAPHORE] = {"semaphore", &semaphore},
	[BARRIER] = {"barrier", &barrier},
	[JOIN] = {"end of thread", NULL},
	[PIPE] = {"input", NULL},
	[SIGWAIT] = {"signal", NULL},
	[SIGWAITINFO] = {"signal", NULL},
	[SLEEP] = {"sleep", NULL},
};

static void print(const char *what, const char *name, int tid, const void *object, const uint64_t *times,
		  int waker)
{
	printf("%s\t%s\t%d\t0x%lx\t%lu\t%lu\t%lu\t%lu\t%d\n", what, name, tid, (unsigned long)(uintptr_t)object,
	       (unsigned long)times[0], (unsigned long)times[1], (unsigned long)times[2],
	       (unsigned long)times[3], waker);
}

static void run(enum kind kind)
{
	int count = kind == BROADCAST ? 2 : 1;
	prepare(kind);
	for (int i = 0; i < count; i++) {
		waiters[i].is_inside = waiters[i].is_done = 0;
		atomic_store(&waiters[i].command, kind + 1);
	}
	for (int i = 0; i < count; i++) {
		until(&waiters[i].is_inside);
		while (kind != SLEEP && !sleeps(waiters[i].tid))
			usleep(200);
	}
	uint64_t asleep = now();
	usleep(2000);
	uint64_t let = now();
	let_go(kind);
	for (int i = 0; i < count; i++) {
		until(&waiters[i].is_done);
		uint64_t times[4] = {waiters[i].before, asleep, let, waiters[i].after};
		const void *object = kinds[kind].object;
		int waker = own_tid();
		if (kind == SLEEP) {
			times[1] = times[3] - 3000000;
			times[2] = times[0] + 3000000;
		}
		if (kind == PIPE || kind == SLEEP)
			waker = 0;
		if (kind == JOIN) {
			object = (const void *)joined;
			waker = joined_tid;
		}
		print("wait", kinds[kind].name, waiters[i].tid, object, times, waker);
	}
}

/* A region in a region, in a task. */
static void mark(void)
{
	uint64_t at[12];
	at[0] = now();
	struct cprof_task task = cprof_task_begin("checkout");
	at[1] = now();
	struct cprof_region outer = cprof_region_begin("outer");
	at[2] = now();
	struct cprof_region inner = cprof_region_begin("inner");
	at[3] = now();
	cprof_log("stage", "in the middle");
	usleep(1000);
	at[4] = now();
	cprof_region_end(inner);
	at[5] = now();
	cprof_region_end(outer);
	at[6] = now();
	cprof_task_end(task);
	at[7] = now();
	print("region", "inner", own_tid(), NULL, (uint64_t[]){at[2], at[3], at[4], at[5]}, 0);
	print("region", "outer", own_tid(), NULL, (uint64_t[]){at[1], at[2], at[5], at[6]}, 0);
	print("task", "checkout", 0, NULL, (uint64_t[]){at[0], at[1], at[6], at[7]}, 0);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1;
	sem_init(&semaphore, 0, 0);
	pthread_barrier_init(&barrier, NULL, 2);
	sigemptyset(&awaited);
	sigaddset(&awaited, SIGUSR2);
	if (pipe(pipe_ends) != 0 || pthread_sigmask(SIG_BLOCK, &awaited, NULL) != 0)
		return 1;
	for (int i = 0; i < WAITERS; i++)
		pthread_create(&waiters[i].thread, NULL, wait_on_command, &waiters[i]);
	for (int i = 0; i < WAITERS; i++)
		until(&waiters[i].tid);
	for (int round = 0; round < rounds; round++) {
		for (int kind = 0; kind < KINDS; kind++)
			run((enum kind)kind);
		mark();
	}
	if (argc > 2) {
		prepare(MUTEX);
		waiters[0].is_inside = 0;
		atomic_store(&waiters[0].command, MUTEX + 1);
		while (!atomic_load(&waiters[0].is_inside) || !sleeps(waiters[0].tid))
			usleep(200);
		uint64_t asleep = now();
		print("hang", "mutex", waiters[0].tid, &mutex, (uint64_t[]){waiters[0].before, asleep, 0, 0}, 0);
		fflush(stdout);
		for (;;)
			pause();
	}
	for (int i = 0; i < WAITERS; i++)
		atomic_store(&waiters[i].command, -1);
	for (int i = 0; i < WAITERS; i++)
		pthread_join(waiters[i].thread, NULL);
	return 0;
}
