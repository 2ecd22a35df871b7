/* SPDX-License-Identifier: MIT */
/*
 * A known number of waits in processes that fork, are killed, or are told other rates.
 *
 *     contention_life family            waits in a parent, its child and grandchild, each its own
 *     contention_life end WAY           waits for ever, saying how often; WAY: told, or after 20
 *                                       waits _exit, abort, exec, threads (leaves by pthread_exit)
 *     contention_life told              for each line "SITE COUNT" waits there, and says so
 *
 * Context: test program.
 */
#include "lock_victim.h"
#include "victim.h"

#include <sys/wait.h>

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER, passed = PTHREAD_MUTEX_INITIALIZER;

static inline __attribute__((always_inline)) void wait_times(int count)
{
	for (int i = 0; i < count; i++)
		pthread_mutex_timedlock(&held, deadline(CLOCK_REALTIME, 2));
}

FRAME static void parent_waits(int count) { wait_times(count); }
FRAME static void child_waits(int count) { wait_times(count); }
FRAME static void grandchild_waits(int count) { wait_times(count); }
FRAME static void first_waits(int count) { wait_times(count); }
FRAME static void second_waits(int count) { wait_times(count); }
FRAME static void third_waits(int count) { wait_times(count); }

static int lock_passed(void *unused) { (void)unused; return pthread_mutex_lock(&passed); }
FRAME static int unlock_passed(void *unused)
{
	(void)unused;
	const int result = pthread_mutex_unlock(&passed);
	NO_TAIL_CALL();
	return result;
}

/* A wait that ends, with a release that is charged. */
FRAME static void waits_its_turn(int count)
{
	for (int i = 0; i < count; i++) {
		struct holder h;
		holder_begin(&h, lock_passed, unlock_passed, NULL);
		pthread_mutex_lock(&passed);
		holder_end(&h);
		pthread_mutex_unlock(&passed);
	}
}

/* A child made in the middle of other threads' waits. */
static void *wait_in_thread(void *unused)
{
	parent_waits(40);
	return unused;
}

static void family(void)
{
	pthread_t thread;
	int status = 0;
	pthread_create(&thread, NULL, wait_in_thread, NULL);
	parent_waits(3);
	const pid_t child = fork();
	if (child == 0) {
		child_waits(5);
		waits_its_turn(2);
		const pid_t grandchild = fork();
		if (grandchild == 0) {
			grandchild_waits(7);
			_exit(0);
		}
		waitpid(grandchild, &status, 0);
		child_waits(1);
		_exit(status != 0);
	}
	waitpid(child, &status, 0);
	parent_waits(2);
	waits_its_turn(4);
	pthread_join(thread, NULL);
	printf("child %d\n", status);
}

static void *wait_on(void *unused)
{
	for (int i = 1;; i++) {
		first_waits(1);
		printf("%d\n", i);
	}
	return unused;
}

static void *leave_main(void *unused)
{
	second_waits(20);
	return unused;
}

static void end(const char *way)
{
	pthread_t thread;
	if (!strcmp(way, "told")) {
		wait_on(NULL);
	} else if (!strcmp(way, "threads")) {
		pthread_create(&thread, NULL, leave_main, NULL);
		first_waits(20);
		pthread_exit(NULL);
	}
	first_waits(20);
	if (!strcmp(way, "_exit"))
		_exit(3);
	if (!strcmp(way, "exec"))
		execl("/bin/true", "true", NULL);
	abort();
}

static void told(void)
{
	char site[32];
	int count;
	while (scanf("%31s %d", site, &count) == 2) {
		(!strcmp(site, "first") ? first_waits : !strcmp(site, "second") ? second_waits
		 : !strcmp(site, "turn") ? waits_its_turn : third_waits)(count);
		printf("%s %d\n", site, count);
	}
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	begin();
	pthread_mutex_lock(&held);
	if (!strcmp(argv[1], "family"))
		family();
	else if (!strcmp(argv[1], "told"))
		told();
	else
		end(argv[2]);
	return 0;
}
