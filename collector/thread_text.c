/* SPDX-License-Identifier: MIT */
/*
 * Names of threads and functions are the program's: what could move a terminal's
 * cursor is shown as '?'.
 *
 * Context: collector, main thread.
 */
#include "thread_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blocking_calls.h"
#include "log.h"

/* ---- words --------------------------------------------------------------------------------- */

const char *thread_text_state(const struct thread_reading *reading)
{
	if (!reading->has_state)
		return "unknown";
	switch (reading->state.state) {
	case 'R':
		return "running";
	case 'S':
	case 'I':
		return "sleeping";
	case 'D':
		return "uninterruptible";
	case 'T':
		return "stopped";
	case 't':
		return "traced";
	case 'Z':
	case 'X':
	case 'x':
		return "ended";
	default:
		return "unknown";
	}
}

const char *thread_text_how(enum thread_how how)
{
	switch (how) {
	case THREAD_HOW_PUBLISHED:
		return "published";
	case THREAD_HOW_READ:
		return "read without stopping";
	case THREAD_HOW_STOPPED:
		return "stopped for a moment";
	default:
		return "no stack";
	}
}

/* A call that blocks: its object is a number, see enum cprof_wait. */
static void describe_call(const struct thread_wait *wait, char out_text[THREAD_TEXT_WAIT_BYTES])
{
	const char *name = thread_waits_name(wait->what);
	int32_t number = (int32_t)wait->object;
	bool has_number = wait->what != CPROF_WAIT_POLL && wait->what != CPROF_WAIT_SLEEP &&
			  wait->what != CPROF_WAIT_SIGNAL && number >= 0;
	if (!has_number)
		snprintf(out_text, THREAD_TEXT_WAIT_BYTES, "%s", name);
	else if (wait->what == CPROF_WAIT_CHILD)
		snprintf(out_text, THREAD_TEXT_WAIT_BYTES, "%s %d", name, number);
	else
		snprintf(out_text, THREAD_TEXT_WAIT_BYTES, "%s (descriptor %d)", name, number);
}

void thread_text_wait(const struct thread_reading *reading, const struct thread_wait *wait,
		      char out_text[THREAD_TEXT_WAIT_BYTES])
{
	const struct thread_call *call = &reading->call;
	out_text[0] = '\0';
	if (wait->what >= CPROF_WAIT_READ) {
		describe_call(wait, out_text);
	} else if (wait->what != CPROF_WAIT_NONE) {
		if (wait->what == CPROF_WAIT_JOIN && wait->holder_tid)
			snprintf(out_text, THREAD_TEXT_WAIT_BYTES, "end of thread %u", wait->holder_tid);
		else if (wait->object)
			snprintf(out_text, THREAD_TEXT_WAIT_BYTES, "%s 0x%" PRIx64,
				 thread_waits_name(wait->what), wait->object);
		else
			snprintf(out_text, THREAD_TEXT_WAIT_BYTES, "%s", thread_waits_name(wait->what));
	} else if (reading->has_call && call->kind == THREAD_CALL_INSIDE) {
		const char *name = blocking_calls_name(call->number);
		if (name)
			snprintf(out_text, THREAD_TEXT_WAIT_BYTES, "%s", name);
		else
			snprintf(out_text, THREAD_TEXT_WAIT_BYTES, "system call %" PRId64, call->number);
	} else if (reading->wchan[0]) {
		snprintf(out_text, THREAD_TEXT_WAIT_BYTES, "%.*s in the kernel", THREAD_NAME_BYTES,
			 reading->wchan);
	}
}

const char *thread_text_error(int error)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		return "not permitted";
	case -ESRCH:
		return "the thread has ended";
	case -EAGAIN:
		return "it moved while it was read";
	case -EBUSY:
		return "it cannot be stopped: somebody else traces it, or other threads would notice";
	case -ETIMEDOUT:
		return "it did not come to a stop in time";
	case -ENOENT:
		return "the kernel does not tell where threads sleep";
	case -EFAULT:
		return "its stack cannot be read";
	case -EIO:
		return "its unwind information is damaged";
	case -ECANCELED:
		return "there was no time left";
	default:
		return log_error_text(-error);
	}
}

static const char *end_words(enum remote_end end)
{
	switch (end) {
	case REMOTE_END_FRAMES_MAX:
		return "[more frames above]";
	case REMOTE_END_UNKNOWN_REGISTER:
		return "[frames above need a register that is not known]";
	case REMOTE_END_NO_TABLE:
		return "[frames above cannot be found: code without unwind information]";
	case REMOTE_END_NOT_CODE:
		return "[frames above cannot be found: no return address]";
	case REMOTE_END_NO_UNWINDER:
		return "[frames above need libunwind, which is not installed]";
	case REMOTE_END_MEMORY:
		return "[frames above cannot be read]";
	case REMOTE_END_BUDGET:
		return "[frames above cannot be found: damaged unwind information]";
	default:
		return NULL;
	}
}

/* ---- rendering ----------------------------------------------------------------------------- */

static void print_clean(FILE *out, const char *text)
{
	for (; *text; text++)
		fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
}

static void print_thread(FILE *out, const struct thread_text_source *source, uint32_t index, uint32_t tid)
{
	fprintf(out, "thread %u", tid);
	if (index == THREAD_NOBODY)
		return;
	fputs(" \"", out);
	print_clean(out, source->readings->items[index].state.name);
	fputc('"', out);
}

static uint32_t tid_of(const struct thread_reading *reading)
{
	return reading->has_state && reading->state.tid ? reading->state.tid : (uint32_t)reading->tid;
}

static void print_duration(FILE *out, uint64_t ns)
{
	uint64_t seconds = ns / 1000000000;
	if (seconds >= 120)
		fprintf(out, ", %" PRIu64 " minutes", seconds / 60);
	else if (seconds >= 60)
		fputs(", 1 minute", out);
	else if (seconds >= 1)
		fprintf(out, ", %" PRIu64 " s", seconds);
	else
		fprintf(out, ", %" PRIu64 " ms", ns / 1000000);
}

static void print_head(FILE *out, const struct thread_text_source *source, uint32_t index)
{
	const struct thread_reading *reading = &source->readings->items[index];
	const struct thread_wait *wait = &source->waits[index];
	char waits_for[THREAD_TEXT_WAIT_BYTES];
	thread_text_wait(reading, wait, waits_for);
	print_thread(out, source, reading->has_state ? index : THREAD_NOBODY, tid_of(reading));
	fputs(" [", out);
	bool is_waiting = wait->what != CPROF_WAIT_NONE;
	if (!is_waiting || strcmp(thread_text_state(reading), "sleeping") != 0)
		fprintf(out, "%s%s", thread_text_state(reading), is_waiting ? ", " : "");
	if (is_waiting)
		fprintf(out, "waiting for %s", waits_for);
	if (!is_waiting && waits_for[0]) {
		fputs(" in ", out);
		print_clean(out, waits_for);
	}
	if (wait->holder_tid && wait->what != CPROF_WAIT_JOIN) {
		fputs(" (held by ", out);
		print_thread(out, source, wait->holder, wait->holder_tid);
		fputc(')', out);
	}
	if (reading->state.tracer_pid)
		fprintf(out, ", traced by process %u", reading->state.tracer_pid);
	if (reading->since_ns && reading->since_ns < source->monotonic_ns)
		print_duration(out, source->monotonic_ns - reading->since_ns);
	fprintf(out, ", %s]:\n", thread_text_how(reading->how));
}

/* The line below a function's name: file and line, or object, and the address in the object. */
static void print_place(FILE *out, const struct profile_module *module, const struct image_line *line,
			uint64_t offset)
{
	fputc('\t', out);
	if (line && line->file) {
		print_clean(out, line->file);
		fprintf(out, ":%u", line->line);
	} else if (module) {
		print_clean(out, module->path);
	} else {
		fputs("[code in no file]", out);
	}
	fprintf(out, " +0x%" PRIx64 "\n", offset);
}

static void print_frame(FILE *out, const struct profile_module *modules, size_t count,
			const struct perf_map *jit, uint64_t frame)
{
	struct image_line lines[IMAGE_LINES_MAX];
	const struct profile_module *module = dump_modules_of_frame(modules, count, frame);
	if (module && module->flags & CPROF_MODULE_IS_CPROF)
		return;
	uint64_t offset = cprof_frame_offset(frame);
	size_t line_count = dump_modules_lines(modules, count, frame, lines);
	if (line_count == 0) {
		const char *name = !module && jit ? perf_map_find(jit, offset) : NULL;
		print_clean(out, name ? name : "??");
		fputs("(...)\n", out);
		print_place(out, module, NULL, offset);
	}
	for (size_t i = 0; i < line_count; i++) {
		print_clean(out, lines[i].name);
		/* C++ names come with their parameters. */
		fputs(strchr(lines[i].name, '(') ? "\n" : "(...)\n", out);
		print_place(out, module, &lines[i], offset);
	}
}

/* The caller of pthread_create, from the stack that it left in the segment. */
static void print_creator(FILE *out, const struct thread_text_source *source, uint32_t stack_id)
{
	struct image_line lines[IMAGE_LINES_MAX];
	const struct segment_reader *reader = source->reader;
	uint64_t offset = (uint64_t)stack_id * 8;
	/* Relaxed: the thread that was created is proof that its creator's stack is there. */
	if (!stack_id || !reader || !source->rows ||
	    stack_id >= load_relaxed(&segment_reader_control(reader)->stacks_used) ||
	    offset + sizeof(struct cprof_stack) > reader->geometry.frames_bytes)
		return;
	const struct cprof_stack *stack =
		(const void *)(reader->base + reader->geometry.frames_offset + offset);
	uint64_t room = (reader->geometry.frames_bytes - offset - sizeof *stack) / sizeof(uint64_t);
	uint64_t count = *(const volatile uint16_t *)&stack->frame_count;
	if (count > room)
		count = room;
	for (uint32_t i = 0; i < count && i < 4; i++) {
		uint64_t frame = *(const volatile uint64_t *)&stack->frames[i];
		if (frame & CPROF_FRAME_EXACT)
			continue; /* pthread_create itself */
		size_t line_count = dump_modules_lines(source->rows->modules, source->rows->count, frame,
						       lines);
		const struct profile_module *module = dump_modules_of_frame(source->rows->modules,
									    source->rows->count, frame);
		if (!module || module->flags & CPROF_MODULE_IS_CPROF)
			continue;
		fputs("created by ", out);
		print_clean(out, line_count ? lines[0].name : "??");
		fputc('\n', out);
		print_place(out, module, line_count ? &lines[0] : NULL, cprof_frame_offset(frame));
		return;
	}
}

static void print_one(FILE *out, const struct thread_text_source *source, uint32_t index)
{
	const struct thread_reading *reading = &source->readings->items[index];
	print_head(out, source, index);
	for (uint32_t i = 0; i < reading->frame_count && i < THREAD_FRAMES_MAX; i++) {
		uint64_t frame = dump_modules_frame(source->modules, reading->frames[i],
						    reading->is_exact[i]);
		print_frame(out, source->modules->items, source->modules->count, source->jit, frame);
	}
	const char *end = reading->how == THREAD_HOW_NONE ? NULL : end_words(reading->end);
	if (end)
		fprintf(out, "%s\n", end);
	if (reading->how == THREAD_HOW_NONE && reading->error)
		fprintf(out, "[no stack: %s]\n", thread_text_error(reading->error));
	print_creator(out, source, reading->created_by);
	fputc('\n', out);
}

static void print_circle(FILE *out, const struct thread_text_source *source, uint32_t number)
{
	uint32_t start = 0;
	while (start < source->readings->count && source->waits[start].cycle != number)
		start++;
	uint32_t i = start;
	fputs("deadlock: ", out);
	do {
		const struct thread_wait *wait = &source->waits[i];
		char waits_for[THREAD_TEXT_WAIT_BYTES];
		thread_text_wait(&source->readings->items[i], wait, waits_for);
		if (i == start)
			print_thread(out, source, i, tid_of(&source->readings->items[i]));
		fprintf(out, "%s waits for %s", i == start ? "" : ", which", waits_for);
		if (wait->what != CPROF_WAIT_JOIN) {
			fputs(" held by ", out);
			print_thread(out, source, wait->holder, wait->holder_tid);
		}
		i = wait->holder;
	} while (i != start);
	fputs("\n", out);
}

static void print_summary(FILE *out, const struct thread_text_source *source)
{
	struct tm utc;
	time_t seconds = (time_t)(source->time_ns / 1000000000);
	char when[64] = "";
	if (gmtime_r(&seconds, &utc))
		strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &utc);
	print_clean(out, source->name);
	fprintf(out, " (process %u), %s: %zu thread%s\n", source->pid, when, source->readings->count,
		source->readings->count == 1 ? "" : "s");
	for (size_t i = 0; i < source->comment_count; i++)
		if (source->comments[i][0] != '#')
			fprintf(out, "%s\n", source->comments[i]);
	for (uint32_t number = 1; number <= source->circle_count; number++)
		print_circle(out, source, number);
	fputc('\n', out);
}

int thread_text_render(const struct thread_text_source *source, void (*tick)(void *), void *tick_arg,
		       char **out_text, size_t *out_bytes)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	if (!out)
		return -ENOMEM;
	print_summary(out, source);
	for (uint32_t i = 0; i < source->readings->count; i++) {
		print_one(out, source, i);
		if (tick)
			tick(tick_arg);
	}
	bool is_failed = ferror(out) != 0;
	if (fclose(out) || is_failed) {
		free(text);
		return -ENOMEM;
	}
	*out_text = text;
	*out_bytes = bytes;
	return 0;
}
