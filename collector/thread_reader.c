/* SPDX-License-Identifier: MIT */
/*
 * The child has a copy of all that the parent knows, and writes nothing but the
 * readings; the parent waits for it and ticks.  When there is no more time the child
 * ends by itself, having let go of all threads; the parent ends it only if it hangs.
 *
 * Context: collector, main thread; read_all(): the child.
 */
#include "thread_reader.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "thread_look.h"

#define THREADS_MAX 65536u
#define CRASHES_MAX 16
#define DEADLINE_MS 5000
#define GRACE_MS 1000 /* for what is under way at the deadline; half of it for threads stopped late */
#define LATE_MS 2000  /* for all those together that did not stop at once */
#define TICK_MS 10

/* The child's exit status: all done, or there was no time for it. */
enum { EXIT_DONE, EXIT_LATE };

static void look_at(struct thread_look *look, struct thread_reading *reading)
{
	store_release(&reading->progress, (uint32_t)THREAD_BEGUN);
	thread_look_at(look, reading);
	remote_memory_set_copy(look->memory, 0, NULL, 0);
	/* Release: who sees it done sees all of it. */
	store_release(&reading->progress, (uint32_t)THREAD_DONE);
	thread_stop_release_late(&look->late);
}

/*
 * Those that did not come to a stop in time: on a busy machine they had no turn.  Now that all others
 * have been read there is time to wait for one.
 */
static void look_at_late(struct thread_look *look, struct thread_readings *readings, size_t first,
			 int64_t deadline_ms)
{
	int64_t until_ms = clock_monotonic_ms() + LATE_MS;
	until_ms = until_ms < deadline_ms ? until_ms : deadline_ms;
	for (size_t i = first; i < readings->count; i++) {
		if (readings->items[i].error != -ETIMEDOUT)
			continue;
		thread_stop_await_late(&look->late, until_ms * 1000000);
		look->late.patience_ns = (until_ms - clock_monotonic_ms()) * 1000000;
		if (look->late.count || look->late.patience_ns <= 0)
			break;
		look_at(look, &readings->items[i]);
	}
	look->late.patience_ns = 0;
}

static _Noreturn void read_all(struct thread_look *look, struct thread_readings *readings, size_t first,
			       int64_t deadline_ms)
{
	size_t i = first;
	/* What we copy of our parent's descriptors must not outlive anything. */
	int kept = look->segment ? look->segment->fd : 0;
	if (kept > 3)
		syscall(SYS_close_range, 3, kept - 1, 0);
	syscall(SYS_close_range, kept < 3 ? 3 : kept + 1, ~0U, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "cprof-collector");
	prctl(PR_SET_TIMERSLACK, 1); /* a stopped thread waits for us */
	for (; i < readings->count && clock_monotonic_ms() < deadline_ms; i++)
		look_at(look, &readings->items[i]);
	look_at_late(look, readings, first, deadline_ms);
	thread_stop_await_late(&look->late, (deadline_ms + GRACE_MS / 2) * 1000000);
	_exit(i == readings->count ? EXIT_DONE : EXIT_LATE);
}

/* ---- parent -------------------------------------------------------------------------------- */

static int compare_tids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a;
	pid_t y = *(const pid_t *)b;
	return (x > y) - (x < y);
}

/* The threads that there are.  0 with *out_tids to be freed, or -errno. */
static int list_tids(pid_t pid, pid_t **out_tids, size_t *out_count)
{
	char path[64];
	pid_t *tids = NULL;
	size_t count = 0;
	size_t capacity = 0;
	int error = 0;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? -ESRCH : -errno;
	struct dirent *entry;
	while (!error && count < THREADS_MAX && (entry = readdir(directory))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		if (count == capacity) {
			size_t wanted = capacity ? 2 * capacity : 64;
			pid_t *grown = reallocarray(tids, wanted, sizeof *grown);
			error = grown ? 0 : -ENOMEM;
			if (grown) {
				tids = grown;
				capacity = wanted;
			}
		}
		if (!error)
			tids[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	closedir(directory);
	if (!error && count == 0)
		error = -ESRCH;
	if (error) {
		free(tids);
		return error;
	}
	qsort(tids, count, sizeof *tids, compare_tids);
	*out_tids = tids;
	*out_count = count;
	return 0;
}

static int make_readings(pid_t pid, struct thread_readings *readings)
{
	pid_t *tids = NULL;
	int error = list_tids(pid, &tids, &readings->count);
	if (error)
		return error;
	void *items = mmap(NULL, readings->count * sizeof *readings->items, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (items == MAP_FAILED) {
		free(tids);
		return -ENOMEM;
	}
	readings->items = items;
	for (size_t i = 0; i < readings->count; i++)
		readings->items[i].tid = tids[i];
	free(tids);
	return 0;
}

/* Waits for the child's end, or ends it.  Whether it did all it had to. */
static bool wait_for(pid_t child, int64_t deadline_ms, void (*tick)(void *), void *tick_arg,
		     bool *out_is_late)
{
	int status = 0;
	int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	for (;;) {
		struct pollfd ended = {.fd = pidfd, .events = POLLIN};
		poll(&ended, 1, TICK_MS);
		pid_t got = waitpid(child, &status, WNOHANG);
		if (got == child || (got < 0 && errno != EINTR))
			break;
		if (tick)
			tick(tick_arg);
		if (clock_monotonic_ms() < deadline_ms + GRACE_MS)
			continue;
		*out_is_late = true;
		kill(child, SIGKILL);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		break;
	}
	if (pidfd >= 0)
		close(pidfd);
	*out_is_late = *out_is_late || (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_LATE);
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_DONE;
}

/* The first thread that was not reached yet. */
static size_t next_of(const struct thread_readings *readings, size_t from)
{
	while (from < readings->count && load_acquire(&readings->items[from].progress) != THREAD_NOT_REACHED)
		from++;
	return from;
}

int thread_reader_run(pid_t pid, const struct remote_objects *objects, const struct segment_reader *segment,
		      void (*tick)(void *), void *tick_arg, struct thread_readings *out_readings)
{
	struct thread_readings readings = {0};
	struct thread_look *look = calloc(1, sizeof *look);
	struct remote_memory *memory = calloc(1, sizeof *memory);
	struct remote_unwind *unwind = memory ? remote_unwind_open(memory, objects) : NULL;
	int error = look && unwind ? make_readings(pid, &readings) : -ENOMEM;
	int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;
	if (!error) {
		remote_memory_init(memory, pid);
		look->pid = pid;
		look->segment = segment;
		look->unwind = unwind;
		look->memory = memory;
	}
	for (size_t next = 0;
	     !error && next < readings.count && readings.crashes < CRASHES_MAX && !readings.is_late;) {
		pid_t child = fork();
		if (child == 0)
			read_all(look, &readings, next, deadline_ms);
		if (child < 0) {
			error = -errno;
		} else if (!wait_for(child, deadline_ms, tick, tick_arg, &readings.is_late) &&
			   !readings.is_late) {
			readings.crashes++;
			next = next_of(&readings, next);
		} else {
			next = readings.count;
		}
	}
	remote_unwind_close(unwind);
	free(memory);
	free(look);
	if (error) {
		thread_reader_free(&readings);
		return error;
	}
	*out_readings = readings;
	return 0;
}

void thread_reader_free(struct thread_readings *readings)
{
	if (readings->items)
		munmap(readings->items, readings->count * sizeof *readings->items);
	*readings = (struct thread_readings){0};
}
