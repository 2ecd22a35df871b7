/* SPDX-License-Identifier: MIT */
/*
 * Threads cancelled in each call that is a cancellation point and in loops that are none,
 * asynchronously; cleanup handlers run and locks are theirs, as the standard says.
 *
 * Context: test program.
 */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "hostile.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static int ends[2];
static int is_ready, cleanups, holds_mutex;
static pthread_t forever;

static void clean(void *unused)
{
	(void)unused;
	__atomic_add_fetch(&cleanups, 1, __ATOMIC_RELAXED);
}

static void clean_locked(void *unused)
{
	(void)unused;
	holds_mutex = pthread_mutex_trylock(&mutex) == EBUSY;
	pthread_mutex_unlock(&mutex);
}

static const struct timespec later = {1000, 0};

static void in_read(void)
{
	char c;
	(void)!read(ends[0], &c, 1);
}
static void in_nanosleep(void)
{
	nanosleep(&later, NULL);
}
static void in_poll(void)
{
	struct pollfd one = {ends[0], POLLIN, 0};
	poll(&one, 1, -1);
}
static void in_select(void)
{
	select(0, NULL, NULL, NULL, NULL);
}
static void in_recv(void)
{
	int pair[2];
	char c;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
		(void)!recv(pair[0], &c, 1, 0);
}
static void in_sem_wait(void)
{
	sem_wait(&semaphore);
}
static void in_sem_timedwait(void)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1000;
	sem_timedwait(&semaphore, &until);
}
static void in_cond_wait(void)
{
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(clean_locked, NULL);
	for (;;)
		pthread_cond_wait(&condition, &mutex);
	pthread_cleanup_pop(0);
}
static void in_cond_timedwait(void)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1000;
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(clean_locked, NULL);
	pthread_cond_timedwait(&condition, &mutex, &until);
	pthread_cleanup_pop(1);
}
static void in_join(void)
{
	pthread_join(forever, NULL);
}
static void in_sigwait(void)
{
	sigset_t set;
	int got;
	sigemptyset(&set);
	sigaddset(&set, SIGURG);
	sigwait(&set, &got);
}
static void in_pause(void)
{
	pause();
}
static void in_testcancel(void)
{
	for (;;) {
		free(malloc(100));
		pthread_testcancel();
	}
}
static void in_loop(void)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;)
		spin_briefly();
}

static const struct {
	const char *name;
	void (*run)(void);
} places[] = {
	{"read", in_read},
	{"nanosleep", in_nanosleep},
	{"poll", in_poll},
	{"select", in_select},
	{"recv", in_recv},
	{"sem_wait", in_sem_wait},
	{"sem_timedwait", in_sem_timedwait},
	{"cond_wait", in_cond_wait},
	{"cond_timedwait", in_cond_timedwait},
	{"join", in_join},
	{"sigwait", in_sigwait},
	{"pause", in_pause},
	{"testcancel", in_testcancel},
	{"loop", in_loop},
};

static void *visit(void *at)
{
	pthread_cleanup_push(clean, NULL);
	hostile_allocates(1);
	__atomic_store_n(&is_ready, 1, __ATOMIC_RELEASE);
	places[(long)at].run();
	pthread_cleanup_pop(0);
	return NULL;
}

static void *sleeps(void *unused)
{
	for (;;)
		pause();
	return unused;
}

int main(void)
{
	if (pipe(ends) || sem_init(&semaphore, 0, 0) || pthread_create(&forever, NULL, sleeps, NULL))
		return 1;
	int threads = 0;
	for (int round = 0; round < 4; round++)
		for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
			pthread_t thread;
			void *result = NULL;
			is_ready = cleanups = 0;
			holds_mutex = -1;
			pthread_create(&thread, NULL, visit, (void *)i);
			threads++;
			while (!__atomic_load_n(&is_ready, __ATOMIC_ACQUIRE))
				usleep(100);
			if (round)
				usleep(2000); /* within the call; before it, perhaps, in the first round */
			pthread_cancel(thread);
			pthread_join(thread, &result);
			say("%s: cancelled %d, cleanups %d, held %d\n", places[i].name, result == PTHREAD_CANCELED, cleanups,
			    holds_mutex);
		}
	say("owes %d\n", threads);
	hostile_burns(60);
	say("burnt\n");
	return 0;
}
