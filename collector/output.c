/* SPDX-License-Identifier: MIT */
/*
 * A file gets its name only when all of it is written, by an operation that fails if
 * the name exists: linkat() of a nameless file (O_TMPFILE) where the file system has
 * them, so that not even a kill leaves anything behind; else of a file with a
 * temporary name.  Names are never followed if they are symbolic links.
 *
 * Context: collector; see output.h.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_MODE 0700
#define FILE_MODE 0600
#define INSTANCE_MAX 100000u
#define TEMP_ATTEMPTS 1000u
#define TEMP_NAME_BYTES 64

/* A file that has no final name yet. */
struct unnamed {
	int fd;
	char temp_name[TEMP_NAME_BYTES]; /* "": it has no name at all */
};

int output_open_dir(const char *path)
{
	char part[PATH_MAX];
	size_t size = strlen(path);
	if (size == 0)
		return -ENOENT;
	if (size >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, size + 1);
	for (size_t i = 1; i <= size; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		part[i] = '\0';
		/* What is wrong with a part that cannot be made, open() says better. */
		if (mkdir(part, DIR_MODE) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
			return -errno;
		part[i] = path[i];
	}
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int output_add(int fd, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;
	while (size) {
		ssize_t written = write(fd, at, size);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		at += written;
		size -= (size_t)written;
	}
	return 0;
}

static int unnamed_open_with_name(int dir_fd, struct unnamed *out_file)
{
	static unsigned serial;
	for (unsigned attempt = 0; attempt < TEMP_ATTEMPTS; attempt++) {
		struct unnamed file;
		snprintf(file.temp_name, sizeof(file.temp_name), ".cprof-tmp.%d.%u", (int)getpid(), serial++);
		file.fd = openat(dir_fd, file.temp_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				 FILE_MODE);
		if (file.fd >= 0) {
			*out_file = file;
			return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/* Closes the file and removes its temporary name, if it still has one. */
static void unnamed_discard(int dir_fd, struct unnamed *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (*file->temp_name)
		unlinkat(dir_fd, file->temp_name, 0);
}

static int unnamed_fill(struct unnamed *file, output_fill *fill, void *context)
{
	/* The umask does not decide who may read a profile. */
	if (fchmod(file->fd, FILE_MODE) < 0)
		return -errno;
	int error = fill(context, file->fd);
	if (!error && *file->temp_name) {
		/* Network file systems report a full disk here. */
		error = close(file->fd) < 0 ? -errno : 0;
		file->fd = -1;
	}
	return error;
}

/* Gives the file its final name.  -EEXIST if that is taken. */
static int unnamed_link(int dir_fd, struct unnamed *file, const char *name)
{
	if (!*file->temp_name) {
		char self[64];
		snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
		return linkat(AT_FDCWD, self, dir_fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
	}
	if (linkat(dir_fd, file->temp_name, dir_fd, name, 0) == 0)
		return 0;
	if (errno == EEXIST)
		return -EEXIST;
	/* A file system without hard links. */
	if (renameat2(dir_fd, file->temp_name, dir_fd, name, RENAME_NOREPLACE) < 0)
		return -errno;
	*file->temp_name = '\0';
	return 0;
}

static int format_name(const struct output_name *name, uint32_t instance, char out_file[OUTPUT_NAME_MAX])
{
	char pid[32], number[16] = "";
	if (instance > 1)
		snprintf(pid, sizeof(pid), "%u-%u", name->pid, instance);
	else
		snprintf(pid, sizeof(pid), "%u", name->pid);
	if (name->number > 0)
		snprintf(number, sizeof(number), ".%u", name->number);
	int size = snprintf(out_file, OUTPUT_NAME_MAX, "%s.%s%s%s%s%s", name->name, pid,
			    *name->kind ? "." : "", name->kind, number,
			    name->suffix ? name->suffix : ".pb.gz");
	if (size >= OUTPUT_NAME_MAX)
		return -ENAMETOOLONG;
	/* The name comes from the program: it must stay one component, on one line. */
	for (char *c = out_file; *c; c++)
		if (*c == '/' || (unsigned char)*c < ' ' || *c == 0x7f)
			*c = '_';
	return 0;
}

int output_format_name(const struct output_name *name, char out_file[OUTPUT_NAME_MAX])
{
	return format_name(name, name->instance, out_file);
}

bool output_exists(int dir_fd, const struct output_name *name)
{
	char file[OUTPUT_NAME_MAX];
	return format_name(name, name->instance, file) == 0 &&
	       faccessat(dir_fd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Tries one instance after the other until a name is free. */
static int link_free_name(int dir_fd, struct unnamed *file, struct output_name *name,
			  char out_file[OUTPUT_NAME_MAX])
{
	for (uint32_t instance = name->instance ? name->instance : 1; instance <= INSTANCE_MAX; instance++) {
		char candidate[OUTPUT_NAME_MAX];
		int error = format_name(name, instance, candidate);
		if (!error)
			error = unnamed_link(dir_fd, file, candidate);
		if (error == -EEXIST)
			continue;
		if (!error) {
			name->instance = instance;
			memcpy(out_file, candidate, OUTPUT_NAME_MAX);
		}
		return error;
	}
	return -EEXIST;
}

int output_write_by(int dir_fd, struct output_name *name, output_fill *fill, void *context,
		    char out_file[OUTPUT_NAME_MAX])
{
	struct unnamed file = {.fd = openat(dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, FILE_MODE)};
	if (file.fd >= 0) {
		int error = unnamed_fill(&file, fill, context);
		if (!error)
			error = link_free_name(dir_fd, &file, name, out_file);
		unnamed_discard(dir_fd, &file);
		/* ENOENT: /proc is not mounted; some file systems refuse the link itself. */
		if (error != -ENOENT && error != -EOPNOTSUPP && error != -EPERM && error != -EINVAL &&
		    error != -EXDEV)
			return error;
	}
	int error = unnamed_open_with_name(dir_fd, &file);
	if (error)
		return error;
	error = unnamed_fill(&file, fill, context);
	if (!error)
		error = link_free_name(dir_fd, &file, name, out_file);
	unnamed_discard(dir_fd, &file);
	return error;
}

int output_replace_by(int dir_fd, const char *file_name, output_fill *fill, void *context)
{
	struct unnamed file = {.fd = -1};
	int error = unnamed_open_with_name(dir_fd, &file);
	if (error)
		return error;
	error = unnamed_fill(&file, fill, context);
	if (!error && renameat(dir_fd, file.temp_name, dir_fd, file_name) < 0)
		error = -errno;
	if (!error)
		*file.temp_name = '\0';
	unnamed_discard(dir_fd, &file);
	return error;
}

struct ready {
	const void *bytes;
	size_t size;
};

static int fill_ready(void *context, int fd)
{
	const struct ready *ready = context;
	return output_add(fd, ready->bytes, ready->size);
}

int output_write(int dir_fd, struct output_name *name, const void *bytes, size_t size,
		 char out_file[OUTPUT_NAME_MAX])
{
	struct ready ready = {bytes, size};
	return output_write_by(dir_fd, name, fill_ready, &ready, out_file);
}

int output_replace(int dir_fd, const char *file_name, const void *bytes, size_t size)
{
	struct ready ready = {bytes, size};
	return output_replace_by(dir_fd, file_name, fill_ready, &ready);
}
