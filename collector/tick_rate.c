/* SPDX-License-Identifier: MIT */
/*
 * The kernel has made sure that the counter of all processors is one and of a constant rate if it
 * takes it for its own clock, and gives it up when that turns out to be wrong.  So
 * its word is taken, and asked for again.
 *
 * Context: collector, main thread.
 */
#include "tick_rate.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "cprof_ticks.h"

#define CLOCKSOURCE_PATH "/sys/devices/system/clocksource/clocksource0/current_clocksource"

#define SPAN_MIN_NS UINT64_C(50000000)
#define SPAN_MAX_NS UINT64_C(10000000000)

/* Of several readings of both the one that was interrupted least. */
#define READINGS 8

static bool is_clock(void)
{
	char name[64];
	size_t wanted = strlen(CPROF_TICK_CLOCKSOURCE);
	int fd = open(CLOCKSOURCE_PATH, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, name, sizeof name);
	close(fd);
	return wanted != 0 && n == (ssize_t)wanted + 1 &&
	       memcmp(name, CPROF_TICK_CLOCKSOURCE "\n", wanted + 1) == 0;
}

static void read_both(uint64_t *out_ticks, uint64_t *out_ns)
{
	uint64_t shortest = UINT64_MAX;
	for (int i = 0; i < READINGS; i++) {
		uint64_t before = cprof_ticks();
		uint64_t ns = clock_ns(CLOCK_MONOTONIC);
		uint64_t took = cprof_ticks() - before;
		if (took >= shortest)
			continue;
		shortest = took;
		*out_ticks = before + took / 2;
		*out_ns = ns;
	}
}

/* 0: the counter was set back, or everything was stopped. */
static uint64_t rate_of(uint64_t span_ticks, uint64_t span_ns)
{
	if (span_ns > 2 * SPAN_MAX_NS || span_ticks == 0)
		return 0;
	uint64_t rate = (span_ns << CPROF_TICK_SHIFT) / span_ticks;
	return cprof_tick_rate_is_valid(rate) ? rate : 0;
}

static bool is_near(uint64_t rate, uint64_t former)
{
	uint64_t difference = rate > former ? rate - former : former - rate;
	return difference < former / 1000;
}

uint64_t tick_rate_now(struct tick_rate *self)
{
	uint64_t ticks = 0, ns = 0;
	read_both(&ticks, &ns);
	uint64_t span_ns = ns - self->begin_ns;
	bool begins = self->begin_ns == 0 || span_ns >= SPAN_MAX_NS;
	if (self->begin_ns && self->is_usable && (begins || (self->rate == 0 && span_ns >= SPAN_MIN_NS))) {
		uint64_t rate = rate_of(ticks - self->begin_ticks, span_ns);
		/* A sleep of the machine is in one of the two: the next span will tell. */
		self->rate = self->rate == 0 || is_near(rate, self->rate) ? rate : 0;
	}
	if (begins) {
		self->is_usable = is_clock();
		self->rate = self->is_usable ? self->rate : 0;
		self->begin_ticks = ticks;
		self->begin_ns = ns;
	}
	return self->rate;
}
