/* SPDX-License-Identifier: MIT */
/*
 * What the tests of several parts set up in the same way.
 *
 * Context: tests of the collector; see fake_image.h.
 */
#include "fake_image.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "image.h"

struct segment_reader fake_reader(const struct fake_segment *segment)
{
	struct segment_reader reader;
	cr_assert_eq(segment_reader_open(dup(segment->fd), &reader), 0);
	return reader;
}

void fake_image_open(struct fake_image *image, uint64_t bytes)
{
	fake_segment_create(&image->segment, bytes);
	image->reader = fake_reader(&image->segment);
	image->slot = fake_thread_start(&image->segment);
}

void fake_image_close(struct fake_image *image)
{
	segment_reader_close(&image->reader);
	fake_segment_destroy(&image->segment);
}

void fake_files_open(struct fake_files *files, bool is_first)
{
	*files = (struct fake_files){0};
	fake_image_open(&files->image, CPROF_SEGMENT_BYTES_MIN);
	files->control = fake_control(&files->image.segment);
	files->control->pid = 7;
	cr_assert_eq(writer_dir_open(&files->dir, fixture_dir), 0);
	writer_init(&files->writer, &files->image.reader, &files->rows, &files->dir, is_first);
}

void fake_files_restart(struct fake_files *files)
{
	writer_init(&files->writer, &files->image.reader, &files->rows, &files->dir, files->writer.is_first);
}

void fake_files_close(struct fake_files *files)
{
	close(files->dir.fd);
	module_rows_free(&files->rows);
	fake_image_close(&files->image);
	image_close_all();
}

void fake_files_record(struct fake_files *files, uint64_t leaf, enum cprof_kind kind, uint64_t weight,
		       uint64_t value)
{
	struct fake_segment *segment = &files->image.segment;
	fake_record(segment, files->image.slot, fake_leaf(segment, leaf), kind, weight, value);
}

ino_t fake_files_inode(const struct fake_files *files, const char *name)
{
	struct stat st;
	return fstatat(files->dir.fd, name, &st, 0) ? 0 : st.st_ino;
}

size_t fake_files_count(const struct fake_files *files)
{
	size_t count = 0;
	struct dirent *entry;
	DIR *list = opendir(files->dir.path);
	cr_assert_not_null(list);
	while ((entry = readdir(list)))
		count += entry->d_name[0] != '.';
	closedir(list);
	return count;
}

void fake_files_make(const struct fake_files *files, const char *name)
{
	int fd = openat(files->dir.fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
}
