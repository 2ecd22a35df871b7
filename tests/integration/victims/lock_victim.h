/* SPDX-License-Identifier: MIT */
/*
 * What the programs share that try every lock function and say what each call gave:
 * its result by name and what became of errno.  The output is the same in every run,
 * however long anything takes: who waits for a thread that is to block looks whether
 * the kernel has it in a futex call.
 *
 * Context: test programs.
 */
#ifndef LOCK_VICTIM_H
#define LOCK_VICTIM_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What errno is before each call: no error's number. */
#define ERRNO_BEFORE 4711

static inline const char *error_name(int error)
{
	const char *name = strerrorname_np(error);
	return error == 0 ? "0" : name ? name : "?";
}

static inline void say_result(const char *what, int result, int errno_after)
{
	printf("    %s: %d", what, result);
	if (result > 0)
		printf(" %s", error_name(result));
	if (errno_after != ERRNO_BEFORE)
		printf(", errno %s", error_name(errno_after));
	putchar('\n');
}

/* Makes the call and says what came of it. */
#define SAY_AS(what, call)                                 \
	do {                                               \
		errno = ERRNO_BEFORE;                      \
		const int say_result_ = (call);            \
		const int say_errno_ = errno;              \
		say_result(what, say_result_, say_errno_); \
	} while (0)
#define SAY(call) SAY_AS(#call, call)

static inline struct timespec from_now(clockid_t clock, long milliseconds)
{
	struct timespec t;
	clock_gettime(clock, &t);
	t.tv_sec += milliseconds / 1000;
	t.tv_nsec += milliseconds % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

/* Deadlines as arguments: far beyond any test, near enough to be waited for, gone by, and no times at all. */
static inline const struct timespec *deadline(clockid_t clock, long milliseconds)
{
	static __thread struct timespec t;
	t = from_now(clock, milliseconds);
	return &t;
}

#define LATER(clock) deadline(clock, 60000)
#define SOON(clock) deadline(clock, 5)
#define GONE(clock) deadline(clock, -5000)

static const struct timespec negative = {0, -1}, too_large = {2000000000, 1000000000}, before_1970 = {-5, 0};

static inline void nap(long milliseconds)
{
	const struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000};
	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static inline pid_t thread_id(void)
{
	return (pid_t)syscall(SYS_gettid);
}

/* Until the thread sleeps in a futex call; where /proc does not tell, some time. */
static inline void await_blocked(pid_t tid)
{
	char path[64], line[32];
	snprintf(path, sizeof path, "/proc/self/task/%d/syscall", (int)tid);
	for (int polls = 0; polls < 5000; polls++) {
		const int file = open(path, O_RDONLY | O_CLOEXEC);
		const ssize_t size = file < 0 ? -1 : read(file, line, sizeof line - 1);
		if (file >= 0)
			close(file);
		if (size < 0) {
			nap(100);
			return;
		}
		line[size] = '\0';
		char *end;
		const long number = strtol(line, &end, 10);
		if (end != line && (number == SYS_futex || number == SYS_futex_waitv))
			return;
		nap(1);
	}
	printf("thread does not block\n");
}

/* A thread that makes one call, such as a trylock by somebody else. */
struct other {
	int (*call)(void *);
	void *argument;
	int result, errno_after;
};

static inline void *other_main(void *argument)
{
	struct other *o = (struct other *)argument;
	errno = ERRNO_BEFORE;
	o->result = o->call(o->argument);
	o->errno_after = errno;
	return NULL;
}

static inline void say_other(const char *what, int (*call)(void *), void *argument)
{
	struct other o = {call, argument, 0, 0};
	pthread_t thread;
	if (pthread_create(&thread, NULL, other_main, &o) || pthread_join(thread, NULL))
		abort();
	say_result(what, o.result, o.errno_after);
}

#define SAY_OTHER(call, argument) say_other("another thread: " #call, call, argument)

/*
 * A thread that has a lock, and gives it back when it sees that the one who started it
 * waits for it.  `take` and `give` are called with `object`; NULL for give: it ends with the lock.
 */
struct holder {
	int (*take)(void *);
	int (*give)(void *);
	void *object;
	pid_t waiter;
	pthread_t thread;
	int taken, given;
	int ready[2]; /* a pipe: nothing of what is under test */
};

static inline void *holder_main(void *argument)
{
	struct holder *h = (struct holder *)argument;
	h->taken = h->take(h->object);
	if (write(h->ready[1], "x", 1) != 1)
		abort();
	await_blocked(h->waiter);
	h->given = h->give ? h->give(h->object) : 0;
	return NULL;
}

static inline void holder_begin(struct holder *h, int (*take)(void *), int (*give)(void *), void *object)
{
	char c;
	memset(h, 0, sizeof *h);
	h->take = take;
	h->give = give;
	h->object = object;
	h->waiter = thread_id();
	if (pipe(h->ready) || pthread_create(&h->thread, NULL, holder_main, h) || read(h->ready[0], &c, 1) != 1)
		abort();
}

static inline void holder_end(struct holder *h)
{
	pthread_join(h->thread, NULL);
	close(h->ready[0]);
	close(h->ready[1]);
	if (h->taken || h->given)
		printf("    the holder's calls: %s, %s\n", error_name(h->taken), error_name(h->given));
}

/* The call waits for a lock that another thread has. */
#define SAY_WAITING(call, take, give, object)                   \
	do {                                                    \
		struct holder say_holder_;                      \
		holder_begin(&say_holder_, take, give, object); \
		SAY_AS(#call, call);                            \
		holder_end(&say_holder_);                       \
	} while (0)

/* A thread that makes one call, which blocks; to be signalled, woken or cancelled. */
struct waiter {
	struct other call;
	pthread_t thread;
	pid_t tid;
	bool is_over;
};

static inline void *waiter_main(void *argument)
{
	struct waiter *w = (struct waiter *)argument;
	__atomic_store_n(&w->tid, thread_id(), __ATOMIC_RELEASE);
	other_main(&w->call);
	__atomic_store_n(&w->is_over, true, __ATOMIC_RELEASE);
	return NULL;
}

static inline void waiter_begin(struct waiter *w, int (*call)(void *), void *argument)
{
	memset((void *)w, 0, sizeof *w);
	w->call.call = call;
	w->call.argument = argument;
	if (pthread_create(&w->thread, NULL, waiter_main, w))
		abort();
	while (!__atomic_load_n(&w->tid, __ATOMIC_ACQUIRE))
		nap(1);
	await_blocked(w->tid);
}

static inline void waiter_end(struct waiter *w, const char *what)
{
	void *value = NULL;
	pthread_join(w->thread, &value);
	if (value == PTHREAD_CANCELED)
		printf("    %s: cancelled\n", what);
	else
		say_result(what, w->call.result, w->call.errno_after);
}

/* A hang ends the program, and the outputs differ. */
static inline void begin(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(40);
}

#endif
