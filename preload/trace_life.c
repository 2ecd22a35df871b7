/* SPDX-License-Identifier: MIT */
/*
 * A thread is asked for its name at its start, when it gives itself another one, and at its
 * end, as others may have given it one: until then the collector can ask the kernel.
 *
 * Context: any (async-signal-safe), on the thread concerned.
 */
#include "trace_life.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "process.h"
#include "record.h"
#include "safe_read.h"
#include "sys.h"
#include "text.h"
#include "thread.h"

#define THREAD_NAME_BYTES 16
#define PAGE_BYTES UINT64_C(4096)

/* A forked child that has not registered is not traced, and is not registered for an event of these. */
static bool begin(struct guard *out_guard)
{
	return trace_is_on() && process_is_recording() && process_may_call() && guard_enter(out_guard);
}

/* Asks for the thread's name, and leaves it in its slot. */
static void read_name(struct cprof_thread *slot, char out_name[THREAD_NAME_BYTES])
{
	uint64_t words[THREAD_NAME_BYTES / sizeof(uint64_t)];
	memset(out_name, 0, THREAD_NAME_BYTES);
	(void)sys_call2(SYS_prctl, PR_GET_NAME, (long)out_name);
	out_name[THREAD_NAME_BYTES - 1] = '\0';
	memcpy(words, out_name, sizeof words);
	for (size_t i = 0; slot && i < ARRAY_LENGTH(words); i++)
		store_relaxed(&slot->name[i], words[i]); /* a reader may see half of a new one */
}

static void add_name(const struct guard *guard)
{
	char name[THREAD_NAME_BYTES];
	read_name(guard->slot, name);
	const struct trace_text text = {name, strlen(name)};
	trace_event_text(guard, &(struct trace_event){.kind = CPROF_EVENT_THREAD_NAME}, &text, 1);
}

void trace_life_thread_starts(uint32_t creator, uint32_t created_by)
{
	char name[THREAD_NAME_BYTES];
	struct guard guard;
	if (!begin(&guard))
		return;
	trace_event(&guard, &(struct trace_event){
				    .kind = CPROF_EVENT_THREAD_START, .stack = created_by, .a = creator});
	read_name(guard.slot, name);
	guard_leave(&guard);
}

void trace_life_thread_ends(uint64_t joined_as)
{
	struct guard guard;
	if (!begin(&guard))
		return;
	add_name(&guard);
	trace_event(&guard, &(struct trace_event){.kind = CPROF_EVENT_THREAD_END, .b = joined_as});
	guard_leave(&guard);
}

void trace_life_thread_is_named(void)
{
	struct guard guard;
	if (!begin(&guard))
		return;
	add_name(&guard);
	guard_leave(&guard);
}

static uint32_t stack_of(const struct guard *guard, const struct trace_life_call *call)
{
	return record_stack_above(guard, call->function, &call->regs);
}

void trace_life_forked(const struct trace_life_call *call, uint32_t child)
{
	struct guard guard;
	if (!begin(&guard))
		return;
	trace_event(&guard, &(struct trace_event){
				    .kind = CPROF_EVENT_FORK, .stack = stack_of(&guard, call), .a = child});
	guard_leave(&guard);
}

/* As strnlen(); of an address that the call will refuse, which then has no path, 0. */
static size_t readable_length(const char *path, size_t bytes_max)
{
	size_t length = 0;
	while (length < bytes_max) {
		uint64_t at = (uint64_t)(uintptr_t)path + length;
		size_t in_page = PAGE_BYTES - at % PAGE_BYTES;
		char first;
		if (in_page > bytes_max - length)
			in_page = bytes_max - length;
		if (!safe_read_copy(at, &first, 1))
			return 0;
		size_t found = strnlen(path + length, in_page);
		length += found;
		if (found < in_page)
			break;
	}
	return length;
}

void trace_life_execs(const struct trace_life_call *call, const char *path)
{
	struct guard guard;
	bool is_child = process_is_vfork_child();
	if (!path || !begin(&guard))
		return;
	const struct trace_text text = {path, readable_length(path, CPROF_TRACE_TEXT_MAX)};
	const struct trace_event event = {.kind = is_child ? CPROF_EVENT_FORK : CPROF_EVENT_EXEC,
					  .stack = stack_of(&guard, call),
					  .a = is_child ? (uint64_t)sys_call0(SYS_getpid) : 0};
	trace_event_text(&guard, &event, &text, 1);
	guard_leave(&guard);
}

void trace_life_spawned(const struct trace_life_call *call, uint32_t child, const char *path)
{
	struct guard guard;
	if (!begin(&guard))
		return;
	const struct trace_text text = {path, strnlen(path, CPROF_TRACE_TEXT_MAX)};
	const struct trace_event event = {
		.kind = CPROF_EVENT_FORK, .stack = stack_of(&guard, call), .a = child};
	trace_event_text(&guard, &event, &text, 1);
	guard_leave(&guard);
}

void trace_life_execs_at(const struct trace_life_call *call, int fd, const char *name, int flags)
{
	char link[48];
	char path[CPROF_TRACE_TEXT_MAX];
	struct text text;
	if (!(flags & AT_EMPTY_PATH) || (name && name[0])) {
		trace_life_execs(call, name);
		return;
	}
	if (!process_may_call())
		return;
	text_init(&text, link, sizeof link);
	text_add(&text, "/proc/self/fd/");
	text_add_u64(&text, (uint32_t)fd);
	long size = sys_call4(SYS_readlinkat, AT_FDCWD, (long)link, (long)path, sizeof path - 1);
	path[sys_is_error(size) ? 0 : size] = '\0';
	trace_life_execs(call, path);
}

static void add_signal(const struct trace_life_call *call, int number, uint64_t target, uint64_t process,
		       uint32_t flags)
{
	struct guard guard;
	/* Number 0 only asks whether there is somebody. */
	if (number <= 0 || number > UINT8_MAX || !begin(&guard))
		return;
	trace_event(&guard, &(struct trace_event){.kind = CPROF_EVENT_SIGNAL,
						  .what = (uint32_t)number,
						  .flags = flags,
						  .stack = stack_of(&guard, call),
						  .a = target,
						  .b = process});
	guard_leave(&guard);
}

void trace_life_signals(const struct trace_life_call *call, int number, int64_t target)
{
	add_signal(call, number, (uint64_t)target, 0, 0);
}

void trace_life_signals_thread(const struct trace_life_call *call, int number, uint64_t thread)
{
	add_signal(call, number, thread, 0, CPROF_EVENT_TO_THREAD);
}

void trace_life_signals_tid(const struct trace_life_call *call, int number, uint32_t tid, uint32_t pid)
{
	add_signal(call, number, tid, pid, CPROF_EVENT_TO_TID);
}

/* Who sent it; 0: the kernel did, or it is not known. */
static uint32_t sender_of(const siginfo_t *info)
{
	bool is_sent = info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_code == SI_QUEUE;
	return is_sent && info->si_pid > 0 ? (uint32_t)info->si_pid : 0;
}

void trace_life_takes_signal(const struct trace_life_call *call, int number, const siginfo_t *info)
{
	struct guard guard;
	if (number <= 0 || number > UINT8_MAX || !begin(&guard))
		return;
	trace_event(&guard, &(struct trace_event){.kind = CPROF_EVENT_SIGNAL_TAKEN,
						  .what = (uint32_t)number,
						  .stack = stack_of(&guard, call),
						  .a = info ? sender_of(info) : 0,
						  .b = (uint64_t)pthread_self()});
	guard_leave(&guard);
}
