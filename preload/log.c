/* SPDX-License-Identifier: MIT */
/*
 * Lines are put together on the stack and leave by one write(2).
 *
 * Context: any (async-signal-safe).
 */
#include "log.h"

#include <errno.h>
#include <stddef.h>

#include "config.h"
#include "sys.h"
#include "text.h"

void log_line(enum log_level level, const char *const *strings)
{
	if (level > config.log_level)
		return;
	char line[1024];
	struct text text;
	text_init(&text, line, sizeof line - 1);
	text_add(&text, "cprof: ");
	for (; *strings; strings++)
		text_add(&text, *strings);
	line[text.length++] = '\n';
	(void)sys_call3(SYS_write, 2, (long)line, (long)text.length);
}

const char *log_error_text(long negative_errno)
{
	switch (-negative_errno) {
	case EACCES:
		return "Permission denied";
	case EAGAIN:
		return "Resource temporarily unavailable";
	case ECONNREFUSED:
		return "Connection refused";
	case EEXIST:
		return "File exists";
	case EFBIG:
		return "File too large";
	case EINVAL:
		return "Invalid argument";
	case EMFILE:
		return "Too many open files";
	case ENFILE:
		return "Too many open files in system";
	case ENODEV:
		return "No such device";
	case ENOENT:
		return "No such file or directory";
	case ENOMEM:
		return "Cannot allocate memory";
	case ENOSPC:
		return "No space left on device";
	case ENOSYS:
		return "Function not implemented";
	case ENOTDIR:
		return "Not a directory";
	case EPERM:
		return "Operation not permitted";
	case EROFS:
		return "Read-only file system";
	default:
		return "system call failed";
	}
}
