/* SPDX-License-Identifier: MIT */
/*
 * Samples with equal stacks are added up here: the aggregator's stacks may differ
 * only in what pprof does not show (cprof's own frames, whether the top address was
 * interrupted or returned to).
 *
 * Context: collector; see pprof.h.
 */
#include "pprof.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gzip.h"
#include "pprof_tables.h"
#include "profile_kind.h"

/* Work between two calls of tick(): new addresses take longest. */
#define SAMPLES_PER_TICK 256
#define LOCATIONS_PER_TICK 16

enum { ALLOC_OBJECTS, ALLOC_SPACE };

/* As in the file: strings are indices.  No padding: labels are compared as bytes. */
struct label {
	int64_t key, text, number, unit;
};

/* A merged sample, until it becomes a message. */
struct stack {
	const uint64_t *locations;
	size_t location_count;
	const struct label *labels;
	size_t label_count;
	int64_t values[PROFILE_VALUES_MAX];
};

struct encoder {
	const struct profile *profile;
	void (*tick)(void *);
	void *tick_arg;
	size_t locations_at_tick;
	const struct profile_kind_info *kind;
	struct pprof_tables tables;
	struct pointer_list stacks;
	struct u64_map stack_of; /* hash -> index into stacks */
	/* Of the current sample. */
	uint64_t *locations;
	size_t location_capacity;
	struct label labels[PROFILE_LABELS_MAX];
};

static bool is_stack(const void *context, uint32_t index, const void *key)
{
	const struct encoder *encoder = context;
	const struct stack *a = encoder->stacks.items[index], *b = key;
	return a->location_count == b->location_count && a->label_count == b->label_count &&
	       !memcmp(a->locations, b->locations, a->location_count * sizeof(*a->locations)) &&
	       (!a->label_count || !memcmp(a->labels, b->labels, a->label_count * sizeof(*a->labels)));
}

static int64_t add_saturating(int64_t a, int64_t b)
{
	int64_t sum;
	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

/* The stack with the current locations and labels, new if there is none. */
static struct stack *find_stack(struct encoder *encoder, size_t location_count, size_t label_count)
{
	struct stack key = {.locations = encoder->locations,
			    .location_count = location_count,
			    .labels = encoder->labels,
			    .label_count = label_count};
	uint64_t hash = location_count;
	uint32_t index;
	for (size_t i = 0; i < location_count; i++)
		hash = cprof_mix64(hash ^ key.locations[i]);
	for (size_t i = 0; i < label_count; i++) {
		const struct label *label = &key.labels[i];
		hash = cprof_mix64(hash ^ ((uint64_t)label->key << 32 | (uint64_t)label->text));
		hash = cprof_mix64(hash ^ (uint64_t)label->number);
	}
	if (pprof_tables_probe(&encoder->stack_of, &hash, is_stack, encoder, &key, &index))
		return encoder->stacks.items[index];
	struct arena *arena = &encoder->tables.arena;
	bool *is_failed = &encoder->tables.is_failed;
	struct stack *stack = arena_alloc(arena, sizeof(*stack));
	uint64_t *locations = arena_array(arena, location_count, sizeof(*locations));
	struct label *labels = arena_array(arena, label_count, sizeof(*labels));
	if (!stack || !locations || !labels ||
	    u64_map_put(&encoder->stack_of, hash, (uint32_t)encoder->stacks.count) < 0) {
		*is_failed = true;
		return NULL;
	}
	memcpy(locations, key.locations, location_count * sizeof(*locations));
	memcpy(labels, key.labels, label_count * sizeof(*labels));
	key.locations = locations;
	key.labels = labels;
	*stack = key;
	pointer_list_add(&encoder->stacks, stack, is_failed);
	return *is_failed ? NULL : stack;
}

static void tick(struct encoder *encoder)
{
	encoder->locations_at_tick = encoder->tables.locations.count;
	if (encoder->tick)
		encoder->tick(encoder->tick_arg);
}

/* Locations of a sample's frames, with what has to be said about the stack's end. */
static size_t locate(struct encoder *encoder, const struct profile_sample *sample)
{
	size_t wanted = (size_t)sample->frame_count + 1, count = 0;
	if (wanted > encoder->location_capacity) {
		uint64_t *grown = reallocarray(encoder->locations, wanted, sizeof(*grown));
		if (!grown) {
			encoder->tables.is_failed = true;
			return 0;
		}
		encoder->locations = grown;
		encoder->location_capacity = wanted;
	}
	for (uint32_t i = 0; i < sample->frame_count; i++) {
		uint64_t id = pprof_tables_frame(&encoder->tables, sample->frames[i]);
		if (id)
			encoder->locations[count++] = id;
		if (encoder->tables.locations.count - encoder->locations_at_tick >= LOCATIONS_PER_TICK)
			tick(encoder);
	}
	const char *end = count == 0                                    ? PPROF_NO_STACK
			  : sample->stack_flags & CPROF_STACK_TRUNCATED ? PPROF_TRUNCATED
			  : sample->stack_flags & CPROF_STACK_BROKEN    ? PPROF_UNWIND_STOPPED
									: NULL;
	if (end)
		encoder->locations[count++] = pprof_tables_synthetic(&encoder->tables, end);
	return count;
}

static size_t take_labels(struct encoder *encoder, const struct profile_sample *sample)
{
	struct pprof_tables *tables = &encoder->tables;
	size_t count = sample->label_count < PROFILE_LABELS_MAX ? sample->label_count : PROFILE_LABELS_MAX;
	for (size_t i = 0; i < count; i++) {
		const struct profile_label *from = &sample->labels[i];
		encoder->labels[i] = (struct label){.key = pprof_tables_string(tables, from->key)};
		if (from->text) {
			encoder->labels[i].text = pprof_tables_string(tables, from->text);
		} else {
			encoder->labels[i].number = from->number;
			encoder->labels[i].unit = pprof_tables_string(tables, from->unit);
		}
	}
	return count;
}

static bool is_zero(const struct profile_kind_info *kind, const int64_t *values)
{
	for (size_t i = 0; i < kind->value_count; i++)
		if (values[i])
			return false;
	return true;
}

static void add_sample(struct encoder *encoder, const struct profile_sample *sample)
{
	if (is_zero(encoder->kind, sample->values))
		return;
	size_t location_count = locate(encoder, sample);
	size_t label_count = take_labels(encoder, sample);
	if (encoder->tables.is_failed)
		return;
	struct stack *stack = find_stack(encoder, location_count, label_count);
	for (size_t i = 0; stack && i < encoder->kind->value_count; i++)
		stack->values[i] = add_saturating(stack->values[i], sample->values[i]);
}

/* The sample's own labels; for a heap Go's numeric one too: the average size of the blocks. */
static void finish_labels(struct encoder *encoder, const struct stack *stack,
			  Perftools__Profiles__Sample *sample)
{
	struct pprof_tables *tables = &encoder->tables;
	bool has_bytes = encoder->profile->kind == PROFILE_HEAP && stack->values[ALLOC_OBJECTS] > 0;
	size_t count = stack->label_count + has_bytes;
	if (count == 0)
		return;
	Perftools__Profiles__Label *labels = arena_array(&tables->arena, count, sizeof(*labels));
	sample->label = arena_pointers(&tables->arena, count);
	if (!labels || !sample->label) {
		tables->is_failed = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		perftools__profiles__label__init(&labels[i]);
		sample->label[i] = &labels[i];
	}
	for (size_t i = 0; i < stack->label_count; i++) {
		labels[i].key = stack->labels[i].key;
		labels[i].str = stack->labels[i].text;
		labels[i].num = stack->labels[i].number;
		labels[i].num_unit = stack->labels[i].unit;
	}
	if (has_bytes) {
		Perftools__Profiles__Label *bytes = &labels[stack->label_count];
		bytes->key = pprof_tables_string(tables, "bytes");
		bytes->num_unit = bytes->key;
		bytes->num = stack->values[ALLOC_SPACE] / stack->values[ALLOC_OBJECTS];
	}
	sample->n_label = count;
}

static void finish_samples(struct encoder *encoder, Perftools__Profiles__Profile *message)
{
	struct pprof_tables *tables = &encoder->tables;
	size_t count = encoder->stacks.count;
	Perftools__Profiles__Sample *samples = arena_array(&tables->arena, count, sizeof(*samples));
	message->sample = arena_pointers(&tables->arena, count);
	if (!samples || !message->sample) {
		tables->is_failed = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct stack *stack = encoder->stacks.items[i];
		/* Positive and negative ones may have come to nothing. */
		if (is_zero(encoder->kind, stack->values))
			continue;
		perftools__profiles__sample__init(&samples[i]);
		samples[i].n_location_id = stack->location_count;
		samples[i].location_id = (uint64_t *)(uintptr_t)stack->locations;
		samples[i].n_value = encoder->kind->value_count;
		samples[i].value = stack->values;
		finish_labels(encoder, stack, &samples[i]);
		message->sample[message->n_sample++] = &samples[i];
	}
}

static Perftools__Profiles__ValueType *new_type(struct pprof_tables *tables,
						const struct profile_value_type *type)
{
	Perftools__Profiles__ValueType *message = arena_alloc(&tables->arena, sizeof(*message));
	if (!message) {
		tables->is_failed = true;
		return NULL;
	}
	perftools__profiles__value_type__init(message);
	message->type = pprof_tables_string(tables, type->type);
	message->unit = pprof_tables_string(tables, type->unit);
	return message;
}

static void finish_header(struct encoder *encoder, Perftools__Profiles__Profile *message)
{
	const struct profile *profile = encoder->profile;
	const struct profile_kind_info *kind = encoder->kind;
	struct pprof_tables *tables = &encoder->tables;
	message->sample_type = arena_pointers(&tables->arena, kind->value_count);
	message->comment = arena_array(&tables->arena, profile->comment_count, sizeof(*message->comment));
	if (!message->sample_type || !message->comment) {
		tables->is_failed = true;
		return;
	}
	for (size_t i = 0; i < kind->value_count; i++)
		message->sample_type[message->n_sample_type++] = new_type(tables, &kind->values[i]);
	message->period_type = new_type(tables, &kind->period);
	message->period = profile->period;
	message->time_nanos = profile->time_ns;
	message->duration_nanos = profile->duration_ns;
	for (size_t i = 0; i < profile->comment_count; i++)
		message->comment[message->n_comment++] = pprof_tables_string(tables, profile->comments[i]);
	const char *default_type = profile->default_type ? profile->default_type : kind->default_type;
	if (default_type)
		message->default_sample_type = pprof_tables_string(tables, default_type);
	if (kind->drop_frames)
		message->drop_frames = pprof_tables_string(tables, kind->drop_frames);
}

static int compress(Perftools__Profiles__Profile *message, unsigned char **out_bytes, size_t *out_size)
{
	size_t size = perftools__profiles__profile__get_packed_size(message);
	unsigned char *packed = malloc(size ? size : 1);
	if (!packed)
		return -ENOMEM;
	perftools__profiles__profile__pack(message, packed);
	int error = gzip_compress(packed, size, out_bytes, out_size);
	free(packed);
	return error;
}

int pprof_encode(const struct profile *profile, void (*on_tick)(void *), void *tick_arg,
		 unsigned char **out_bytes, size_t *out_size)
{
	Perftools__Profiles__Profile message = PERFTOOLS__PROFILES__PROFILE__INIT;
	struct encoder encoder = {.profile = profile,
				  .tick = on_tick,
				  .tick_arg = tick_arg,
				  .kind = &profile_kinds[profile->kind]};
	pprof_tables_init(&encoder.tables, profile);
	for (size_t i = 0; i < profile->sample_count && !encoder.tables.is_failed; i++) {
		add_sample(&encoder, &profile->samples[i]);
		if (i % SAMPLES_PER_TICK == 0)
			tick(&encoder);
	}
	finish_samples(&encoder, &message);
	finish_header(&encoder, &message);
	pprof_tables_finish(&encoder.tables, &message);
	int error = encoder.tables.is_failed ? -ENOMEM : compress(&message, out_bytes, out_size);
	pprof_tables_fini(&encoder.tables);
	u64_map_fini(&encoder.stack_of);
	free(encoder.stacks.items);
	free(encoder.locations);
	return error;
}
