/* SPDX-License-Identifier: MIT */
/*
 * Files of /proc are read in one call, which the kernel makes one moment; numbers
 * that do not fit are errors, not other numbers.
 *
 * Context: see thread_state.h.
 */
#include "thread_state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* All of status; the lines that matter come in its first part but for the context switches. */
#define STATUS_BYTES 8192
#define CALL_BYTES 512

/* Bytes [at, end) that are still to be parsed. */
struct text {
	const char *at;
	const char *end;
};

static bool skip_prefix(struct text *text, const char *prefix)
{
	size_t length = strlen(prefix);
	if ((size_t)(text->end - text->at) < length || memcmp(text->at, prefix, length) != 0)
		return false;
	text->at += length;
	return true;
}

static void skip_blanks(struct text *text)
{
	while (text->at < text->end && (*text->at == ' ' || *text->at == '\t'))
		text->at++;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 16;
}

/* A number without sign; false if there is none or it needs more than 64 bits. */
static bool take_number(struct text *text, int base, uint64_t *out_number)
{
	uint64_t number = 0;
	const char *start = text->at;
	for (; text->at < text->end && digit_of(*text->at) < base; text->at++)
		if (__builtin_mul_overflow(number, (uint64_t)base, &number) ||
		    __builtin_add_overflow(number, (uint64_t)digit_of(*text->at), &number))
			return false;
	*out_number = number;
	return text->at > start;
}

/* ---- status -------------------------------------------------------------------------------- */

/* The line's number, 0 if there is none. */
static uint64_t number_of(struct text line, int base)
{
	uint64_t number = 0;
	skip_blanks(&line);
	return take_number(&line, base, &number) ? number : 0;
}

/* The last of several numbers: the innermost namespace's. */
static uint32_t last_number_of(struct text line)
{
	uint64_t number = 0;
	uint64_t last = 0;
	for (;;) {
		skip_blanks(&line);
		if (!take_number(&line, 10, &number))
			return last > UINT32_MAX ? 0 : (uint32_t)last;
		last = number;
	}
}

/* Sets of signals. */
struct signal_sets {
	uint64_t pending, shared_pending, blocked, caught, ignored;
};

static void take_signals(struct text line, struct signal_sets *sets)
{
	if (skip_prefix(&line, "SigPnd:"))
		sets->pending = number_of(line, 16);
	else if (skip_prefix(&line, "ShdPnd:"))
		sets->shared_pending = number_of(line, 16);
	else if (skip_prefix(&line, "SigBlk:"))
		sets->blocked = number_of(line, 16);
	else if (skip_prefix(&line, "SigIgn:"))
		sets->ignored = number_of(line, 16);
	else if (skip_prefix(&line, "SigCgt:"))
		sets->caught = number_of(line, 16);
}

static void take_status_line(struct text line, struct thread_state *state)
{
	if (skip_prefix(&line, "Name:")) {
		skip_blanks(&line);
		size_t length = (size_t)(line.end - line.at);
		if (length >= sizeof state->name)
			length = sizeof state->name - 1;
		memcpy(state->name, line.at, length);
		state->name[length] = '\0';
	} else if (skip_prefix(&line, "State:")) {
		skip_blanks(&line);
		if (line.at < line.end)
			state->state = *line.at;
	} else if (skip_prefix(&line, "NSpid:")) {
		state->tid = last_number_of(line);
	} else if (skip_prefix(&line, "TracerPid:")) {
		uint64_t pid = number_of(line, 10);
		state->tracer_pid = pid > UINT32_MAX ? UINT32_MAX : (uint32_t)pid;
	} else if (skip_prefix(&line, "Threads:")) {
		uint64_t count = number_of(line, 10);
		state->thread_count = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
	} else if (skip_prefix(&line, "voluntary_ctxt_switches:") ||
		   skip_prefix(&line, "nonvoluntary_ctxt_switches:")) {
		state->switches += number_of(line, 10);
	}
}

int thread_state_parse_status(const char *text, size_t size, struct thread_state *out_state)
{
	struct thread_state state = {.state = '?'};
	struct signal_sets sets = {0};
	const char *end = text + size;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline ? newline : end;
		take_status_line((struct text){text, line_end}, &state);
		take_signals((struct text){text, line_end}, &sets);
		text = newline ? newline + 1 : end;
	}
	if (state.state == '?')
		return -EINVAL;
	state.process_signals = sets.shared_pending & ~sets.blocked & sets.caught;
	/* Explicitly ignored it is not even sent. */
	state.drops_sigchld = !((sets.blocked | sets.caught | sets.ignored) & UINT64_C(1) << (SIGCHLD - 1));
	state.signals = state.process_signals | (sets.pending & ~sets.blocked & sets.caught);
	*out_state = state;
	return 0;
}

/* ---- syscall ------------------------------------------------------------------------------- */

static bool take_address(struct text *text, uint64_t *out_address)
{
	skip_blanks(text);
	return skip_prefix(text, "0x") && take_number(text, 16, out_address);
}

static bool is_at_end(struct text text)
{
	return text.at == text.end || *text.at == '\n';
}

int thread_state_parse_call(const char *text, size_t size, struct thread_call *out_call)
{
	struct text at = {text, text + size};
	struct thread_call call = {.kind = THREAD_CALL_INSIDE};
	uint64_t number;
	if (skip_prefix(&at, "running")) {
		call.kind = THREAD_CALL_RUNNING;
	} else if (skip_prefix(&at, "-1")) {
		call.kind = THREAD_CALL_NONE;
		if (!take_address(&at, &call.sp) || !take_address(&at, &call.pc))
			return -EINVAL;
	} else {
		if (!take_number(&at, 10, &number) || number > INT32_MAX)
			return -EINVAL;
		call.number = (int64_t)number;
		for (size_t i = 0; i < THREAD_CALL_ARGUMENTS; i++)
			if (!take_address(&at, &call.arguments[i]))
				return -EINVAL;
		if (!take_address(&at, &call.sp) || !take_address(&at, &call.pc))
			return -EINVAL;
	}
	if (!is_at_end(at))
		return -EINVAL;
	*out_call = call;
	return 0;
}

bool thread_state_is_same_call(const struct thread_call *a, const struct thread_call *b)
{
	return a->kind == b->kind && a->number == b->number && a->sp == b->sp && a->pc == b->pc &&
	       memcmp(a->arguments, b->arguments, sizeof a->arguments) == 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* The number of bytes, or -errno. */
static ssize_t read_file(pid_t pid, pid_t tid, const char *name, char *text, size_t capacity)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%d/%s", pid, tid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t size;
	do
		size = read(fd, text, capacity);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		size = -errno;
	close(fd);
	return size;
}

int thread_state_read_status(pid_t pid, pid_t tid, struct thread_state *out_state)
{
	char text[STATUS_BYTES];
	ssize_t size = read_file(pid, tid, "status", text, sizeof text);
	if (size == -ENOENT)
		return -ESRCH;
	return size < 0 ? (int)size : thread_state_parse_status(text, (size_t)size, out_state);
}

int thread_state_read_call(pid_t pid, pid_t tid, struct thread_call *out_call)
{
	char text[CALL_BYTES];
	ssize_t size = read_file(pid, tid, "syscall", text, sizeof text);
	return size < 0 ? (int)size : thread_state_parse_call(text, (size_t)size, out_call);
}

bool thread_state_has_children(pid_t pid, pid_t tid)
{
	char first;
	return read_file(pid, tid, "children", &first, 1) > 0;
}

void thread_state_read_wchan(pid_t pid, pid_t tid, char out_name[THREAD_NAME_BYTES])
{
	ssize_t size = read_file(pid, tid, "wchan", out_name, THREAD_NAME_BYTES - 1);
	out_name[size > 0 ? size : 0] = '\0';
	/* "0": it does not sleep, or it is not for us to know. */
	if (strcmp(out_name, "0") == 0)
		out_name[0] = '\0';
}
