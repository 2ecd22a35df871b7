/* SPDX-License-Identifier: MIT */
/*
 * The word is rule << 60 | CLOCK_MONOTONIC: 2^60 ns are 36 years.
 *
 * Context: any (async-signal-safe).
 */
#include "flight_slow.h"

#include <string.h>

#include "cprof_compiler.h"
#include "cprof_units.h"
#include "flight.h"
#include "process.h"
#include "segment.h"

#define RULE_SHIFT 60
#define TIME_MASK ((UINT64_C(1) << RULE_SHIFT) - 1)

/* Written at load. */
static struct rule {
	char name[FLIGHT_SLOW_NAME_BYTES];
	size_t name_bytes;
	uint64_t limit_ns;
} rules[FLIGHT_SLOW_RULES];
static uint32_t rule_count;

/* When a window was asked for last, 0: never. */
static atomic_u64 last_ns;

/* One "name:duration" of so many bytes; a name may hold colons itself. */
static bool read_rule(const char *entry, size_t bytes, struct rule *out_rule)
{
	char duration[32];
	size_t colon = bytes;
	while (colon > 0 && entry[colon - 1] != ':')
		colon--;
	if (colon < 2 || colon - 1 > sizeof out_rule->name || bytes - colon >= sizeof duration)
		return false;
	memcpy(out_rule->name, entry, colon - 1);
	out_rule->name_bytes = colon - 1;
	memcpy(duration, entry + colon, bytes - colon);
	duration[bytes - colon] = '\0';
	return cprof_read_duration(duration, &out_rule->limit_ns) && out_rule->limit_ns > 0;
}

bool flight_slow_read(const char *value)
{
	uint32_t count = 0;
	rule_count = 0;
	while (*value) {
		size_t bytes = 0;
		while (value[bytes] && value[bytes] != ',')
			bytes++;
		if (count == FLIGHT_SLOW_RULES || !read_rule(value, bytes, &rules[count]))
			return false;
		count++;
		value += bytes;
		if (*value == ',' && !*++value)
			return false;
	}
	rule_count = count;
	return true;
}

uint64_t flight_slow_begin(const char *type, size_t type_bytes, uint64_t now_ns)
{
	for (uint32_t i = 0; i < rule_count; i++)
		if (rules[i].name_bytes == type_bytes && memcmp(rules[i].name, type, type_bytes) == 0)
			return (uint64_t)i << RULE_SHIFT | (now_ns & TIME_MASK);
	return 0;
}

/* Nanoseconds between two times, which two threads may have seen a little differently. */
static uint64_t between(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

void flight_slow_end(uint64_t watch, uint64_t now_ns)
{
	uint64_t rule = watch >> RULE_SHIFT;
	if (likely(watch == 0) || rule >= rule_count ||
	    between(watch & TIME_MASK, now_ns) <= rules[rule].limit_ns || !process_is_recording())
		return;
	uint64_t last = load_relaxed(&last_ns); /* the CAS decides */
	if (last != 0 && between(last, now_ns) < segment_control()->flight_age_ns)
		return;
	if (cas_acq_rel(&last_ns, &last, now_ns))
		(void)flight_request(CPROF_FLIGHT_BY_SLOW);
}

void flight_slow_forget(void)
{
	store_relaxed(&last_ns, UINT64_C(0)); /* one thread so far */
}
