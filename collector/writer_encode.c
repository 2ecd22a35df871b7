/* SPDX-License-Identifier: MIT */
/*
 * What goes into a profile besides its samples comes from the control block, whose
 * rates may be changed while the program runs: each use stands alone, so all loads of
 * them are relaxed.
 *
 * Context: collector, main thread; see writer.h.
 */
#include "writer.h"

#include <sys/stat.h>

#include "cprof_wire.h"
#include "perf_map.h"
#include "pprof.h"
#include "profile_kind.h"

/*
 * Kinds that are on or were: a rate that is 0 now and was changed was another one once.
 * Starts of threads are asked for along with contention.
 */
static unsigned kinds_seen(const struct cprof_control *control)
{
	uint32_t changed = load_relaxed(&control->rates_changed);
	unsigned seen = 0;
	if (load_relaxed(&control->cpu_hz) || changed & CPROF_RATE_CPU_HZ)
		seen |= 1u << PROFILE_CPU;
	if (control->heap_state == CPROF_HEAP_ON)
		seen |= 1u << PROFILE_HEAP;
	if (load_relaxed(&control->block_rate_ns) || changed & CPROF_RATE_BLOCK)
		seen |= 1u << PROFILE_BLOCK | 1u << PROFILE_THREADCREATE;
	if (load_relaxed(&control->mutex_fraction) || changed & CPROF_RATE_MUTEX)
		seen |= 1u << PROFILE_MUTEX | 1u << PROFILE_THREADCREATE;
	return seen;
}

bool writer_has_kind(const struct writer *writer, const struct aggregate *aggregate, enum profile_kind kind)
{
	const struct cprof_control *control = segment_reader_control(writer->reader);
	/* Of another's allocator samples may come by chance, but they are no profile. */
	if (kind == PROFILE_HEAP && control->heap_state != CPROF_HEAP_ON)
		return false;
	return aggregate->sample_count[kind] || kinds_seen(control) & 1u << kind;
}

static int64_t cpu_period(const struct cprof_control *control, const struct aggregate_sums *sums)
{
	uint32_t hz = load_relaxed(&control->cpu_hz);
	if (hz > 0 && !(load_relaxed(&control->rates_changed) & CPROF_RATE_CPU_HZ))
		return INT64_C(1000000000) / hz;
	/* Changed meanwhile: what one expiry stood for in the mean. */
	uint64_t expiries = sums->weight / CPROF_WEIGHT_ONE;
	uint64_t each_ns = expiries ? sums->value / expiries : 0;
	return each_ns > INT64_MAX ? INT64_MAX : (int64_t)each_ns;
}

static int64_t period_of(const struct cprof_control *control, enum profile_kind kind,
			 const struct aggregate_sums *sums)
{
	uint64_t heap_rate = load_relaxed(&control->heap_rate_bytes);
	if (heap_rate == 0) /* switched off by now */
		heap_rate = load_relaxed(&control->heap_rate_last_bytes);
	switch (kind) {
	case PROFILE_CPU:
		return cpu_period(control, sums);
	case PROFILE_HEAP:
		return heap_rate > INT64_MAX ? INT64_MAX : (int64_t)heap_rate;
	default:
		return 1; /* each is counted as one, whatever the chance to be seen was */
	}
}

/* Whether any stack leads through code that lies in no object. */
static bool has_jit_frames(const struct profile *profile)
{
	for (size_t i = 0; i < profile->sample_count; i++)
		for (uint32_t f = 0; f < profile->samples[i].frame_count; f++)
			if (cprof_frame_module(profile->samples[i].frames[f]) == CPROF_MODULE_NONE)
				return true;
	return false;
}

/* The names that a JIT compiler left in /tmp/perf-PID.map, if they are needed and there. */
static struct perf_map *load_jit_names(const struct writer *writer, const struct profile *profile,
				       int root_fd)
{
	struct stat st;
	if (!has_jit_frames(profile) || fstat(writer->reader->fd, &st) < 0)
		return NULL;
	return perf_map_load(root_fd, writer->pid, st.st_uid);
}

void writer_describe(const struct writer *writer, const struct aggregate *aggregate, enum profile_kind kind,
		     const struct writer_moment *moment, struct writer_profile *out_profile)
{
	const struct cprof_control *control = segment_reader_control(writer->reader);
	struct profile *profile = &out_profile->profile;
	comments_build(kind, control, &aggregate->sums[kind], &moment->cpu_clock, &out_profile->comments);
	*profile = (struct profile){
		.kind = kind,
		.modules = writer->rows->modules,
		.module_count = writer->rows->count,
		.samples = aggregate->samples[kind],
		.sample_count = aggregate->sample_count[kind],
		.time_ns = writer->start_realtime_ns,
		.period = period_of(control, kind, &aggregate->sums[kind]),
		.comments = out_profile->comments.lines,
		.comment_count = out_profile->comments.count,
	};
	if (kind == PROFILE_CPU && moment->end_monotonic_ns > writer->start_monotonic_ns)
		profile->duration_ns = (int64_t)(moment->end_monotonic_ns - writer->start_monotonic_ns);
	out_profile->jit = load_jit_names(writer, profile, moment->root_fd);
	profile->jit = out_profile->jit;
}

void writer_profile_fini(struct writer_profile *profile)
{
	perf_map_free(profile->jit);
}

int writer_encode(const struct writer *writer, const struct aggregate *aggregate, enum profile_kind kind,
		  const struct writer_moment *moment, unsigned char **out_bytes, size_t *out_size)
{
	struct writer_profile described;
	writer_describe(writer, aggregate, kind, moment, &described);
	int error = pprof_encode(&described.profile, moment->tick, moment->tick_arg, out_bytes, out_size);
	writer_profile_fini(&described);
	return error;
}

int writer_encode_threads(const struct profile *threads, const struct writer_moment *moment,
			  unsigned char **out_bytes, size_t *out_size)
{
	const char *comments[COMMENTS_MAX];
	size_t count = 0;
	struct comments own;
	comments_build_run(&own);
	for (size_t i = 0; i < threads->comment_count && count + own.count < COMMENTS_MAX; i++)
		comments[count++] = threads->comments[i];
	for (size_t i = 0; i < own.count; i++)
		comments[count++] = own.lines[i];
	struct profile profile = *threads;
	profile.kind = PROFILE_THREADS;
	profile.period = 1;
	profile.comments = comments;
	profile.comment_count = count;
	return pprof_encode(&profile, moment->tick, moment->tick_arg, out_bytes, out_size);
}
