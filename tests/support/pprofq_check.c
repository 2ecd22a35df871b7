/* SPDX-License-Identifier: MIT */
/*
 * What makes a file valid: what pprof refuses, what it silently misreads, and what the
 * encoder promises (equal samples are added up, none is zero).
 *
 * Context: tests; see pprofq_file.h.
 */
#include "pprofq_file.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Well-formed UTF-8 (RFC 3629): shortest form, no surrogates, up to U+10FFFF. */
static bool is_utf8(const char *text)
{
	const uint8_t *s = (const uint8_t *)text;
	while (*s) {
		uint32_t c = *s++;
		int more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : -1;
		if (more < 0)
			return false;
		uint32_t point = more == 0 ? c : c & (0x3fu >> more);
		for (int i = 0; i < more; i++, s++) {
			if ((*s & 0xc0) != 0x80)
				return false;
			point = point << 6 | (*s & 0x3f);
		}
		static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
		if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
			return false;
	}
	return true;
}

static void check_strings(const profile_t *p)
{
	if (!p->n_string_table || *p->string_table[0])
		pprofq_die(1, "the first string is not empty");
	for (size_t i = 0; i < p->n_string_table; i++)
		if (!is_utf8(p->string_table[i]))
			pprofq_die(1, "string %zu is not UTF-8", i);
	pprofq_string(p, p->drop_frames);
	pprofq_string(p, p->keep_frames);
	pprofq_string(p, p->default_sample_type);
	pprofq_string(p, p->doc_url);
	for (size_t i = 0; i < p->n_comment; i++)
		pprofq_string(p, p->comment[i]);
}

static void check_types(const profile_t *p)
{
	if (!p->n_sample_type)
		pprofq_die(1, "no sample types");
	for (size_t i = 0; i < p->n_sample_type; i++)
		if (!*pprofq_string(p, p->sample_type[i]->type) ||
		    !*pprofq_string(p, p->sample_type[i]->unit))
			pprofq_die(1, "sample type %zu has no name or no unit", i);
	if (!p->period_type || !*pprofq_string(p, p->period_type->type) ||
	    !*pprofq_string(p, p->period_type->unit))
		pprofq_die(1, "no period type");
	if (p->time_nanos == 0)
		pprofq_die(1, "no time");
}

static void check_functions(const profile_t *p)
{
	for (size_t i = 0; i < p->n_function; i++) {
		const function_t *f = p->function[i];
		if (!*pprofq_string(p, f->name))
			pprofq_die(1, "function %" PRIu64 " has no name", f->id);
		pprofq_string(p, f->system_name);
		pprofq_string(p, f->filename);
	}
}

/*
 * pprof symbolises a mapping by itself unless a flag is set, and leaves all of it
 * alone if one is.  So has_functions must say what is true of every location.
 */
static void check_locations(const profile_t *p)
{
	for (size_t i = 0; i < p->n_location; i++) {
		const location_t *l = p->location[i];
		for (size_t j = 0; j < l->n_line; j++)
			pprofq_function(p, l->line[j]->function_id);
		if (!l->mapping_id)
			continue;
		const mapping_t *m = pprofq_mapping(p, l->mapping_id);
		if (!m)
			pprofq_die(1, "no mapping %" PRIu64, l->mapping_id);
		if (m->has_functions != (l->n_line > 0))
			pprofq_die(1, "location %" PRIu64 " %s lines, its mapping says otherwise", l->id,
				   l->n_line ? "has" : "has no");
	}
	for (size_t i = 0; i < p->n_mapping; i++) {
		const mapping_t *m = p->mapping[i];
		pprofq_string(p, m->filename);
		pprofq_string(p, m->build_id);
		if (m->memory_start > m->memory_limit)
			pprofq_die(1, "mapping %" PRIu64 " ends before it starts", m->id);
		if (!m->has_functions && (m->has_filenames || m->has_line_numbers || m->has_inline_frames))
			pprofq_die(1, "mapping %" PRIu64 " has files or lines without functions", m->id);
	}
}

static const profile_t *sorting; /* for compare_samples() */

static int compare_samples(const void *a, const void *b)
{
	const sample_t *x = sorting->sample[*(const size_t *)a], *y = sorting->sample[*(const size_t *)b];
	if (x->n_location_id != y->n_location_id)
		return x->n_location_id < y->n_location_id ? -1 : 1;
	int order = memcmp(x->location_id, y->location_id, x->n_location_id * sizeof(*x->location_id));
	if (order || x->n_label != y->n_label)
		return order ? order : x->n_label < y->n_label ? -1 : 1;
	for (size_t i = 0; !order && i < x->n_label; i++) {
		const label_t *l = x->label[i], *m = y->label[i];
		int64_t left[] = {l->key, l->str, l->num, l->num_unit},
			right[] = {m->key, m->str, m->num, m->num_unit};
		order = memcmp(left, right, sizeof(left));
	}
	return order;
}

static void check_samples(const profile_t *p)
{
	size_t *order = pprofq_must(calloc(p->n_sample + 1, sizeof(*order)));
	for (size_t i = 0; i < p->n_sample; i++) {
		const sample_t *s = p->sample[i];
		order[i] = i;
		if (s->n_value != p->n_sample_type)
			pprofq_die(1, "sample %zu has %zu values, not %zu", i, s->n_value, p->n_sample_type);
		bool zero = true;
		for (size_t j = 0; j < s->n_value; j++)
			zero = zero && s->value[j] == 0;
		if (zero)
			pprofq_die(1, "sample %zu is all zero", i);
		if (!s->n_location_id)
			pprofq_die(1, "sample %zu has no location", i);
		for (size_t j = 0; j < s->n_location_id; j++)
			pprofq_location(p, s->location_id[j]);
		for (size_t j = 0; j < s->n_label; j++) {
			const label_t *l = s->label[j];
			if (!*pprofq_string(p, l->key))
				pprofq_die(1, "sample %zu has a label without a key", i);
			if (!l->str && !*pprofq_string(p, l->num_unit))
				pprofq_die(1, "sample %zu has a number without a unit", i);
			pprofq_string(p, l->str);
		}
	}
	sorting = p;
	qsort(order, p->n_sample, sizeof(*order), compare_samples);
	for (size_t i = 1; i < p->n_sample; i++)
		if (!compare_samples(&order[i - 1], &order[i]))
			pprofq_die(1, "samples %zu and %zu have the same stack and labels", order[i - 1],
				   order[i]);
	free(order);
}

void pprofq_check(const profile_t *p)
{
	check_strings(p);
	check_types(p);
	check_functions(p);
	check_locations(p);
	check_samples(p);
}
