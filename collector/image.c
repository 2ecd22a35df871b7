/* SPDX-License-Identifier: MIT */
/*
 * The cache of images, and of the answers of each.
 *
 * libdwfl brings the file and its debug data together: separate debug files, .dwz
 * files, .gnu_debugdata, compressed sections.  Each image is a module of its own
 * Dwfl, at bias 0, so that addresses are those of the ELF file.
 *
 * Context: collector, main thread; see image.h.
 */
#include "image.h"

#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer_store.h"
#include "cprof_compiler.h"
#include "demangle.h"
#include "image_dwarf.h"
#include "image_file.h"
#include "image_names.h"
#include "image_symtab.h"
#include "log.h"
#include "sigbus_guard.h"
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
	int fd;       /* until it is loaded: then libdwfl's, -1 here */
	int debug_fd; /* of a debug file in the process's root, or -1; likewise */

	uint32_t holders;
	int64_t idle_since_ms; /* when it was first seen without a holder, or 0 */

	bool is_loaded;
	Dwfl *dwfl;
	struct image_names names;
	struct image_symtab symtab;
	struct image_dwarf *dwarf;
	int guards[2]; /* handles of the mapped files, or -1 */

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

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void free_image(struct image *image)
{
	for (size_t i = 0; i < ARRAY_LENGTH(image->guards); i++)
		if (image->guards[i] >= 0)
			sigbus_guard_remove(image->guards[i]);
	image_dwarf_close(image->dwarf);
	image_symtab_fini(&image->symtab);
	image_names_fini(&image->names);
	if (image->dwfl)
		dwfl_end(image->dwfl);
	close_fd(&image->fd);
	close_fd(&image->debug_fd);
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
				.path = path,
				.fd = fd,
				.debug_fd = image_file_open_debug(source),
				.guards = {-1, -1}};
	if (source->build_id_bytes)
		memcpy(image->build_id, source->build_id, source->build_id_bytes);
	images = image;
	return image;
}

void image_keep_answers(int dir_fd)
{
	close_fd(&kept_dir_fd);
	kept_dir_fd = dir_fd;
}

/*
 * Only with DWARF: without it there is little to spare, and symbols alone would be believed
 * when debug information is installed later.
 */
static void keep(const struct image *image)
{
	if (kept_dir_fd < 0 || !image->dwarf || image->answer_count == image->kept_count)
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

/* ---- loading --------------------------------------------------------------------------------- */

static int find_debuginfo(Dwfl_Module *module, void **user_data, const char *module_name, Dwarf_Addr base,
			  const char *file_name, const char *debuglink_file, GElf_Word debuglink_crc,
			  char **debuginfo_file_name)
{
	struct image *image = *user_data;
	/* The file that dwz made for several is asked for in the same way, with a name and no checksum. */
	bool is_shared = debuglink_file && debuglink_crc == 0;
	if (image && image->debug_fd >= 0 && !is_shared) {
		int fd = image->debug_fd;
		image->debug_fd = -1;
		return fd;
	}
	return dwfl_standard_find_debuginfo(module, user_data, module_name, base, file_name, debuglink_file,
					    debuglink_crc, debuginfo_file_name);
}

/* libdebuginfod asks the servers in DEBUGINFOD_URLS: only if it was allowed in so many words. */
static void forbid_network(void)
{
	const char *allowed = secure_getenv("CPROF_DEBUGINFOD");
	if (!allowed || strcmp(allowed, "1") != 0)
		unsetenv("DEBUGINFOD_URLS"); /* NOLINT(concurrency-mt-unsafe): no other thread reads it */
}

/* The mapped file may be shortened under us: reading it must not kill the collector. */
static int guard_elf(Elf *elf)
{
	size_t size;
	char *start = elf ? elf_rawfile(elf, &size) : NULL;
	return start ? sigbus_guard_add(start, size) : -1;
}

static void load(struct image *image)
{
	static const Dwfl_Callbacks callbacks = {
		.find_debuginfo = find_debuginfo,
		.section_address = dwfl_offline_section_address,
	};
	image->is_loaded = true;
	forbid_network();
	image->dwfl = dwfl_begin(&callbacks);
	if (!image->dwfl)
		return;
	dwfl_report_begin(image->dwfl);
	Dwfl_Module *module = dwfl_report_elf(image->dwfl, image->path, image->path, image->fd, 0, true);
	dwfl_report_end(image->dwfl, NULL, NULL);
	if (!module)
		return;
	image->fd = -1;
	void **user_data;
	dwfl_module_info(module, &user_data, NULL, NULL, NULL, NULL, NULL, NULL);
	*user_data = image;

	GElf_Addr bias;
	Elf *elf = dwfl_module_getelf(module, &bias);
	if (!elf)
		return;
	image->guards[0] = guard_elf(elf);
	Dwarf *dwarf = dwfl_module_getdwarf(module, &bias);
	if (dwarf) {
		if (dwarf_getelf(dwarf) != elf)
			image->guards[1] = guard_elf(dwarf_getelf(dwarf));
		image->dwarf = image_dwarf_open(dwarf, elf, &image->names);
	}
	image_symtab_load(&image->symtab, module);
}

/* ---- answers --------------------------------------------------------------------------------- */

static bool is_mangled(const char *name)
{
	return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

/* Whether the first `length` bytes of a name are '_', anything, '_' and the symbol. */
static bool has_reserved_prefix(const char *name, size_t length, const char *symbol)
{
	size_t short_length = strlen(symbol);
	return length > short_length && name[0] == '_' && name[length - short_length - 1] == '_' &&
	       memcmp(name + length - short_length, symbol, short_length) == 0;
}

/*
 * Whether a C library calls the function by its reserved name in its own sources and
 * offers it under the other: ___pthread_mutex_lock and pthread_mutex_lock,
 * __libc_malloc and malloc, __pthread_create_2_1 and pthread_create.
 */
static bool is_reserved_name_of(const char *name, const char *symbol)
{
	size_t length = strlen(name), unversioned = length;
	while (unversioned && strchr("_0123456789", name[unversioned - 1]))
		unversioned--;
	return symbol[0] != '_' && name[1] != 'Z' &&
	       (has_reserved_prefix(name, length, symbol) || has_reserved_prefix(name, unversioned, symbol));
}

/*
 * DWARF does not name the copies and parts that optimisers make of a function, and
 * gives static C++ functions no linkage name; the symbol at the address has both.
 * The readable name stays that of DWARF: where the function is inlined, there is no
 * symbol, and the two must not look like different functions.  Only the names that
 * programs cannot use become those that they do.  Returns whether it became one.
 */
static bool refine_name(struct image *image, uint64_t address, struct image_line *line)
{
	const char *symbol = image_symtab_find(&image->symtab, address);
	if (!symbol)
		return false;
	/* Without its version. */
	const struct function_name *offered = line->name[0] == '_'
						      ? image_names_of_symbol(&image->names, symbol)
						      : NULL;
	if (offered && is_reserved_name_of(line->name, offered->system_name)) {
		line->name = offered->name;
		line->system_name = offered->system_name;
		return true;
	}
	size_t length = strlen(line->system_name);
	bool is_copy = !strncmp(symbol, line->system_name, length) && symbol[length] == '.' &&
		       demangle_base_length(symbol) == length;
	bool is_static = is_mangled(symbol) && !is_mangled(line->system_name);
	const struct function_name *name = is_copy || is_static ? image_names_of_symbol(&image->names, symbol)
								: NULL;
	if (name)
		line->system_name = name->system_name;
	return false;
}

static bool is_entry(const struct image *image, uint64_t address)
{
	uint64_t start;
	return image_symtab_find_start(&image->symtab, address, &start) && start == address;
}

static size_t compute(struct image *image, uint64_t address, struct image_line lines[IMAGE_LINES_MAX])
{
	size_t count = image->dwarf ? image_dwarf_find(image->dwarf, address, lines, IMAGE_LINES_MAX) : 0;
	struct image_line *outermost = &lines[count ? count - 1 : 0];
	if (count && outermost->name) {
		/* A wait's leaf is the entry of libc's function, which may begin with what is inlined there. */
		if (!refine_name(image, address, outermost) || !is_entry(image, address))
			return count;
		lines[0] = *outermost;
		return 1;
	}
	const char *symbol = image_symtab_find(&image->symtab, address);
	const struct function_name *name = symbol ? image_names_of_symbol(&image->names, symbol) : NULL;
	if (!name)
		return count > 1 ? count - 1 : 0;
	if (!count)
		*outermost = (struct image_line){0};
	outermost->name = name->name;
	outermost->system_name = name->system_name;
	return count ? count : 1;
}

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
		if (!image->is_loaded)
			load(image);
		count = compute(image, address, computed);
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
	uint64_t start = address;
	if (!image->is_loaded)
		load(image);
	image_symtab_find_start(&image->symtab, address, &start);
	return start;
}

bool image_has_lines(struct image *image)
{
	if (!image->is_asked_for)
		ask_kept(image);
	if (image->kept_count) /* those of an image without are not kept */
		return true;
	if (!image->is_loaded)
		load(image);
	return image->dwarf != NULL;
}
