/* SPDX-License-Identifier: MIT */
/*
 * libdw can find the unit of an address, but without .debug_aranges (clang) it reads
 * them all each time, and it finds functions by visiting the whole unit each time.
 * So there are three levels of range maps here: image -> unit -> function ->
 * inlined function, each built once.
 *
 * The DIE tree is untrusted: every walk has a bound on depth and on steps, because a
 * crafted sibling reference can make a list endless.
 *
 * Context: collector; see image_dwarf.h.
 */
#include "image_dwarf.h"

#include <dwarf.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "range_map.h"

#define DEPTH_MAX 64
#define SEGMENTS_MAX 16
#define RANGES_MAX 100000   /* of one DIE */
#define STEPS_MAX 20000000u /* DIEs of one unit; the largest seen have some millions */
#define NO_INDEX UINT32_MAX

struct inlined {
	Dwarf_Die die;
	uint32_t parent; /* index, or NO_INDEX */
};

struct function {
	Dwarf_Die die;
	bool is_indexed;
	struct range_map ranges; /* of inlined functions, the deepest wins */
	struct inlined *inlined;
	uint32_t inlined_count;
	uint32_t inlined_capacity;
};

/* How far the functions of a unit were looked for. */
enum unit_state { UNIT_UNKNOWN, UNIT_TOP_LEVEL, UNIT_NESTED };

struct unit {
	Dwarf_Die lines_die; /* has the line table */
	Dwarf_Die die;       /* has the functions; another one if the DWARF is split */
	enum unit_state state;
	struct range_map ranges;
	struct function *functions;
	uint32_t function_count;
	uint32_t function_capacity;
};

struct segment {
	uint64_t start, end;
};

struct image_dwarf {
	struct image_names *names;
	struct segment segments[SEGMENTS_MAX]; /* executable ones */
	size_t segment_count;
	struct range_map ranges;
	struct unit *units;
	uint32_t unit_count;
	uint32_t unit_capacity;
};

/* Makes room for one more item; false if there is no memory. */
static bool reserve(void **items, uint32_t count, uint32_t *capacity, size_t item_size)
{
	if (count < *capacity)
		return true;
	uint32_t grown_capacity = *capacity ? 2 * *capacity : 16;
	void *grown = reallocarray(*items, grown_capacity, item_size);
	if (!grown)
		return false;
	*items = grown;
	*capacity = grown_capacity;
	return true;
}

/*
 * Code that the linker dropped keeps its DIEs, with addresses from 0; such ranges
 * would cover what lies there really.
 */
static bool is_in_code(const struct image_dwarf *dwarf, uint64_t address)
{
	for (size_t i = 0; i < dwarf->segment_count; i++)
		if (address >= dwarf->segments[i].start && address < dwarf->segments[i].end)
			return true;
	return dwarf->segment_count == 0;
}

/* Adds the code ranges of a DIE.  Returns whether it has any. */
static bool add_ranges(const struct image_dwarf *dwarf, struct range_map *map, Dwarf_Die *die, uint32_t rank,
		       uint32_t value)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t offset = 0;
	bool has_any = false;
	for (unsigned i = 0; i < RANGES_MAX; i++) {
		offset = dwarf_ranges(die, offset, &base, &start, &end);
		if (offset <= 0)
			break;
		if (!is_in_code(dwarf, start))
			continue;
		range_map_add(map, (struct range){start, end, rank, value});
		has_any = true;
	}
	return has_any;
}

static bool has_code(Dwarf_Die *die)
{
	return dwarf_hasattr(die, DW_AT_low_pc) || dwarf_hasattr(die, DW_AT_ranges);
}

/*
 * Visits the DIEs below one in order.  `visit` says whether to go into a DIE's
 * children.  `depth` counts from 0.
 */
static void walk(Dwarf_Die *top, bool (*visit)(void *arg, Dwarf_Die *die, unsigned depth), void *arg)
{
	Dwarf_Die path[DEPTH_MAX];
	if (dwarf_child(top, &path[0]) != 0)
		return;
	unsigned depth = 0;
	for (unsigned steps = 0; steps < STEPS_MAX; steps++) {
		if (visit(arg, &path[depth], depth) && depth + 1 < DEPTH_MAX &&
		    dwarf_child(&path[depth], &path[depth + 1]) == 0) {
			depth++;
			continue;
		}
		while (dwarf_siblingof(&path[depth], &path[depth]) != 0)
			if (depth-- == 0)
				return;
	}
}

struct unit_walk {
	struct image_dwarf *dwarf;
	struct unit *unit;
	bool is_nested; /* also functions within functions */
};

static bool visit_unit(void *arg, Dwarf_Die *die, unsigned depth)
{
	struct unit_walk *w = arg;
	(void)depth;
	switch (dwarf_tag(die)) {
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
		return true;
	case DW_TAG_lexical_block:
	case DW_TAG_inlined_subroutine:
		return w->is_nested;
	case DW_TAG_subprogram:
		break;
	default:
		return false;
	}
	struct unit *unit = w->unit;
	if (has_code(die) && reserve((void **)&unit->functions, unit->function_count,
				     &unit->function_capacity, sizeof(*unit->functions))) {
		/* Functions never overlap but where one is within another: then it starts later. */
		if (add_ranges(w->dwarf, &unit->ranges, die, 0, unit->function_count))
			unit->functions[unit->function_count++] = (struct function){.die = *die};
	}
	return w->is_nested;
}

static void free_functions(struct unit *unit)
{
	for (uint32_t i = 0; i < unit->function_count; i++) {
		range_map_fini(&unit->functions[i].ranges);
		free(unit->functions[i].inlined);
	}
	free(unit->functions);
	range_map_fini(&unit->ranges);
	unit->functions = NULL;
	unit->function_count = unit->function_capacity = 0;
}

static void index_unit(struct image_dwarf *dwarf, struct unit *unit, enum unit_state state)
{
	struct unit_walk w = {dwarf, unit, state == UNIT_NESTED};
	free_functions(unit);
	unit->state = state;
	walk(&unit->die, visit_unit, &w);
	range_map_seal(&unit->ranges);
}

/*
 * Functions within functions (GNU C, Fortran, Ada) are rare, and looking for them
 * costs a visit of every DIE: so only when an address was not found without.
 */
static struct function *find_function(struct image_dwarf *dwarf, struct unit *unit, uint64_t address)
{
	uint32_t index;
	while (!range_map_find(&unit->ranges, address, &index)) {
		if (unit->state == UNIT_NESTED)
			return NULL;
		index_unit(dwarf, unit, unit->state == UNIT_UNKNOWN ? UNIT_TOP_LEVEL : UNIT_NESTED);
	}
	return &unit->functions[index];
}

struct function_walk {
	struct image_dwarf *dwarf;
	struct function *function;
	uint32_t parents[DEPTH_MAX + 1]; /* innermost inlined function around each depth */
};

static bool visit_function(void *arg, Dwarf_Die *die, unsigned depth)
{
	struct function_walk *w = arg;
	struct function *f = w->function;
	w->parents[depth + 1] = w->parents[depth];
	switch (dwarf_tag(die)) {
	case DW_TAG_lexical_block:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
		return true;
	case DW_TAG_inlined_subroutine:
		break;
	default:
		return false;
	}
	if (!reserve((void **)&f->inlined, f->inlined_count, &f->inlined_capacity, sizeof(*f->inlined)) ||
	    !add_ranges(w->dwarf, &f->ranges, die, depth, f->inlined_count))
		return true;
	f->inlined[f->inlined_count] = (struct inlined){*die, w->parents[depth]};
	w->parents[depth + 1] = f->inlined_count++;
	return true;
}

static void index_function(struct image_dwarf *dwarf, struct function *function)
{
	struct function_walk w = {.dwarf = dwarf, .function = function, .parents = {NO_INDEX}};
	function->is_indexed = true;
	walk(&function->die, visit_function, &w);
	range_map_seal(&function->ranges);
}

/* ---- answers --------------------------------------------------------------------------------- */

uint32_t image_dwarf_number(Dwarf_Die *die, unsigned attribute)
{
	Dwarf_Attribute found;
	Dwarf_Word value;
	if (dwarf_formudata(dwarf_attr(die, attribute, &found), &value) != 0 || value > INT32_MAX)
		return 0;
	return (uint32_t)value;
}

/* Where the current function is called: the place in the next outer one. */
static struct image_line call_site(struct image_dwarf *dwarf, struct unit *unit, Dwarf_Die *inlined)
{
	struct image_line line = {
		.line = image_dwarf_number(inlined, DW_AT_call_line),
		.column = image_dwarf_number(inlined, DW_AT_call_column),
	};
	Dwarf_Files *files;
	size_t count;
	uint32_t file = image_dwarf_number(inlined, DW_AT_call_file);
	if (dwarf_getsrcfiles(&unit->die, &files, &count) == 0 && file < count) {
		const char *path = dwarf_filesrc(files, file, NULL, NULL);
		line.file = path ? image_names_of_path(dwarf->names, &unit->lines_die, path) : NULL;
	}
	return line;
}

static struct image_line line_of(struct image_dwarf *dwarf, struct unit *unit, uint64_t address)
{
	struct image_line line = {0};
	Dwarf_Line *row = dwarf_getsrc_die(&unit->lines_die, address);
	int number = 0, column = 0;
	const char *path = dwarf_linesrc(row, NULL, NULL);
	if (path)
		line.file = image_names_of_path(dwarf->names, &unit->lines_die, path);
	if (dwarf_lineno(row, &number) == 0 && number > 0)
		line.line = (uint32_t)number;
	if (dwarf_linecol(row, &column) == 0 && column > 0)
		line.column = (uint32_t)column;
	return line;
}

static void set_name(struct image_dwarf *dwarf, struct image_line *line, Dwarf_Die *die)
{
	const struct function_name *name = image_names_of_die(dwarf->names, die);
	if (!name)
		return;
	line->name = name->name;
	line->system_name = name->system_name;
	if (!line->file)
		line->file = name->file;
	/* The function's first line belongs to its file; code from an #include may have another. */
	if (line->file && name->file && !strcmp(line->file, name->file))
		line->start_line = name->line;
}

/* The unit of an address, NULL if there is none; the function there and its innermost inlined one. */
static struct unit *find_scope(struct image_dwarf *dwarf, uint64_t address, struct function **out_function,
			       uint32_t *out_inlined)
{
	uint32_t unit_index;
	*out_function = NULL;
	*out_inlined = NO_INDEX;
	if (!range_map_find(&dwarf->ranges, address, &unit_index))
		return NULL;
	struct unit *unit = &dwarf->units[unit_index];
	struct function *function = find_function(dwarf, unit, address);
	if (function && !function->is_indexed)
		index_function(dwarf, function);
	if (function && !range_map_find(&function->ranges, address, out_inlined))
		*out_inlined = NO_INDEX;
	*out_function = function;
	return unit;
}

size_t image_dwarf_find(struct image_dwarf *dwarf, uint64_t address, struct image_line *lines,
			size_t lines_max)
{
	struct function *function;
	uint32_t inlined;
	struct unit *unit = find_scope(dwarf, address, &function, &inlined);
	if (!unit)
		return 0;
	struct image_line line = line_of(dwarf, unit, address);
	if (!function) {
		lines[0] = line;
		return line.file || line.line ? 1 : 0;
	}
	size_t count = 0;
	/* A parent always comes before its children in the array, so this ends. */
	for (; inlined != NO_INDEX; inlined = function->inlined[inlined].parent) {
		Dwarf_Die *die = &function->inlined[inlined].die;
		set_name(dwarf, &line, die);
		if (line.name && count + 1 < lines_max)
			lines[count++] = line;
		line = call_site(dwarf, unit, die);
	}
	set_name(dwarf, &line, &function->die);
	lines[count++] = line;
	return count;
}

size_t image_dwarf_scopes(struct image_dwarf *dwarf, uint64_t address, Dwarf_Die *scopes, size_t scopes_max,
			  Dwarf_Die *out_unit)
{
	struct function *function;
	uint32_t inlined;
	struct unit *unit = find_scope(dwarf, address, &function, &inlined);
	*out_unit = unit ? unit->lines_die : (Dwarf_Die){0};
	size_t count = 0;
	for (; inlined != NO_INDEX && count < scopes_max; inlined = function->inlined[inlined].parent)
		scopes[count++] = function->inlined[inlined].die;
	if (function && count < scopes_max)
		scopes[count++] = function->die;
	return count;
}

/* ---- units ----------------------------------------------------------------------------------- */

static void index_segments(struct image_dwarf *dwarf, Elf *elf)
{
	size_t count;
	GElf_Phdr segment;
	if (elf_getphdrnum(elf, &count) != 0)
		return;
	for (size_t i = 0; i < count && i < INT32_MAX && dwarf->segment_count < SEGMENTS_MAX; i++)
		if (gelf_getphdr(elf, (int)i, &segment) && segment.p_type == PT_LOAD &&
		    (segment.p_flags & PF_X))
			dwarf->segments[dwarf->segment_count++] =
				(struct segment){segment.p_vaddr, segment.p_vaddr + segment.p_memsz};
}

struct image_dwarf *image_dwarf_open(Dwarf *libdw, Elf *elf, struct image_names *names)
{
	struct image_dwarf *dwarf = calloc(1, sizeof(*dwarf));
	if (!dwarf)
		return NULL;
	dwarf->names = names;
	index_segments(dwarf, elf);
	Dwarf_CU *cu = NULL;
	Dwarf_Die die, split_die;
	uint8_t type;
	while (dwarf_get_units(libdw, cu, &cu, NULL, &type, &die, &split_die) == 0) {
		if (type != DW_UT_compile && type != DW_UT_skeleton)
			continue;
		if (!reserve((void **)&dwarf->units, dwarf->unit_count, &dwarf->unit_capacity,
			     sizeof(*dwarf->units)))
			break;
		if (!add_ranges(dwarf, &dwarf->ranges, &die, 0, dwarf->unit_count))
			continue;
		bool is_split = type == DW_UT_skeleton && dwarf_tag(&split_die) == DW_TAG_compile_unit;
		dwarf->units[dwarf->unit_count++] = (struct unit){.lines_die = die,
								  .die = is_split ? split_die : die};
	}
	if (range_map_seal(&dwarf->ranges) < 0 || dwarf->unit_count == 0) {
		image_dwarf_close(dwarf);
		return NULL;
	}
	return dwarf;
}

void image_dwarf_close(struct image_dwarf *dwarf)
{
	if (!dwarf)
		return;
	for (uint32_t i = 0; i < dwarf->unit_count; i++)
		free_functions(&dwarf->units[i]);
	free(dwarf->units);
	range_map_fini(&dwarf->ranges);
	free(dwarf);
}
