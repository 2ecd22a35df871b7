/* SPDX-License-Identifier: MIT */
/*
 * Exact texts take the largest unit that divides; rounded ones the largest that leaves
 * at least 1.
 *
 * Context: command line.
 */
#include "rate_text.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "cprof_compiler.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* From the largest to 1. */
static const struct unit size_units[] = {{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1}};
static const struct unit count_units[] = {{"G", 1000000000}, {"M", 1000000}, {"k", 1000}, {"", 1}};
static const struct unit time_units[] = {{"h", UINT64_C(3600000000000)},
					 {"m", UINT64_C(60000000000)},
					 {"s", 1000000000},
					 {"ms", 1000000},
					 {"us", 1000},
					 {"ns", 1}};

static void put_exact(uint64_t value, const struct unit *unit, char out_text[RATE_TEXT_BYTES])
{
	if (value == 0) {
		snprintf(out_text, RATE_TEXT_BYTES, "0");
		return;
	}
	while (value % unit->factor)
		unit++;
	snprintf(out_text, RATE_TEXT_BYTES, "%" PRIu64 "%s", value / unit->factor, unit->name);
}

static void put_rounded(uint64_t value, const struct unit *unit, char out_text[RATE_TEXT_BYTES])
{
	while (unit->factor > 1 && value < unit->factor)
		unit++;
	double amount = (double)value / (double)unit->factor;
	int decimals = unit->factor == 1 || amount >= 100 ? 0 : amount >= 10 ? 1 : 2;
	snprintf(out_text, RATE_TEXT_BYTES, "%.*f%s", decimals, amount, value ? unit->name : "");
}

void rate_text_bytes(uint64_t bytes, char out_text[RATE_TEXT_BYTES])
{
	put_exact(bytes, size_units, out_text);
}

void rate_text_ns(uint64_t ns, char out_text[RATE_TEXT_BYTES])
{
	put_exact(ns, time_units, out_text);
}

void amount_text_bytes(uint64_t bytes, char out_text[RATE_TEXT_BYTES])
{
	put_rounded(bytes, size_units, out_text);
}

void amount_text_ns(uint64_t ns, char out_text[RATE_TEXT_BYTES])
{
	put_rounded(ns, time_units + 1, out_text);
}

void amount_text_count(uint64_t count, char out_text[RATE_TEXT_BYTES])
{
	put_rounded(count, count_units, out_text);
}
