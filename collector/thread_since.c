/* SPDX-License-Identifier: MIT */
/*
 * The clock of a CPU leaves out what interrupts and the hypervisor took, where the
 * kernel accounts for that, so clocks of two CPUs may be hours apart after months.  A
 * CPU is therefore asked for its own: we go there and look at our own exec_start.
 *
 * Context: see thread_since.h.
 */
#include "thread_since.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

/* Waiting for busy CPUs must not make the dump late. */
#define ASKING_NS_MAX INT64_C(50000000)

/* In /proc/PID/stat, counted behind the name. */
#define STAT_CPU_FIELD 36

enum { NOT_ASKED, KNOWN, UNKNOWN };

static int64_t monotonic_ns(void)
{
	return (int64_t)clock_ns(CLOCK_MONOTONIC);
}

static bool take_digits(const char **at, const char *end, uint64_t max, uint64_t *out_number)
{
	uint64_t number = 0;
	const char *start = *at;
	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		number = number * 10 + (uint64_t)(**at - '0');
		if (number > max)
			return false;
	}
	*out_number = number;
	return *at > start;
}

uint64_t thread_since_parse_sched(const char *text, size_t size)
{
	static const char key[] = "se.exec_start";
	const char *end = text + size;
	uint64_t ms;
	uint64_t ns;
	const char *at = memmem(text, size, key, sizeof key - 1);
	if (!at)
		return 0;
	at += sizeof key - 1;
	while (at < end && (*at == ' ' || *at == ':'))
		at++;
	if (!take_digits(&at, end, INT64_MAX / 1000000 - 1, &ms) || at == end || *at++ != '.' ||
	    !take_digits(&at, end, 999999, &ns))
		return 0;
	return ms * 1000000 + ns;
}

int thread_since_parse_stat(const char *text, size_t size)
{
	/* The name is in parentheses, and may have any character in it. */
	const char *at = memrchr(text, ')', size);
	const char *end = text + size;
	uint64_t cpu;
	for (int field = 0; at && field < STAT_CPU_FIELD + 1; field++) {
		at = memchr(at, ' ', (size_t)(end - at));
		if (at)
			at++;
	}
	if (!at || !take_digits(&at, end, THREAD_SINCE_CPUS - 1, &cpu))
		return -1;
	return (int)cpu;
}

/* Bytes read, 0 on failure. */
static size_t read_file(const char *path, char *text, size_t capacity)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, text, capacity);
	if (fd >= 0)
		close(fd);
	return size > 0 ? (size_t)size : 0;
}

static uint64_t exec_start(const char *path)
{
	char text[2048];
	return thread_since_parse_sched(text, read_file(path, text, sizeof text));
}

static uint8_t ask(struct thread_since_clocks *clocks, int cpu)
{
	cpu_set_t before;
	cpu_set_t only;
	uint8_t result = UNKNOWN;
	int64_t start = monotonic_ns();
	CPU_ZERO(&only);
	CPU_SET((size_t)cpu, &only);
	if (clocks->spent_ns > ASKING_NS_MAX || sched_getaffinity(0, sizeof before, &before))
		return UNKNOWN;
	if (sched_setaffinity(0, sizeof only, &only) == 0) {
		/* Coming here has brought it up to date. */
		uint64_t own = exec_start("/proc/thread-self/sched");
		clocks->behind_ns[cpu] = monotonic_ns() - (int64_t)own;
		result = own ? KNOWN : UNKNOWN;
		(void)sched_setaffinity(0, sizeof before, &before);
	}
	clocks->spent_ns += monotonic_ns() - start;
	return result;
}

uint64_t thread_since_read(struct thread_since_clocks *clocks, pid_t pid, pid_t tid)
{
	char path[64];
	char text[1024];
	snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
	int cpu = thread_since_parse_stat(text, read_file(path, text, sizeof text));
	if (cpu < 0)
		return 0;
	if (clocks->state[cpu] == NOT_ASKED)
		clocks->state[cpu] = ask(clocks, cpu);
	snprintf(path, sizeof path, "/proc/%d/task/%d/sched", pid, tid);
	uint64_t left = clocks->state[cpu] == KNOWN ? exec_start(path) : 0;
	if (left == 0 || left > INT64_MAX)
		return 0;
	int64_t since = (int64_t)left + clocks->behind_ns[cpu];
	int64_t now = monotonic_ns();
	return since <= 0 ? 0 : (uint64_t)(since < now ? since : now);
}
