/* SPDX-License-Identifier: MIT */
/*
 * Questions to a pprof file, for tests.  Reads the file with the generated decoder
 * and zlib, and shares no code with the encoder that wrote it.
 *
 *   pprofq FILE types              one "type/unit" a line, then "period TYPE/UNIT N"
 *   pprofq FILE total TYPE         sum over all samples
 *   pprofq FILE leaf NAME TYPE     sum over samples whose innermost function is NAME
 *   pprofq FILE has NAME TYPE      sum over samples with NAME anywhere
 *   pprofq FILE frames             all function names, sorted, each once
 *   pprofq FILE comments           one a line
 *   pprofq FILE stacks TYPE        "value leaf;...;root", sorted
 *   pprofq FILE mappings           "id start-limit offset flags build-id file"
 *   pprofq FILE check              silent if valid; else one line and status 1
 *
 * TYPE is an index into the sample types or the name of one.  An address without a
 * function is called what `go tool pprof` calls it: [basename of the file], or
 * <unknown>.  drop_frames is not applied.  Status: 0, 1 not valid, 2 bad question or
 * unreadable file.
 *
 * Context: tests.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "profile.pb-c.h"

typedef Perftools__Profiles__Function function_t;
typedef Perftools__Profiles__Line line_t;
typedef Perftools__Profiles__Location location_t;
typedef Perftools__Profiles__Mapping mapping_t;
typedef Perftools__Profiles__Profile profile_t;
typedef Perftools__Profiles__Sample sample_t;

/* Tables by id, filled by index_all(). */
struct by_id {
	uint64_t id;
	const void *item;
};
static struct by_id *functions, *locations, *mappings;

__attribute__((noreturn, format(printf, 2, 3))) static void die(int status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("pprofq: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(status);
}

static void *must(void *p)
{
	if (!p)
		die(2, "no memory");
	return p;
}

/* Decompresses the whole file; anything but exactly one gzip member is an error. */
static uint8_t *read_gzip(const char *path, size_t *out_size)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		die(2, "%s: %s", path, strerror(errno));
	z_stream z = {0};
	if (inflateInit2(&z, 15 + 16) != Z_OK)
		die(2, "zlib");
	size_t capacity = 1 << 16, size = 0;
	uint8_t *bytes = must(malloc(capacity));
	static uint8_t in[1 << 16];
	int status = Z_OK;
	while (status == Z_OK) {
		if (z.avail_in == 0) {
			z.next_in = in;
			z.avail_in = (uInt)fread(in, 1, sizeof(in), file);
			if (z.avail_in == 0)
				die(1, "%s: cut short", path);
		}
		if (size == capacity)
			bytes = must(realloc(bytes, capacity *= 2));
		z.next_out = bytes + size;
		z.avail_out = (uInt)(capacity - size < (1u << 30) ? capacity - size : 1u << 30);
		size_t room = z.avail_out;
		status = inflate(&z, Z_NO_FLUSH);
		size += room - z.avail_out;
	}
	if (status != Z_STREAM_END)
		die(1, "%s: not gzip: %s", path, z.msg ? z.msg : "bad data");
	if (z.avail_in != 0 || fgetc(file) != EOF)
		die(1, "%s: something follows the gzip member", path);
	inflateEnd(&z);
	fclose(file);
	*out_size = size;
	return bytes;
}

static int compare_ids(const void *a, const void *b)
{
	const struct by_id *x = a, *y = b;
	return x->id < y->id ? -1 : x->id > y->id;
}

static const void *find_id(const struct by_id *table, size_t count, uint64_t id)
{
	struct by_id key = {.id = id};
	const struct by_id *found = bsearch(&key, table, count, sizeof(*table), compare_ids);
	return found ? found->item : NULL;
}

static struct by_id *index_table(const char *what, void *const *items, size_t count,
				 uint64_t (*id_of)(const void *))
{
	struct by_id *table = must(calloc(count + 1, sizeof(*table)));
	for (size_t i = 0; i < count; i++)
		table[i] = (struct by_id){id_of(items[i]), items[i]};
	qsort(table, count, sizeof(*table), compare_ids);
	for (size_t i = 0; i < count; i++) {
		if (table[i].id == 0)
			die(1, "%s with id 0", what);
		if (i && table[i].id == table[i - 1].id)
			die(1, "two %ss with id %" PRIu64, what, table[i].id);
	}
	return table;
}

static uint64_t function_id(const void *f)
{
	return ((const function_t *)f)->id;
}

static uint64_t location_id(const void *l)
{
	return ((const location_t *)l)->id;
}

static uint64_t mapping_id(const void *m)
{
	return ((const mapping_t *)m)->id;
}

static const char *string_at(const profile_t *p, int64_t index)
{
	if (index < 0 || (uint64_t)index >= p->n_string_table)
		die(1, "string index %" PRId64 " of %zu", index, p->n_string_table);
	return p->string_table[index];
}

static const location_t *location_at(const profile_t *p, uint64_t id)
{
	const location_t *l = find_id(locations, p->n_location, id);
	if (!l)
		die(1, "no location %" PRIu64, id);
	return l;
}

static const function_t *function_at(const profile_t *p, uint64_t id)
{
	const function_t *f = find_id(functions, p->n_function, id);
	if (!f)
		die(1, "no function %" PRIu64, id);
	return f;
}

static void index_all(const profile_t *p)
{
	functions = index_table("function", (void *const *)p->function, p->n_function, function_id);
	locations = index_table("location", (void *const *)p->location, p->n_location, location_id);
	mappings = index_table("mapping", (void *const *)p->mapping, p->n_mapping, mapping_id);
}

static size_t type_index(const profile_t *p, const char *type)
{
	for (size_t i = 0; i < p->n_sample_type; i++)
		if (!strcmp(string_at(p, p->sample_type[i]->type), type))
			return i;
	char *end;
	unsigned long index = strtoul(type, &end, 10);
	if (end == type || *end || index >= p->n_sample_type)
		die(2, "no sample type %s", type);
	return index;
}

static int64_t value_at(const sample_t *s, size_t type)
{
	if (type >= s->n_value)
		die(1, "a sample with %zu values", s->n_value);
	return s->value[type];
}

/* Calls visit for each function of the stack, leaf first, until it returns false. */
static void walk(const profile_t *p, const sample_t *s, bool (*visit)(const char *name, void *arg), void *arg)
{
	for (size_t i = 0; i < s->n_location_id; i++) {
		const location_t *l = location_at(p, s->location_id[i]);
		for (size_t j = 0; j < l->n_line; j++)
			if (!visit(string_at(p, function_at(p, l->line[j]->function_id)->name), arg))
				return;
		if (l->n_line)
			continue;
		const mapping_t *m = find_id(mappings, p->n_mapping, l->mapping_id);
		const char *file = m ? string_at(p, m->filename) : "";
		const char *slash = strrchr(file, '/');
		char name[4200] = "<unknown>";
		if (*file)
			snprintf(name, sizeof(name), "[%s]", slash ? slash + 1 : file);
		if (!visit(name, arg))
			return;
	}
}

struct match {
	const char *name;
	bool leaf_only;
	bool found;
};

static bool match_name(const char *name, void *arg)
{
	struct match *match = arg;
	match->found = !strcmp(name, match->name);
	return !match->found && !match->leaf_only;
}

static int print_sum(const profile_t *p, const char *name, const char *type_name, bool leaf_only)
{
	size_t type = type_index(p, type_name);
	int64_t sum = 0;
	for (size_t i = 0; i < p->n_sample; i++) {
		struct match match = {name, leaf_only, name == NULL};
		if (name)
			walk(p, p->sample[i], match_name, &match);
		if (match.found)
			sum += value_at(p->sample[i], type);
	}
	printf("%" PRId64 "\n", sum);
	return 0;
}

static int print_types(const profile_t *p)
{
	for (size_t i = 0; i < p->n_sample_type; i++)
		printf("%s/%s\n", string_at(p, p->sample_type[i]->type),
		       string_at(p, p->sample_type[i]->unit));
	if (p->period_type)
		printf("period %s/%s %" PRId64 "\n", string_at(p, p->period_type->type),
		       string_at(p, p->period_type->unit), p->period);
	return 0;
}

/* A growing list of lines, to be sorted. */
struct text_lines {
	char **items;
	size_t count, capacity;
};

static void lines_add(struct text_lines *lines, char *line)
{
	if (lines->count == lines->capacity) {
		lines->capacity = lines->capacity ? 2 * lines->capacity : 64;
		lines->items = must(realloc(lines->items, lines->capacity * sizeof(*lines->items)));
	}
	lines->items[lines->count++] = line;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int lines_print(struct text_lines *lines, bool unique)
{
	qsort(lines->items, lines->count, sizeof(*lines->items), compare_lines);
	for (size_t i = 0; i < lines->count; i++)
		if (!unique || !i || strcmp(lines->items[i], lines->items[i - 1]) != 0)
			puts(lines->items[i]);
	return 0;
}

static bool collect_name(const char *name, void *arg)
{
	lines_add(arg, must(strdup(name)));
	return true;
}

static int print_frames(const profile_t *p)
{
	struct text_lines names = {0};
	for (size_t i = 0; i < p->n_location; i++) {
		uint64_t id = p->location[i]->id;
		sample_t one = PERFTOOLS__PROFILES__SAMPLE__INIT;
		one.n_location_id = 1;
		one.location_id = &id;
		walk(p, &one, collect_name, &names);
	}
	return lines_print(&names, true);
}

static bool append_name(const char *name, void *arg)
{
	FILE *stream = arg;
	fprintf(stream, "%s;", name);
	return true;
}

static int print_stacks(const profile_t *p, const char *type_name)
{
	size_t type = type_index(p, type_name);
	struct text_lines stacks = {0};
	for (size_t i = 0; i < p->n_sample; i++) {
		char *text;
		size_t size;
		FILE *stream = must(open_memstream(&text, &size));
		fprintf(stream, "%" PRId64 " ", value_at(p->sample[i], type));
		walk(p, p->sample[i], append_name, stream);
		fclose(stream);
		if (size && text[size - 1] == ';')
			text[size - 1] = '\0';
		lines_add(&stacks, text);
	}
	return lines_print(&stacks, false);
}

static int print_comments(const profile_t *p)
{
	for (size_t i = 0; i < p->n_comment; i++)
		puts(string_at(p, p->comment[i]));
	return 0;
}

static int print_mappings(const profile_t *p)
{
	for (size_t i = 0; i < p->n_mapping; i++) {
		const mapping_t *m = p->mapping[i];
		char flags[64] = "";
		snprintf(flags, sizeof(flags), "%s%s%s%s", m->has_functions ? ",functions" : "",
			 m->has_filenames ? ",filenames" : "", m->has_line_numbers ? ",lines" : "",
			 m->has_inline_frames ? ",inlines" : "");
		const char *build_id = string_at(p, m->build_id);
		printf("%" PRIu64 " %#" PRIx64 "-%#" PRIx64 " %#" PRIx64 " %s %s %s\n", m->id,
		       m->memory_start, m->memory_limit, m->file_offset, *flags ? flags + 1 : "-",
		       *build_id ? build_id : "-", string_at(p, m->filename));
	}
	return 0;
}

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
		die(1, "the first string is not empty");
	for (size_t i = 0; i < p->n_string_table; i++)
		if (!is_utf8(p->string_table[i]))
			die(1, "string %zu is not UTF-8", i);
	string_at(p, p->drop_frames);
	string_at(p, p->keep_frames);
	string_at(p, p->default_sample_type);
	string_at(p, p->doc_url);
	for (size_t i = 0; i < p->n_comment; i++)
		string_at(p, p->comment[i]);
}

static void check_types(const profile_t *p)
{
	if (!p->n_sample_type)
		die(1, "no sample types");
	for (size_t i = 0; i < p->n_sample_type; i++)
		if (!*string_at(p, p->sample_type[i]->type) || !*string_at(p, p->sample_type[i]->unit))
			die(1, "sample type %zu has no name or no unit", i);
	if (!p->period_type || !*string_at(p, p->period_type->type) || !*string_at(p, p->period_type->unit))
		die(1, "no period type");
	if (p->time_nanos == 0)
		die(1, "no time");
}

static void check_functions(const profile_t *p)
{
	for (size_t i = 0; i < p->n_function; i++) {
		const function_t *f = p->function[i];
		if (!*string_at(p, f->name))
			die(1, "function %" PRIu64 " has no name", f->id);
		string_at(p, f->system_name);
		string_at(p, f->filename);
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
			function_at(p, l->line[j]->function_id);
		if (!l->mapping_id)
			continue;
		const mapping_t *m = find_id(mappings, p->n_mapping, l->mapping_id);
		if (!m)
			die(1, "no mapping %" PRIu64, l->mapping_id);
		if (m->has_functions != (l->n_line > 0))
			die(1, "location %" PRIu64 " %s lines, its mapping says otherwise", l->id,
			    l->n_line ? "has" : "has no");
	}
	for (size_t i = 0; i < p->n_mapping; i++) {
		const mapping_t *m = p->mapping[i];
		string_at(p, m->filename);
		string_at(p, m->build_id);
		if (m->memory_start > m->memory_limit)
			die(1, "mapping %" PRIu64 " ends before it starts", m->id);
		if (!m->has_functions && (m->has_filenames || m->has_line_numbers || m->has_inline_frames))
			die(1, "mapping %" PRIu64 " has files or lines without functions", m->id);
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
		const Perftools__Profiles__Label *l = x->label[i], *m = y->label[i];
		int64_t left[] = {l->key, l->str, l->num, l->num_unit},
			right[] = {m->key, m->str, m->num, m->num_unit};
		order = memcmp(left, right, sizeof(left));
	}
	return order;
}

static void check_samples(const profile_t *p)
{
	size_t *order = must(calloc(p->n_sample + 1, sizeof(*order)));
	for (size_t i = 0; i < p->n_sample; i++) {
		const sample_t *s = p->sample[i];
		order[i] = i;
		if (s->n_value != p->n_sample_type)
			die(1, "sample %zu has %zu values, not %zu", i, s->n_value, p->n_sample_type);
		bool zero = true;
		for (size_t j = 0; j < s->n_value; j++)
			zero = zero && s->value[j] == 0;
		if (zero)
			die(1, "sample %zu is all zero", i);
		if (!s->n_location_id)
			die(1, "sample %zu has no location", i);
		for (size_t j = 0; j < s->n_location_id; j++)
			location_at(p, s->location_id[j]);
		for (size_t j = 0; j < s->n_label; j++) {
			const Perftools__Profiles__Label *l = s->label[j];
			if (!*string_at(p, l->key))
				die(1, "sample %zu has a label without a key", i);
			if (!l->str && !*string_at(p, l->num_unit))
				die(1, "sample %zu has a number without a unit", i);
			string_at(p, l->str);
		}
	}
	sorting = p;
	qsort(order, p->n_sample, sizeof(*order), compare_samples);
	for (size_t i = 1; i < p->n_sample; i++)
		if (!compare_samples(&order[i - 1], &order[i]))
			die(1, "samples %zu and %zu have the same stack and labels", order[i - 1], order[i]);
	free(order);
}

static int check(const profile_t *p)
{
	check_strings(p);
	check_types(p);
	check_functions(p);
	check_locations(p);
	check_samples(p);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		die(2, "usage: pprofq FILE types|total|leaf|has|frames|comments|stacks|mappings|check ...");
	size_t size;
	uint8_t *bytes = read_gzip(argv[1], &size);
	profile_t *p = perftools__profiles__profile__unpack(NULL, size, bytes);
	if (!p)
		die(1, "%s: not a profile", argv[1]);
	index_all(p);
	const char *question = argv[2];
	int status = 2;
	if (!strcmp(question, "types") && argc == 3)
		status = print_types(p);
	else if (!strcmp(question, "total") && argc == 4)
		status = print_sum(p, NULL, argv[3], false);
	else if (!strcmp(question, "leaf") && argc == 5)
		status = print_sum(p, argv[3], argv[4], true);
	else if (!strcmp(question, "has") && argc == 5)
		status = print_sum(p, argv[3], argv[4], false);
	else if (!strcmp(question, "frames") && argc == 3)
		status = print_frames(p);
	else if (!strcmp(question, "comments") && argc == 3)
		status = print_comments(p);
	else if (!strcmp(question, "stacks") && argc == 4)
		status = print_stacks(p, argv[3]);
	else if (!strcmp(question, "mappings") && argc == 3)
		status = print_mappings(p);
	else if (!strcmp(question, "check") && argc == 3)
		status = check(p);
	else
		die(2, "no such question: %s", question);
	free(functions);
	free(locations);
	free(mappings);
	perftools__profiles__profile__free_unpacked(p, NULL);
	free(bytes);
	if (fflush(stdout) || ferror(stdout))
		die(2, "standard output: %s", strerror(errno));
	return status;
}
