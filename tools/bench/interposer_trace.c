/* SPDX-License-Identifier: MIT */
/* cflags: -shared -fPIC -fvisibility=hidden -ftls-model=initial-exec */
/* ldflags: -Wl,--as-needed -Wl,-z,now */
/*
 * The least that a preloaded tracer has to do: the clock is read before and after a wait, and
 * before a wake that somebody waits for, and each of them is written, 32 bytes, where its thread
 * alone writes.  A call that may block leaves something only if it took long.  No stack is
 * walked, no wait is shown while it lasts, and the window is small enough to stay in a cache.
 *
 * Context: benchmarks.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

#define THREADS 64u
#define EVENTS 2048u
#define CALL_NS_MIN 20000u

static struct event {
	uint64_t kind, time_ns, delay_ns, object;
} events[THREADS][EVENTS];

/* What recorder.h turns on and off. */
extern EXPORTED int interposer_trace_is_on;
int interposer_trace_is_on = 1;

static bool is_on(void)
{
	return __atomic_load_n(&interposer_trace_is_on, __ATOMIC_RELAXED) != 0;
}

static unsigned thread_count; /* so far: each takes the next part of the window */
static __thread struct event *own;
static __thread unsigned used;

enum { WAIT, WAKE };

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void note(uint64_t kind, uint64_t time_ns, uint64_t delay_ns, const void *object)
{
	if (!own)
		own = events[__atomic_fetch_add(&thread_count, 1, __ATOMIC_RELAXED) % THREADS];
	own[used++ % EVENTS] = (struct event){kind, time_ns, delay_ns, (uintptr_t)object};
}

/* The next function: the version that programs are linked with, where there are several. */
static void *next_of(const char *name, const char *version)
{
	void *found = version ? dlvsym(RTLD_NEXT, name, version) : dlsym(RTLD_NEXT, name);
	if (!found)
		abort();
	return found;
}

/* Found at the first call: this library is no program's first. */
#define NEXT(type, name, version, parameters)   \
	static type(*volatile next) parameters; \
	if (!next)                              \
	next = (type(*) parameters)(uintptr_t)next_of(name, version)

#define COND_VERSION "GLIBC_2.3.2"

EXPORTED int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	NEXT(int, "pthread_cond_wait", COND_VERSION, (pthread_cond_t *, pthread_mutex_t *));
	if (!is_on())
		return next(cond, mutex);
	uint64_t start = now_ns();
	int result = next(cond, mutex);
	uint64_t end = now_ns();
	note(WAIT, end, end - start, cond);
	return result;
}

EXPORTED int pthread_cond_signal(pthread_cond_t *cond)
{
	NEXT(int, "pthread_cond_signal", COND_VERSION, (pthread_cond_t *));
	if (!is_on() || __atomic_load_n(&cond->__data.__wrefs, __ATOMIC_RELAXED) >> 3 == 0)
		return next(cond);
	uint64_t time = now_ns();
	int result = next(cond);
	note(WAKE, time, 0, cond);
	return result;
}

EXPORTED int sem_wait(sem_t *semaphore)
{
	NEXT(int, "sem_wait", NULL, (sem_t *));
	if (!is_on())
		return next(semaphore);
	uint64_t start = now_ns();
	int result = next(semaphore);
	uint64_t end = now_ns();
	note(WAIT, end, end - start, semaphore);
	return result;
}

EXPORTED int sem_post(sem_t *semaphore)
{
	NEXT(int, "sem_post", NULL, (sem_t *));
	if (!is_on() ||
	    __atomic_load_n((const uint64_t *)(const void *)semaphore, __ATOMIC_RELAXED) >> 32 == 0)
		return next(semaphore);
	uint64_t time = now_ns();
	int result = next(semaphore);
	note(WAKE, time, 0, semaphore);
	return result;
}

/* A call that may block, and mostly does not. */
#define DEFINE_CALL(type, name, parameters, arguments, fd)                          \
	EXPORTED type name parameters                                               \
	{                                                                           \
		NEXT(type, #name, NULL, parameters);                                \
		uint64_t start = now_ns();                                          \
		type result = next arguments;                                       \
		uint64_t end = now_ns();                                            \
		if (end - start >= CALL_NS_MIN)                                     \
			note(WAIT, end, end - start, (const void *)(intptr_t)(fd)); \
		return result;                                                      \
	}

DEFINE_CALL(ssize_t, read, (int fd, void *bytes, size_t count), (fd, bytes, count), fd)
DEFINE_CALL(ssize_t, write, (int fd, const void *bytes, size_t count), (fd, bytes, count), fd)
DEFINE_CALL(int, epoll_wait, (int fd, struct epoll_event *out, int count, int timeout),
	    (fd, out, count, timeout), fd)
