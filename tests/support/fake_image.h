/* SPDX-License-Identifier: MIT */
/*
 * A fake process image as the collector's parts see it: a segment with one thread,
 * the reader of it, and, for those that write files, a writer into the scratch
 * directory of fixture.h.
 *
 * Context: tests of the collector.
 */
#ifndef TESTS_SUPPORT_FAKE_IMAGE_H
#define TESTS_SUPPORT_FAKE_IMAGE_H

#include <sys/types.h>

#include "fake_segment.h"
#include "writer.h"

/* A reader of a segment, to be closed. */
struct segment_reader fake_reader(const struct fake_segment *segment);

struct fake_image {
	struct fake_segment segment;
	struct segment_reader reader;
	uint32_t slot; /* of its thread */
};

void fake_image_open(struct fake_image *image, uint64_t bytes);
void fake_image_close(struct fake_image *image);

/* An image "fake" with pid 7 and its files, between fixture_begin() and fixture_end(). */
struct fake_files {
	struct fake_image image;
	struct cprof_control *control; /* the image's */
	struct writer_dir dir;
	struct module_rows rows;
	struct writer writer;
};

/* Opens everything; `is_first`: the image is the first process's. */
void fake_files_open(struct fake_files *files, bool is_first);
void fake_files_close(struct fake_files *files);

/* The writer as a collector makes it that finds the image as it is now. */
void fake_files_restart(struct fake_files *files);

/* Counts an event of a stack of one frame. */
void fake_files_record(struct fake_files *files, uint64_t leaf, enum cprof_kind kind, uint64_t weight,
		       uint64_t value);

/* Inode of a file in the directory, 0 if there is none. */
ino_t fake_files_inode(const struct fake_files *files, const char *name);

size_t fake_files_count(const struct fake_files *files);

/* Makes an empty file. */
void fake_files_make(const struct fake_files *files, const char *name);

#endif
