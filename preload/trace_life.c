/* SPDX-License-Identifier: MIT */
/*
 * A thread that others gave its name is asked for it at its end: until then the collector
 * can ask the kernel.
 *
 * Context: any (async-signal-safe), on the thread concerned.
 */
#include "trace_life.h"

#include <linux/prctl.h>
#include <string.h>

#include "process.h"
#include "sys.h"
#include "thread.h"
#include "trace.h"

#define THREAD_NAME_BYTES 16

/* A forked child that has not registered is not traced, and is not registered for an event of these. */
static bool begin(struct guard *out_guard)
{
	return trace_is_on() && process_is_recording() && process_may_call() && guard_enter(out_guard);
}

static void add_name(const struct guard *guard)
{
	char name[THREAD_NAME_BYTES] = "";
	(void)sys_call2(SYS_prctl, PR_GET_NAME, (long)name);
	name[sizeof name - 1] = '\0';
	const struct trace_text text = {name, strlen(name)};
	trace_event_text(guard, &(struct trace_event){.kind = CPROF_EVENT_THREAD_NAME}, &text, 1);
}

void trace_life_thread_starts(uint32_t creator, uint32_t created_by)
{
	struct guard guard;
	if (!begin(&guard))
		return;
	trace_event(&guard, &(struct trace_event){
				    .kind = CPROF_EVENT_THREAD_START, .stack = created_by, .a = creator});
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

void trace_life_forked(uint32_t child)
{
	struct guard guard;
	if (!begin(&guard))
		return;
	trace_event(&guard, &(struct trace_event){.kind = CPROF_EVENT_FORK, .a = child});
	guard_leave(&guard);
}

void trace_life_execs(const char *path)
{
	struct guard guard;
	/* A vfork child runs on its parent's memory: it is not the parent that execs. */
	if (!path || process_is_vfork_child() || !begin(&guard))
		return;
	const struct trace_text text = {path, strnlen(path, CPROF_TRACE_TEXT_MAX)};
	trace_event_text(&guard, &(struct trace_event){.kind = CPROF_EVENT_EXEC}, &text, 1);
	guard_leave(&guard);
}
