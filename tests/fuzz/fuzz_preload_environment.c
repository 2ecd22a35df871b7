/* SPDX-License-Identifier: MIT */
/*
 * The environment of a program, which may be anything: NUL-terminated entries of the
 * variables, and CPROF_SESSION as an inherited one would be.
 *
 * Context: test program.
 */
#include <fcntl.h>
#include <unistd.h>

#include "config.h"
#include "cprof_units.h"
#include "fuzz.h"
#include "session.h"

#define ENTRIES 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int has_no_stderr, has_begun;
	static struct config at_start;
	char *entries[ENTRIES + 1] = {NULL};
	size_t count = 0;
	if (!has_no_stderr && !getenv("FUZZ_STDERR")) {
		/* What is wrong is said in a line each; libFuzzer keeps a copy of its own. */
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, STDERR_FILENO);
		close(null);
		has_no_stderr = 1;
	}
	/* Read once in a process's life: nothing of the input before may be left. */
	if (!has_begun)
		at_start = config;
	has_begun = 1;
	config = at_start;
	char *text = fuzz_string(data, size);
	for (char *at = text; at < text + size && count < ENTRIES; at += strlen(at) + 1)
		entries[count++] = at;
	config_read(entries);
	fuzz_demand(config.out_dir[0] == '/' && memchr(config.out_dir, '\0', sizeof config.out_dir));
	(void)config_has_profiles();
	if (config.session && session_parse(config.session))
		fuzz_demand(strlen(session.name) == CPROF_SESSION_HEX);
	if (config.match)
		(void)config_glob_matches(config.match, "program");
	if (count > 1)
		(void)config_glob_matches(entries[0], entries[1]);
	free(text);
	return 0;
}
