/* SPDX-License-Identifier: MIT */
/*
 * Two changes, for the names of our allocation functions only: the slots of all loaded
 * objects that were bound to the other allocator are bound to us, and the other
 * allocator's symbol table names our functions, so that whatever is bound later finds
 * us.  The allocator's own calls stay its own.
 *
 * Context: init.
 */
#include "rebind.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "cprof_compiler.h"
#include "interpose_malloc.h"
#include "real.h"
#include "sys.h"

#pragma weak dladdr1 /* as those in load.c: only programs of glibc get as far as its calls */

#define PAGE_BYTES UINT64_C(4096)

struct binding {
	const char *name;
	void *ours;
	void **next; /* in `real` */
};

#define BINDING(type, function, parameters)               \
	{.name = #function,                               \
	 .ours = (void *)(uintptr_t)INTERPOSED(function), \
	 .next = (void **)(void *)&real.function},
static const struct binding bindings[] = {REAL_MALLOC_FUNCTIONS(BINDING) REAL_CXX_NEW_FUNCTIONS(
	BINDING) REAL_CXX_DELETE_FUNCTIONS(BINDING) REAL_OPTIONAL_FUNCTIONS(BINDING)};
#undef BINDING

/* The parts of an object's dynamic section that are needed here; run-time addresses. */
struct dynamic {
	const ElfW(Sym) *symbols;
	const char *strings;
	const ElfW(Rela) *relocations[2];
	size_t relocation_count[2];
};

static struct dynamic read_dynamic(const struct link_map *object)
{
	struct dynamic d = {0};
	for (const ElfW(Dyn) *entry = object->l_ld; entry->d_tag != DT_NULL; entry++) {
		/* The dynamic linker has made addresses of these, except in the vdso. */
		const void *address = (const void *)entry->d_un.d_ptr;
		switch (entry->d_tag) {
		case DT_SYMTAB:
			d.symbols = address;
			break;
		case DT_STRTAB:
			d.strings = address;
			break;
		case DT_RELA:
			d.relocations[0] = address;
			break;
		case DT_RELASZ:
			d.relocation_count[0] = entry->d_un.d_val / sizeof(ElfW(Rela));
			break;
		case DT_JMPREL:
			d.relocations[1] = address;
			break;
		case DT_PLTRELSZ:
			d.relocation_count[1] = entry->d_un.d_val / sizeof(ElfW(Rela));
			break;
		default:
			break;
		}
	}
	return d;
}

static const struct binding *binding_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LENGTH(bindings); i++)
		if (strcmp(bindings[i].name, name) == 0)
			return &bindings[i];
	return NULL;
}

/* A word of an object, and how the dynamic linker has left its page: PROT_*, 0 if it is in no segment. */
struct word {
	const struct link_map *object;
	uint64_t address;
	int protection;
};

static int find_protection(struct dl_phdr_info *info, size_t size, void *argument)
{
	(void)size;
	struct word *word = argument;
	bool is_relro = false;
	if (info->dlpi_addr != word->object->l_addr)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + header->p_vaddr;
		uint64_t end = start + header->p_memsz;
		if (header->p_type == PT_LOAD && word->address >= start && word->address < end)
			word->protection = PROT_READ | (header->p_flags & PF_W ? PROT_WRITE : 0) |
					   (header->p_flags & PF_X ? PROT_EXEC : 0);
		/* The dynamic linker protects whole pages only, from the first to the last full one. */
		else if (header->p_type == PT_GNU_RELRO && word->address >= (start & ~(PAGE_BYTES - 1)) &&
			 word->address < (end & ~(PAGE_BYTES - 1)))
			is_relro = true;
	}
	if (is_relro)
		word->protection = PROT_READ;
	return 1;
}

/* Code may lie in the same page, and run: it stays executable all the time. */
static void write_word(const struct link_map *object, void *address, uint64_t value)
{
	long page = (long)((uintptr_t)address & ~(PAGE_BYTES - 1));
	struct word word = {.object = object, .address = (uint64_t)(uintptr_t)address};
	(void)dl_iterate_phdr(find_protection, &word);
	bool is_writable = word.protection & PROT_WRITE;
	if (!word.protection ||
	    (!is_writable && sys_call3(SYS_mprotect, page, PAGE_BYTES, word.protection | PROT_WRITE) != 0))
		return;
	*(volatile uint64_t *)address = value;
	if (!is_writable)
		(void)sys_call3(SYS_mprotect, page, PAGE_BYTES, word.protection);
}

static void rebind_object(const struct link_map *object)
{
	struct dynamic d = read_dynamic(object);
	if (!d.symbols || !d.strings || (uintptr_t)d.symbols < PAGE_BYTES)
		return;
	for (int table = 0; table < 2; table++)
		for (size_t i = 0; d.relocations[table] && i < d.relocation_count[table]; i++) {
			const ElfW(Rela) *relocation = &d.relocations[table][i];
			uint32_t type = (uint32_t)ELF64_R_TYPE(relocation->r_info);
			uint32_t symbol = (uint32_t)ELF64_R_SYM(relocation->r_info);
			if (symbol == 0 ||
			    (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64))
				continue;
			const struct binding *binding = binding_of(d.strings + d.symbols[symbol].st_name);
			void **slot = (void **)(object->l_addr + relocation->r_offset);
			if (binding && *slot != binding->ours)
				write_word(object, slot, (uint64_t)(uintptr_t)binding->ours);
		}
}

/* What is bound from now on finds our functions under the allocator's names. */
static void rename_symbols(const struct link_map *allocator)
{
	struct dynamic d = read_dynamic(allocator);
	for (size_t i = 0; d.strings && i < ARRAY_LENGTH(bindings); i++) {
		Dl_info info;
		const ElfW(Sym) *symbol = NULL;
		if (*bindings[i].next &&
		    dladdr1(*bindings[i].next, &info, (void **)&symbol, RTLD_DL_SYMENT) &&
		    info.dli_fbase == (void *)allocator->l_addr && symbol &&
		    strcmp(d.strings + symbol->st_name, bindings[i].name) == 0)
			write_word(allocator, (void *)(uintptr_t)&symbol->st_value,
				   (uint64_t)(uintptr_t)bindings[i].ours - allocator->l_addr);
	}
}

/*
 * Whether the malloc in front of us hands calls on to us, as tracers of malloc do: it is
 * no allocator, and taken for one it would call us for ever.  Asked with a small block
 * and one that no pool will hold.
 */
static bool hands_on(const struct link_map *allocator, void *malloc_in_front)
{
	static const size_t sizes[] = {64, (size_t)1 << 20};
	void *(*their_malloc)(size_t) = (void *(*)(size_t))(uintptr_t)malloc_in_front;
	void *library = dlopen(allocator->l_name, RTLD_LAZY | RTLD_NOLOAD);
	void (*their_free)(void *) = (void (*)(void *))(uintptr_t)(library ? dlsym(library, "free") : NULL);
	bool was_heard = false;
	for (size_t i = 0; their_free && i < ARRAY_LENGTH(sizes) && !was_heard; i++) {
		uint64_t countdown;
		if (!heap_probe_begin(&countdown))
			break;
		void *block = their_malloc(sizes[i]);
		was_heard = heap_probe_has_noted();
		(void)heap_probe_end(block, countdown);
		their_free(block);
	}
	if (library)
		(void)real.dlclose(library);
	return was_heard;
}

bool rebind_malloc(void)
{
	int saved_errno = errno;
	Dl_info info;
	struct link_map *ours = NULL;
	struct link_map *allocator = NULL;
	void *first;
	enum real_first whose = real_first_malloc(&first, &allocator);
	if (whose != REAL_FIRST_LIBRARY || !dladdr1(&bindings, &info, (void **)&ours, RTLD_DL_LINKMAP) ||
	    !ours)
		return whose == REAL_FIRST_OURS;
	if (hands_on(allocator, first)) {
		errno = saved_errno;
		return true;
	}
	/* Its functions become the real ones: RTLD_NEXT gave those behind us. */
	void *library = dlopen(allocator->l_name, RTLD_LAZY | RTLD_NOLOAD);
	for (size_t i = 0; library && i < ARRAY_LENGTH(bindings); i++) {
		struct link_map *definer = NULL;
		void *theirs = dlsym(library, bindings[i].name);
		if (theirs && dladdr1(theirs, &info, (void **)&definer, RTLD_DL_LINKMAP) &&
		    definer == allocator)
			*bindings[i].next = theirs;
	}
	real_judge_cxx();
	rename_symbols(allocator);
	const struct link_map *object = ours;
	while (object->l_prev)
		object = object->l_prev;
	for (; object; object = object->l_next) {
		bool is_loader = object->l_name && strstr(object->l_name, "/ld-linux") != NULL;
		if (object != ours && object != allocator && !is_loader && object->l_ld)
			rebind_object(object);
	}
	errno = saved_errno;
	return true;
}
