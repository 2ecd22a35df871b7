/* SPDX-License-Identifier: MIT */
/*
 * Context: command line; see pgo_output.h.
 */
#include "pgo_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pgo_spawn.h"

static int complain(const char *path, int error)
{
	fprintf(stderr, "cprof pgo: %s: %s\n", path, strerror(error));
	return -error;
}

int pgo_output_open(struct pgo_output *output, const char *path)
{
	*output = (struct pgo_output){.path = path};
	if ((size_t)snprintf(output->temporary, sizeof output->temporary, "%s.XXXXXX", path) >=
	    sizeof output->temporary)
		return complain(path, ENAMETOOLONG);
	int fd = mkostemp(output->temporary, O_CLOEXEC);
	if (fd < 0)
		return complain(path, errno);
	/* mkstemp's mode is for secrets; this is what any other file would get. */
	mode_t mask = umask(0);
	umask(mask);
	fchmod(fd, 0666 & ~mask);
	output->stream = fdopen(fd, "w");
	if (!output->stream) {
		int error = errno;
		close(fd);
		unlink(output->temporary);
		return complain(path, error);
	}
	return 0;
}

/* Closes what was written.  0, or -errno and said why. */
static int finish(struct pgo_output *output)
{
	int error = ferror(output->stream) ? EIO : 0;
	if (fclose(output->stream) != 0 && !error)
		error = errno;
	output->stream = NULL;
	return error ? complain(output->path, error) : 0;
}

static int install(struct pgo_output *output, const char *made)
{
	return rename(made, output->path) == 0 ? 0 : complain(output->path, errno);
}

int pgo_output_commit(struct pgo_output *output)
{
	int error = finish(output);
	if (!error)
		error = install(output, output->temporary);
	if (error)
		unlink(output->temporary);
	return error;
}

int pgo_output_commit_extbinary(struct pgo_output *output)
{
	char made[PATH_MAX + 8];
	snprintf(made, sizeof made, "%s.ext", output->temporary);
	char *const command[] = {"llvm-profdata",   "merge", "--sample", "--extbinary", "-o", made,
				 output->temporary, NULL};
	int error = finish(output);
	if (!error)
		error = pgo_spawn(command, NULL);
	if (error == -ENOENT)
		fputs("cprof pgo: --format llvm-ext needs llvm-profdata (Debian's package llvm); llvm-text "
		      "does not, and"
		      " clang reads it as well\n",
		      stderr);
	else if (error == -ECHILD)
		fputs("cprof pgo: llvm-profdata failed\n", stderr);
	if (!error)
		error = install(output, made);
	if (error)
		unlink(made);
	unlink(output->temporary);
	return error;
}

void pgo_output_abandon(struct pgo_output *output)
{
	if (!output->stream)
		return;
	fclose(output->stream);
	output->stream = NULL;
	unlink(output->temporary);
}
