/* SPDX-License-Identifier: MIT */
/*
 * A file-backed segment outlives everything; it is chosen when the collector dies with
 * the program (PID 1 of its namespace) or cannot run at all.
 *
 * Context: any (async-signal-safe).
 */
#include "segment_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "config.h"
#include "cprof_wire.h"
#include "segment.h"
#include "segment_copy.h"
#include "sys.h"
#include "text.h"

/* A file's blocks are taken from the disk at once: less, unless CPROF_MEM asks for more. */
#define FILE_BYTES_DEFAULT (UINT64_C(32) << 20)

/* Set at load, read-only afterwards. */
static bool uses_files;

/*
 * The last file that was made.  Not on the stack: a forked child gets here in a signal
 * handler.  One thread of a process writes it, the one that makes it STARTING.
 */
static SPARSE char created_path[CPROF_PATH_BYTES + 128];

void segment_file_discard(void)
{
	if (uses_files)
		(void)sys_call3(SYS_unlinkat, AT_FDCWD, (long)created_path, 0);
	uses_files = false;
}

bool segment_file_is_used(void)
{
	return uses_files;
}

void segment_file_choose(void)
{
	uses_files = true;
}

const char *segment_file_program_name(void)
{
	const char *executed = (const char *)getauxval(AT_EXECFN); /* reads an array in libc: safe */
	const char *name = executed ? text_basename(executed) : "";
	return *name ? name : "program";
}

void segment_file_path(uint32_t pid, char *out_path, size_t capacity)
{
	struct text path;
	text_init(&path, out_path, capacity);
	text_add(&path, config.out_dir);
	text_add(&path, "/" CPROF_SEGMENT_FILE_PREFIX);
	text_add(&path, segment_file_program_name());
	text_add(&path, ".");
	text_add_u64(&path, pid);
	text_add(&path, CPROF_SEGMENT_FILE_SUFFIX);
}

/* CPROF_OUT is made if it is missing, with what leads to it. */
static void make_out_dir(void)
{
	static SPARSE char path[CPROF_PATH_BYTES]; /* not on the stack, as below */
	struct text text;
	text_init(&text, path, sizeof path);
	for (const char *p = config.out_dir; *p; p++) {
		if (*p == '/' && text.length > 0)
			(void)sys_call3(SYS_mkdirat, AT_FDCWD, (long)path, 0700);
		text_add_bytes(&text, p, 1);
	}
	(void)sys_call3(SYS_mkdirat, AT_FDCWD, (long)path, 0700);
}

int segment_create(uint32_t pid)
{
	if (!uses_files)
		return segment_create_memfd(config.mem_bytes);
	uint64_t bytes = config.mem_is_set ? config.mem_bytes : FILE_BYTES_DEFAULT;
	segment_file_path(pid, created_path, sizeof created_path);
	make_out_dir();
	int fd = segment_create_file(created_path, bytes);
	if (fd != -EEXIST)
		return fd;
	/* Of an earlier process with this pid that was never recovered: its data stay. */
	struct text text = {.bytes = created_path, .capacity = sizeof created_path};
	while (created_path[text.length])
		text.length++;
	size_t length = text.length - (sizeof CPROF_SEGMENT_FILE_SUFFIX - 1);
	for (uint64_t n = 2; n < 100 && fd == -EEXIST; n++) {
		text.length = length;
		text_add(&text, "-");
		text_add_u64(&text, n);
		text_add(&text, CPROF_SEGMENT_FILE_SUFFIX);
		fd = segment_create_file(created_path, bytes);
	}
	return fd;
}

void segment_file_save(void)
{
	char path[CPROF_PATH_BYTES + 128];
	if (uses_files)
		return; /* it is there */
	segment_file_path((uint32_t)sys_call0(SYS_getpid), path, sizeof path);
	make_out_dir();
	long fd = sys_call4(SYS_openat, AT_FDCWD, (long)path,
			    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	long error = fd;
	if (!sys_is_error(fd)) {
		error = segment_copy_to((int)fd);
		(void)sys_call1(SYS_close, fd);
		if (sys_is_error(error))
			(void)sys_call3(SYS_unlinkat, AT_FDCWD, (long)path, 0);
	}
	if (sys_is_error(error))
		LOG(LOG_ERROR, "the collector cannot be reached and ", path,
		    " cannot be written: ", log_error_text(error), "; the profiles are lost");
	else
		LOG(LOG_WARN, "the collector cannot be reached; the data are in ", path,
		    ", see `cprof recover`");
}
