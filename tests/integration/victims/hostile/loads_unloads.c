/* SPDX-License-Identifier: MIT */
// ldflags: -ldl
/*
 * Loads and unloads libraries in a loop, while other threads are sampled in them: the same
 * one, copies that take each other's place, ones that are deleted at once, into namespaces
 * of their own (dlmopen), bound to themselves (RTLD_DEEPBIND).
 *
 *     loads_unloads LIBRARY ROUNDS
 *
 * Context: test program.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "hostile.h"

static int is_over;

static void *busy(void *unused)
{
	while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
		spin_briefly();
		free(malloc(64));
	}
	return unused;
}

/* Uses it; gives what it said, or a reason. */
static int use(void *handle, int freed_here)
{
	if (!handle) {
		say("%s\n", dlerror());
		return -1;
	}
	int (*piece_use)(void) = (int (*)(void))dlsym(handle, "piece_use");
	void *(*piece_gives)(void) = (void *(*)(void))dlsym(handle, "piece_gives");
	const int64_t start = thread_cpu_ns();
	int result = 0;
	while (thread_cpu_ns() - start < 1000000)
		result = piece_use();
	void *block = piece_gives();
	if (freed_here)
		free(block);
	result = result > 17;
	return dlclose(handle) ? -2 : result;
}

static void copy(const char *from, const char *to)
{
	struct stat status;
	const int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	if (in < 0 || out < 0 || fstat(in, &status) || sendfile(out, in, NULL, (size_t)status.st_size) != status.st_size)
		exit(CANNOT_RUN);
	close(in);
	close(out);
}

int main(int argc, char **argv)
{
	const int rounds = argument(argc, argv, 2, 60);
	const char *library = argv[1];
	int sums[5] = {0};
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, busy, NULL);
	for (int i = 0; i < rounds; i++) {
		sums[0] += use(dlopen(library, RTLD_NOW), 1);
		char name[64];
		snprintf(name, sizeof name, "./piece%d.so", i % 3);
		copy(library, name);
		sums[1] += use(dlopen(name, RTLD_LAZY | RTLD_GLOBAL), 1);
		void *handle = dlopen(name, RTLD_NOW);
		unlink(name);
		sums[2] += use(handle, 1);
		sums[3] += use(dlopen(library, RTLD_NOW | RTLD_DEEPBIND), 1);
		if (i < 3)
			sums[4] += use(dlmopen(LM_ID_NEWLM, library, RTLD_NOW), 0);
	}
	__atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	say("again %d, copies %d, deleted %d, deep %d, namespaces %d\n", sums[0], sums[1], sums[2], sums[3], sums[4]);
	hostile_works();
	return 0;
}
