/* SPDX-License-Identifier: MIT */
/*
 * libdwfl brings the file and its debug data together: separate debug files, .dwz
 * files, .gnu_debugdata, compressed sections.  Each image is a module of its own
 * Dwfl, at bias 0, so that addresses are those of the ELF file.
 *
 * Context: collector, main thread; see image.h.
 */
#include "image_content.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cprof_compiler.h"
#include "demangle.h"
#include "sigbus_guard.h"

void image_content_init(struct image_content *content, int fd, int debug_fd)
{
	*content = (struct image_content){.fd = fd, .debug_fd = debug_fd, .guards = {-1, -1}};
}

void image_content_fini(struct image_content *content)
{
	for (size_t i = 0; i < ARRAY_LENGTH(content->guards); i++)
		if (content->guards[i] >= 0)
			sigbus_guard_remove(content->guards[i]);
	image_dwarf_close(content->dwarf);
	image_symtab_fini(&content->symtab);
	image_names_fini(&content->names);
	if (content->dwfl)
		dwfl_end(content->dwfl);
	if (content->fd >= 0)
		close(content->fd);
	if (content->debug_fd >= 0)
		close(content->debug_fd);
}

/* ---- loading --------------------------------------------------------------------------------- */

static int find_debuginfo(Dwfl_Module *module, void **user_data, const char *module_name, Dwarf_Addr base,
			  const char *file_name, const char *debuglink_file, GElf_Word debuglink_crc,
			  char **debuginfo_file_name)
{
	struct image_content *content = *user_data;
	/* The file that dwz made for several is asked for in the same way, with a name and no checksum. */
	bool is_shared = debuglink_file && debuglink_crc == 0;
	if (content && content->debug_fd >= 0 && !is_shared) {
		int fd = content->debug_fd;
		content->debug_fd = -1;
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

void image_content_load(struct image_content *content, const char *path)
{
	static const Dwfl_Callbacks callbacks = {
		.find_debuginfo = find_debuginfo,
		.section_address = dwfl_offline_section_address,
	};
	content->is_loaded = true;
	forbid_network();
	content->dwfl = dwfl_begin(&callbacks);
	if (!content->dwfl)
		return;
	dwfl_report_begin(content->dwfl);
	Dwfl_Module *module = dwfl_report_elf(content->dwfl, path, path, content->fd, 0, true);
	dwfl_report_end(content->dwfl, NULL, NULL);
	if (!module)
		return;
	content->fd = -1;
	void **user_data;
	dwfl_module_info(module, &user_data, NULL, NULL, NULL, NULL, NULL, NULL);
	*user_data = content;

	GElf_Addr bias;
	Elf *elf = dwfl_module_getelf(module, &bias);
	if (!elf)
		return;
	content->guards[0] = guard_elf(elf);
	Dwarf *dwarf = dwfl_module_getdwarf(module, &bias);
	if (dwarf) {
		if (dwarf_getelf(dwarf) != elf)
			content->guards[1] = guard_elf(dwarf_getelf(dwarf));
		content->dwarf = image_dwarf_open(dwarf, elf, &content->names);
	}
	image_symtab_load(&content->symtab, module);
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
static bool refine_name(struct image_content *content, uint64_t address, struct image_line *line)
{
	const char *symbol = image_symtab_find(&content->symtab, address);
	if (!symbol)
		return false;
	/* Without its version. */
	const struct function_name *offered = line->name[0] == '_'
						      ? image_names_of_symbol(&content->names, symbol)
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
	const struct function_name *name = is_copy || is_static
						   ? image_names_of_symbol(&content->names, symbol)
						   : NULL;
	if (name)
		line->system_name = name->system_name;
	return false;
}

bool image_content_symbol_start(const struct image_content *content, uint64_t address, uint64_t *out_start)
{
	return image_symtab_find_start(&content->symtab, address, out_start);
}

static bool is_entry(const struct image_content *content, uint64_t address)
{
	uint64_t start;
	return image_content_symbol_start(content, address, &start) && start == address;
}

size_t image_content_lines(struct image_content *content, uint64_t address,
			   struct image_line lines[IMAGE_LINES_MAX])
{
	size_t count = content->dwarf ? image_dwarf_find(content->dwarf, address, lines, IMAGE_LINES_MAX) : 0;
	struct image_line *outermost = &lines[count ? count - 1 : 0];
	if (count && outermost->name) {
		/* A wait's leaf is the entry of libc's function, which may begin with what is inlined there. */
		if (!refine_name(content, address, outermost) || !is_entry(content, address))
			return count;
		lines[0] = *outermost;
		return 1;
	}
	const char *symbol = image_symtab_find(&content->symtab, address);
	const struct function_name *name = symbol ? image_names_of_symbol(&content->names, symbol) : NULL;
	if (!name)
		return count > 1 ? count - 1 : 0;
	if (!count)
		*outermost = (struct image_line){0};
	outermost->name = name->name;
	outermost->system_name = name->system_name;
	return count ? count : 1;
}
