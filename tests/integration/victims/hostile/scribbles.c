/* SPDX-License-Identifier: MIT */
/*
 * Writes nonsense into the memory that it shares with the collector, at random places, while
 * it works: as a program with a wild pointer would.  A child beside it is in order.
 *
 *     scribbles SEED WRITES
 *
 * Prints the same lines with such memory and without.
 *
 * Context: test program.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "hostile.h"

#define WORKERS 3

static uint64_t state;
static int is_over;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static uint64_t next_random(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

/* What is mapped of the segment; its bytes, 0: nothing. */
static size_t find_segment(unsigned char **out_base)
{
	char line[4400];
	size_t bytes = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (maps && fgets(line, sizeof line, maps)) {
		unsigned long start, end;
		if (strstr(line, "cprof-segment") && sscanf(line, "%lx-%lx", &start, &end) == 2) {
			*out_base = (unsigned char *)start;
			bytes = end - start;
		}
	}
	if (maps)
		fclose(maps);
	return bytes;
}

static FRAME void *scribbled_work(void *number)
{
	void *blocks[64] = {NULL};
	for (uint64_t i = 0; !__atomic_load_n(&is_over, __ATOMIC_ACQUIRE); i++) {
		free(blocks[i % 64]);
		blocks[i % 64] = malloc(10 + i % 1000);
		if (i % 16 == 0)
			blocks[i % 64] = realloc(blocks[i % 64], 3000);
		pthread_mutex_lock(&mutex);
		spin_briefly();
		pthread_mutex_unlock(&mutex);
		if (i % 1000 == 0) {
			pthread_t thread;
			pthread_attr_t detached;
			pthread_attr_init(&detached);
			pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
			if (!pthread_create(&thread, &detached, (void *(*)(void *))free, malloc(10)))
				sched_yield();
			pthread_attr_destroy(&detached);
		}
	}
	for (int i = 0; i < 64; i++)
		free(blocks[i]);
	return number;
}

/* Most of it is never used: every second write goes where something is. */
static size_t place(const unsigned char *resident, size_t bytes)
{
	for (;;) {
		size_t at = next_random() % bytes;
		if (next_random() % 2 == 0 || resident[at / 4096] & 1)
			return at;
		if (next_random() % 3 == 0)
			return next_random() % 65536 % bytes;
	}
}

static void scribble(unsigned char *base, size_t bytes, long writes)
{
	static unsigned char resident[1 << 18];
	if (bytes / 4096 > sizeof resident)
		return;
	for (long i = 0; i < writes; i++) {
		if (i % 4096 == 0)
			mincore(base, bytes, resident);
		size_t at = place(resident, bytes);
		if (next_random() % 4 == 0)
			base[at] = (unsigned char)next_random();
		else
			*(volatile uint64_t *)(base + at / 8 * 8) =
				next_random() >> next_random() % 64;
	}
}

int main(int argc, char **argv)
{
	unsigned char *base = NULL;
	pthread_t workers[WORKERS];
	int go[2], status = 0;
	state = (uint64_t)argument(argc, argv, 1, 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	if (pipe(go))
		return 9;
	const pid_t child = fork();
	if (child == 0) {
		char c;
		close(go[1]);
		hostile_allocates(300);
		if (read(go[0], &c, 1) != 0)
			_exit(9);
		hostile_allocates(50);
		exit(7);
	}
	close(go[0]);
	for (int i = 0; i < WORKERS; i++)
		pthread_create(&workers[i], NULL, scribbled_work, NULL);
	const size_t bytes = find_segment(&base);
	if (bytes)
		scribble(base, bytes, argument(argc, argv, 2, 100000));
	__atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(workers[i], NULL);
	close(go[1]);
	waitpid(child, &status, 0);
	say("child %d\n", WEXITSTATUS(status));
	return 4;
}
