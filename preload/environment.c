/* SPDX-License-Identifier: MIT */
/*
 * setenv() is not used: it allocates from the program's heap, and some programs define
 * their own.  libc copies an environ that is not its own at the program's first
 * setenv, so ours is never freed or grown by it.
 *
 * Context: init.
 */
#include "environment.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cprof_wire.h"
#include "sys.h"
#include "text.h"

/* Appends LD_PRELOAD's value with the current directory in front of relative paths. */
static void add_absolute_preload(struct text *text, const char *value)
{
	char cwd[CPROF_PATH_BYTES];
	if (sys_is_error(sys_call2(SYS_getcwd, (long)cwd, sizeof cwd)) || cwd[0] != '/')
		cwd[0] = '\0';
	while (*value) {
		size_t length = 0;
		bool has_slash = false;
		for (; value[length] && value[length] != ' ' && value[length] != ':'; length++)
			has_slash = has_slash || value[length] == '/';
		if (has_slash && value[0] != '/' && cwd[0]) {
			text_add(text, cwd);
			text_add(text, "/");
		}
		text_add_bytes(text, value, length);
		value += length;
		if (*value)
			text_add_bytes(text, value++, 1);
	}
}

/* Whether an entry of the list has a slash but does not begin with one. */
static bool is_relative_preload(const char *value)
{
	bool at_start = true;
	bool is_absolute = false;
	for (; *value; value++) {
		if (at_start)
			is_absolute = *value == '/';
		else if (*value == '/' && !is_absolute)
			return true;
		at_start = *value == ' ' || *value == ':';
	}
	return false;
}

void environment_publish(const char *session_entry)
{
	size_t count = 0;
	const char *preload = NULL;
	for (char *const *entry = environ; *entry; entry++, count++)
		if (text_after(*entry, "LD_PRELOAD="))
			preload = text_after(*entry, "LD_PRELOAD=");
	size_t session_bytes = 1;
	while (session_entry[session_bytes - 1])
		session_bytes++;
	size_t preload_bytes = 0;
	if (preload && is_relative_preload(preload))
		preload_bytes = 64 * CPROF_PATH_BYTES;
	size_t bytes = (count + 2) * sizeof(char *) + session_bytes + preload_bytes;
	long memory = sys_call6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_is_error(memory))
		return;
	char **copy = (char **)memory;
	char *strings = (char *)(copy + count + 2);
	struct text session_text;
	text_init(&session_text, strings, session_bytes);
	text_add(&session_text, session_entry);
	/*
	 * Ours come first, and the last entry stays the last: programs that write over their
	 * arguments' memory take the end of the last entry for the end of that memory.
	 */
	size_t used = 0;
	copy[used++] = strings;
	if (preload_bytes) {
		struct text text;
		text_init(&text, strings + session_bytes, preload_bytes);
		text_add(&text, "LD_PRELOAD=");
		add_absolute_preload(&text, preload);
		if (text.is_cut)
			preload_bytes = 0; /* it stays as it is */
		else
			copy[used++] = text.bytes;
	}
	for (char *const *entry = environ; *entry; entry++)
		if (!text_after(*entry, CPROF_SESSION_ENV "=") &&
		    !(preload_bytes && text_after(*entry, "LD_PRELOAD=")))
			copy[used++] = *entry;
	copy[used] = NULL;
	environ = copy;
}
