/* SPDX-License-Identifier: MIT */
/*
 * How numbers, sizes, durations and rates are written, wherever people write them: in
 * the variables, which libcprof.so reads, and on the command line.  Both accept the
 * same, because both ask here.  Nothing of libc is used.
 *
 * Context: any (async-signal-safe).
 */
#ifndef CPROF_UNITS_H
#define CPROF_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPROF_CPU_HZ_MAX 10000u
#define CPROF_HEAP_RATE_MAX_BYTES (UINT64_C(1) << 40)
#define CPROF_BLOCK_RATE_MAX_NS (UINT64_C(3600) * 1000 * 1000 * 1000)
#define CPROF_MUTEX_FRACTION_MAX 1000000u

#define CPROF_CPU_HZ_ACCEPTED "a number from 0 to 10000"
#define CPROF_HEAP_RATE_ACCEPTED "a size such as 1, 4096, 512K or 2M, 0 for off"
#define CPROF_BLOCK_RATE_ACCEPTED "nanoseconds or a duration up to 1h, such as 1, 10us or 1ms, 0 for off"
#define CPROF_MUTEX_FRACTION_ACCEPTED "a number from 0 to 1000000"
#define CPROF_TRACE_SET_ACCEPTED "off or flight"

struct cprof_unit {
	const char *name;
	uint64_t factor;
};

/* Reads decimal digits; returns the rest, or NULL if there are none or the number is too large. */
static inline const char *cprof_read_digits(const char *s, uint64_t *out_number)
{
	uint64_t number = 0;
	const char *start = s;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(number, 10u, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*s - '0'), &number))
			return NULL;
	if (s == start)
		return NULL;
	*out_number = number;
	return s;
}

/* A whole number and nothing else, from 0 to `max`. */
static inline bool cprof_read_number(const char *s, uint64_t max, uint64_t *out_number)
{
	uint64_t number;
	const char *rest = cprof_read_digits(s, &number);
	if (!rest || *rest || number > max)
		return false;
	*out_number = number;
	return true;
}

static inline bool cprof_read_with_unit(const char *s, const struct cprof_unit *units, size_t unit_count,
					uint64_t *out_number)
{
	uint64_t number;
	s = cprof_read_digits(s, &number);
	if (!s)
		return false;
	for (size_t i = 0; i < unit_count; i++) {
		size_t at = 0;
		while (s[at] && s[at] == units[i].name[at])
			at++;
		if (s[at] == units[i].name[at])
			return !__builtin_mul_overflow(number, units[i].factor, out_number);
	}
	return false;
}

/* Bytes: a number with K, M, G or nothing behind it. */
static inline bool cprof_read_size(const char *s, uint64_t *out_bytes)
{
	static const struct cprof_unit units[] = {
		{"", 1},        {"K", 1 << 10}, {"k", 1 << 10},   {"M", 1 << 20},   {"m", 1 << 20},
		{"G", 1 << 30}, {"g", 1 << 30}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
	return cprof_read_with_unit(s, units, sizeof units / sizeof units[0], out_bytes);
}

/* Nanoseconds: a number with ns, us, ms, s, m or h behind it, or 0. */
static inline bool cprof_read_duration(const char *s, uint64_t *out_ns)
{
	static const struct cprof_unit units[] = {{"ns", 1},
						  {"us", 1000},
						  {"ms", 1000 * 1000},
						  {"s", UINT64_C(1000000000)},
						  {"m", UINT64_C(60) * 1000000000},
						  {"h", UINT64_C(3600) * 1000000000}};
	return cprof_read_number(s, 0, out_ns) ||
	       cprof_read_with_unit(s, units, sizeof units / sizeof units[0], out_ns);
}

static inline bool cprof_read_heap_rate(const char *s, uint64_t *out_bytes)
{
	uint64_t bytes;
	if (!cprof_read_size(s, &bytes) || bytes > CPROF_HEAP_RATE_MAX_BYTES)
		return false;
	*out_bytes = bytes;
	return true;
}

/* A plain number is nanoseconds, as Go's SetBlockProfileRate takes it. */
static inline bool cprof_read_block_rate(const char *s, uint64_t *out_ns)
{
	uint64_t ns;
	if ((!cprof_read_number(s, UINT64_MAX, &ns) && !cprof_read_duration(s, &ns)) ||
	    ns > CPROF_BLOCK_RATE_MAX_NS)
		return false;
	*out_ns = ns;
	return true;
}

#endif
