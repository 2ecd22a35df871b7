/* SPDX-License-Identifier: MIT */
/*
 * The cache of images, and of the answers of each.  The files of one are read at the first question
 * that has no answer yet, by this run or an earlier one.
 *
 * Context: collector, main thread; see image.h.
 */
#include "image.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer_store.h"
#include "image_content.h"
#include "image_file.h"
#include "log.h"
#include "u64_map.h"

/* A make starts the same compiler again soon. */
#define IDLE_MS 10000
#define IDLE_MAX 64

struct image {
	struct image *next;
	uint8_t build_id[CPROF_BUILD_ID_MAX];
	uint32_t build_id_bytes;
	uint64_t device, inode;
	char *path;
	struct image_content content;

	uint32_t holders;
	int64_t idle_since_ms; /* when it was first seen without a holder, or 0 */

	struct u64_map answer_of; /* address -> index into answers */
	struct answer *answers;
	struct image_line *lines;
	uint32_t answer_count, answer_capacity;
	uint32_t line_count, line_capacity;
	bool is_asked_for; /* what earlier runs have kept is there */
	uint32_t kept_count;
	void *kept; /* the strings of their answers, or NULL */
};

static struct image *images;
static int kept_dir_fd = -1;

static bool is_same(const struct image *image, const struct image_source *source)
{
	if (image->build_id_bytes != source->build_id_bytes)
		return false;
	if (source->build_id_bytes)
		return !memcmp(image->build_id, source->build_id, source->build_id_bytes);
	return source->inode && image->inode == source->inode && image->device == source->device;
}

static void free_image(struct image *image)
{
	image_content_fini(&image->content);
	u64_map_fini(&image->answer_of);
	free(image->answers);
	free(image->lines);
	free(image->kept);
	free(image->path);
	free(image);
}

struct image *image_open(const struct image_source *source)
{
	if (source->build_id_bytes > CPROF_BUILD_ID_MAX)
		return NULL;
	for (struct image *image = images; image; image = image->next)
		if (is_same(image, source))
			return image;
	int fd = image_file_open(source);
	if (fd < 0)
		return NULL;
	struct image *image = calloc(1, sizeof(*image));
	char *path = strdup(source->path);
	if (!image || !path) {
		free(image);
		free(path);
		close(fd);
		return NULL;
	}
	*image = (struct image){.next = images,
				.build_id_bytes = source->build_id_bytes,
				.device = source->device,
				.inode = source->inode,
				.path = path};
	image_content_init(&image->content, fd, image_file_open_debug(source));
	if (source->build_id_bytes)
		memcpy(image->build_id, source->build_id, source->build_id_bytes);
	images = image;
	return image;
}

void image_keep_answers(int dir_fd)
{
	if (kept_dir_fd >= 0)
		close(kept_dir_fd);
	kept_dir_fd = dir_fd;
}

/*
 * Only with DWARF: without it there is little to spare, and symbols alone would be believed
 * when debug information is installed later.
 */
static void keep(const struct image *image)
{
	if (kept_dir_fd < 0 || !image->content.dwarf || image->answer_count == image->kept_count)
		return;
	const struct answers answers = {.answers = image->answers,
					.lines = image->lines,
					.answer_count = image->answer_count,
					.line_count = image->line_count};
	int error = answer_store_write(kept_dir_fd, image->build_id, image->build_id_bytes, &answers);
	if (error)
		log_info("what %s's addresses mean is not kept: %s", image->path, log_error_text(-error));
}

void image_hold(struct image *image)
{
	if (!image)
		return;
	image->holders++;
	image->idle_since_ms = 0;
}

void image_release(struct image *image)
{
	if (image)
		image->holders--;
}

void image_close_idle(int64_t now_ms)
{
	size_t idle_count = 0;
	for (struct image **place = &images; *place;) {
		struct image *image = *place;
		if (image->holders == 0 && image->idle_since_ms == 0)
			image->idle_since_ms = now_ms;
		if (image->holders == 0 &&
		    (now_ms - image->idle_since_ms >= IDLE_MS || idle_count++ >= IDLE_MAX)) {
			*place = image->next;
			keep(image);
			free_image(image);
		} else {
			place = &image->next;
		}
	}
}

void image_close_all(void)
{
	while (images) {
		struct image *image = images;
		images = image->next;
		keep(image);
		free_image(image);
	}
	image_keep_answers(-1);
}

/* ---- answers --------------------------------------------------------------------------------- */

static bool reserve(void **items, uint32_t wanted, uint32_t *capacity, size_t item_size)
{
	if (*items && wanted <= *capacity)
		return true;
	uint32_t grown_capacity = *capacity ? *capacity : 256;
	while (grown_capacity < wanted)
		grown_capacity *= 2;
	void *grown = reallocarray(*items, grown_capacity, item_size);
	if (!grown)
		return false;
	*items = grown;
	*capacity = grown_capacity;
	return true;
}

/* What cannot be remembered is computed again the next time. */
static void remember(struct image *image, uint64_t address, const struct image_line *lines, size_t count)
{
	if (!reserve((void **)&image->lines, image->line_count + (uint32_t)count, &image->line_capacity,
		     sizeof(*image->lines)) ||
	    !reserve((void **)&image->answers, image->answer_count + 1, &image->answer_capacity,
		     sizeof(*image->answers)) ||
	    u64_map_put(&image->answer_of, address, image->answer_count) < 0)
		return;
	memcpy(image->lines + image->line_count, lines, count * sizeof(*lines));
	image->answers[image->answer_count++] = (struct answer){address, image->line_count, (uint32_t)count};
	image->line_count += (uint32_t)count;
}

/* Takes over what earlier runs have found out. */
static void ask_kept(struct image *image)
{
	struct answers kept;
	image->is_asked_for = true;
	if (kept_dir_fd < 0 ||
	    answer_store_read(kept_dir_fd, image->build_id, image->build_id_bytes, &kept) != 0)
		return;
	image->kept = kept.memory;
	for (uint32_t i = 0; i < kept.answer_count; i++)
		remember(image, kept.answers[i].address, kept.lines + kept.answers[i].first,
			 kept.answers[i].count);
	image->kept_count = image->answer_count;
	free(kept.answers);
	free(kept.lines);
}

static struct image_content *content_of(struct image *image)
{
	if (!image->content.is_loaded)
		image_content_load(&image->content, image->path);
	return &image->content;
}

size_t image_symbolise(struct image *image, uint64_t address, struct image_line *lines, size_t lines_max)
{
	struct image_line computed[IMAGE_LINES_MAX];
	const struct image_line *found = computed;
	size_t count;
	uint32_t index;
	if (!image->is_asked_for)
		ask_kept(image);
	if (u64_map_find(&image->answer_of, address, &index)) {
		found = image->lines + image->answers[index].first;
		count = image->answers[index].count;
	} else {
		count = image_content_lines(content_of(image), address, computed);
		remember(image, address, computed, count);
	}
	if (count > lines_max) {
		/* The innermost ones and the real function are what matters. */
		memcpy(lines, found, (lines_max - 1) * sizeof(*lines));
		lines[lines_max - 1] = found[count - 1];
		return lines_max;
	}
	memcpy(lines, found, count * sizeof(*lines));
	return count;
}

uint64_t image_symbol_start(struct image *image, uint64_t address)
{
	uint64_t start;
	return image_content_symbol_start(content_of(image), address, &start) ? start : address;
}

bool image_has_lines(struct image *image)
{
	if (!image->is_asked_for)
		ask_kept(image);
	if (image->kept_count) /* those of an image without are not kept */
		return true;
	return content_of(image)->dwarf != NULL;
}
