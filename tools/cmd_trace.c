/* SPDX-License-Identifier: MIT */
/*
 * `cprof trace FILE`: a trace as text.
 *
 * Context: command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "trace_summary.h"

#define USAGE "cprof trace FILE"

static int reject(const char *what, const char *argument)
{
	fprintf(stderr, "cprof trace: %s%s%s; accepted: " USAGE "\n", what, argument ? " " : "",
		argument ? argument : "");
	return CMD_STATUS_USAGE;
}

static void print_help(void)
{
	puts("usage: " USAGE "\n\n"
	     "Shows what a trace, NAME.PID.perfetto-trace, says: how long each thread waited and for\n"
	     "what, the longest waits with their stacks and who ended them, who let whom wait, and how\n"
	     "long tasks and regions took.  All of it, moment by moment, is what https://ui.perfetto.dev\n"
	     "shows; for NAME.PID.trace there is `go tool trace`.");
}

/* What else a file may be that somebody takes for a trace; NULL: nothing that is known. */
static const char *other_kind(const unsigned char *bytes, size_t size)
{
	static const struct {
		const char *begin;
		size_t size;
		const char *what;
	} kinds[] = {
		{"go 1.", 5,
		 "is a trace in Go's form: `go tool trace` reads it; accepted: NAME.PID.perfetto-trace"},
		{"\x1f\x8b", 2, "is compressed, as profiles are: `go tool pprof` reads those"},
		{"PROFSHM1", 8, "is a kept segment: `cprof recover` reads it"},
	};
	if (!bytes || size == 0)
		return "is empty";
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (size >= kinds[i].size && memcmp(bytes, kinds[i].begin, kinds[i].size) == 0)
			return kinds[i].what;
	return NULL;
}

/* Maps a file.  An empty one has no bytes.  0 or -errno. */
static int map_file(const char *path, unsigned char **out_bytes, size_t *out_size)
{
	struct stat st;
	void *bytes = NULL;
	int error = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		error = -errno;
	else if (S_ISDIR(st.st_mode))
		error = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		error = -EINVAL;
	else if (st.st_size > 0) {
		bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED)
			error = -errno;
	}
	if (fd >= 0)
		close(fd);
	if (error)
		return error;
	*out_bytes = bytes;
	*out_size = bytes ? (size_t)st.st_size : 0;
	return 0;
}

static int show(const char *path, const unsigned char *bytes, size_t size)
{
	struct perfetto_file file;
	const char *wrong = other_kind(bytes, size);
	if (wrong) {
		fprintf(stderr, "cprof trace: %s: %s\n", path, wrong);
		return EXIT_FAILURE;
	}
	wrong = perfetto_file_read(bytes, size, &file);
	if (wrong)
		fprintf(stderr, "cprof trace: %s: %s\n", path, wrong);
	else if (trace_summary_print(&file, stdout) < 0)
		fprintf(stderr, "cprof trace: %s: %s\n", path, wrong = "does not fit into memory");
	perfetto_file_free(&file);
	return wrong || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int cmd_trace(int argc, char **argv)
{
	unsigned char *bytes = NULL;
	size_t size = 0;
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return EXIT_SUCCESS;
	}
	if (argc < 2)
		return reject("a file is missing", NULL);
	if (argv[1][0] == '-' && argv[1][1] != '\0')
		return reject("unknown option", argv[1]);
	if (argc > 2)
		return reject("more than one file:", argv[2]);
	int error = map_file(argv[1], &bytes, &size);
	if (error) {
		fprintf(stderr, "cprof trace: %s: %s\n", argv[1],
			error == -EINVAL ? "is not a regular file; accepted: NAME.PID.perfetto-trace"
					 : strerror(-error));
		return EXIT_FAILURE;
	}
	int status = show(argv[1], bytes, size);
	if (size)
		munmap(bytes, size);
	return status;
}
