/* SPDX-License-Identifier: MIT */
/*
 * Resolution as by dlsym(RTLD_NEXT) (next_symbol.h), once, at the first call of anything.
 * dlsym itself may allocate; that is served by the bootstrap arena.
 *
 * Context: init, except the bootstrap versions of the allocation functions, which run
 * wherever the program first allocates.
 */
#include "real.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "bootstrap.h"
#include "cprof_atomic.h"
#include "cprof_compiler.h"
#include "next_symbol.h"
#include "sys.h"

#pragma weak dladdr1 /* as those in load.c: only programs of glibc get as far as its calls */

enum { UNRESOLVED, RESOLVING, RESOLVED };
static atomic_u32 progress;

static void *boot_malloc(size_t size)
{
	return real_resolve() ? real.malloc(size) : bootstrap_alloc(1, size);
}

static void boot_free(void *block)
{
	if (!bootstrap_owns(block) && real_resolve())
		real.free(block);
}

static void *boot_calloc(size_t count, size_t size)
{
	size_t bytes;
	if (real_resolve())
		return real.calloc(count, size);
	return __builtin_mul_overflow(count, size, &bytes) ? NULL : bootstrap_alloc(1, bytes);
}

static void *boot_realloc(void *block, size_t size)
{
	if (real_resolve())
		return real.realloc(block, size);
	char *moved = bootstrap_alloc(1, size);
	size_t old_size = block ? bootstrap_size(block) : 0;
	for (size_t i = 0; moved && i < size && i < old_size; i++)
		moved[i] = ((const char *)block)[i];
	return moved;
}

static int boot_posix_memalign(void **out_block, size_t alignment, size_t size)
{
	if (real_resolve())
		return real.posix_memalign(out_block, alignment, size);
	*out_block = bootstrap_alloc(alignment, size);
	return *out_block ? 0 : ENOMEM;
}

static void *boot_aligned_alloc(size_t alignment, size_t size)
{
	return real_resolve() ? real.aligned_alloc(alignment, size) : bootstrap_alloc(alignment, size);
}

static void *boot_memalign(size_t alignment, size_t size)
{
	return real_resolve() ? real.memalign(alignment, size) : bootstrap_alloc(alignment, size);
}

static void *boot_valloc(size_t size)
{
	return real_resolve() ? real.valloc(size) : bootstrap_alloc(4096, size);
}

static void *boot_pvalloc(size_t size)
{
	return real_resolve() ? real.pvalloc(size) : bootstrap_alloc(4096, (size + 4095) & ~4095UL);
}

/*
 * A lock taken inside the resolution, by an allocator in front of us whose function is
 * not resolved yet, is not taken: there is one thread so far.
 */
#define BOOT(type, name, parameters, arguments, missing) \
	static type boot_##name parameters               \
	{                                                \
		real_resolve();                          \
		if (real.name == boot_##name)            \
			real_resolve_optional();         \
		if (real.name != boot_##name)            \
			return real.name arguments;      \
		errno = ENOSYS;                          \
		return missing;                          \
	}
REAL_WAIT_FUNCTIONS(BOOT)
REAL_COND_FUNCTIONS(BOOT)
REAL_LATE_WAIT_FUNCTIONS(BOOT)
#define BOOT_CALL(type, name, parameters, arguments, ...) BOOT(type, name, parameters, arguments, (type)-1)
CALL_LIST(BOOT_CALL)
CALL_LIST_LATE(BOOT_CALL)
#undef BOOT_CALL
#undef BOOT

static int boot_clock_gettime(clockid_t clock, struct timespec *out_now)
{
	return (int)sys_call2(SYS_clock_gettime, clock, (long)out_now);
}

/* Until somebody resolves; afterwards only what is still missing is called through these. */
#define BOOT(type, name, parameters, ...) .name = boot_##name,
FRONT_TABLE struct real real = {.clock_gettime = boot_clock_gettime,
				REAL_MALLOC_FUNCTIONS(BOOT) REAL_WAIT_FUNCTIONS(BOOT)
					REAL_COND_FUNCTIONS(BOOT) REAL_LATE_WAIT_FUNCTIONS(BOOT)
						CALL_LIST(BOOT) CALL_LIST_LATE(BOOT)};
#undef BOOT

static void *object_of(const void *function)
{
	Dl_info info;
	return function && dladdr(function, &info) ? info.dli_fbase : NULL;
}

void *real_find_program_s(const char *name, const void *beside)
{
	int saved_errno = errno;
	void *found = dlsym(RTLD_DEFAULT, name);
	if (beside && object_of(found) != object_of(beside))
		found = NULL;
	errno = saved_errno;
	return found;
}

/* operator new counts for itself if it and malloc come from one object: it then does not call malloc. */
void real_judge_cxx(void)
{
	/* In this order: programs in C have none, and dladdr() looks at all symbols of libc. */
	void *definer = object_of((const void *)(uintptr_t)real._Znwm);
	real.cxx_counts = definer && definer == object_of((const void *)(uintptr_t)real.malloc);
}

/* Where the executable is loaded. */
static void *main_base(void)
{
	Dl_info info;
	return dladdr((const void *)getauxval(AT_ENTRY), &info) ? info.dli_fbase : NULL;
}

/* A function that is missing from this libc keeps what it has: bootstrap version or NULL. */
#define RESOLVE_BY(look_up, type, name, parameters)                                             \
	do {                                                                                    \
		type(*next) parameters = (type(*) parameters)(uintptr_t)look_up(&scope, #name); \
		if (next)                                                                       \
			real.name = next;                                                       \
	} while (0);
#define RESOLVE(type, name, parameters, ...) RESOLVE_BY(next_symbol, type, name, parameters)
#define RESOLVE_DEFAULT(type, name, parameters, ...) RESOLVE_BY(next_symbol_default, type, name, parameters)

/*
 * What every libc has.  A look-up that fails allocates its error text, and whoever got
 * us here may be an allocator in front of us that holds its lock.
 */
bool real_resolve(void)
{
	uint32_t expected = load_acquire(&progress); /* pairs with the release below */
	if (likely(expected == RESOLVED))
		return true;
	if (expected != UNRESOLVED || !cas_acq_rel(&progress, &expected, (uint32_t)RESOLVING))
		return false;
	int saved_errno = errno;
	struct next_scope scope;
	next_scope_open(&scope, next_own_object());
	REAL_WAIT_FUNCTIONS(RESOLVE) /* first: whatever is called in between may lock */
	REAL_COND_FUNCTIONS(RESOLVE_DEFAULT)
	CALL_LIST(RESOLVE) /* likewise */
	REAL_SYSTEM_FUNCTIONS(RESOLVE)
	real.syscall = (long (*)(long, long, long, long, long, long, long))(uintptr_t)next_symbol(&scope,
												  "syscall");
	REAL_MALLOC_FUNCTIONS(RESOLVE)
	errno = saved_errno;
	store_release(&progress, (uint32_t)RESOLVED); /* after the pointers */
	return true;
}

void real_resolve_optional(void)
{
	static atomic_u32 was_done;
	uint32_t no = 0;
	if (!cas_acq_rel(&was_done, &no, UINT32_C(1)))
		return;
	int saved_errno = errno;
	struct next_scope scope;
	next_scope_open(&scope, next_own_object());
	REAL_CXX_NEW_FUNCTIONS(RESOLVE)
	REAL_CXX_DELETE_FUNCTIONS(RESOLVE)
	REAL_OPTIONAL_FUNCTIONS(RESOLVE)
	REAL_LATE_WAIT_FUNCTIONS(RESOLVE)
	CALL_LIST_LATE(RESOLVE)
	void *clock_gettime_of_libc = next_symbol_of_libc(&scope, "clock_gettime");
	if (clock_gettime_of_libc)
		real.clock_gettime = (int (*)(clockid_t, struct timespec *))(uintptr_t)clock_gettime_of_libc;
	if (next_symbol_of_libc(&scope, "pthread_cond_wait") == (void *)(uintptr_t)real.pthread_cond_wait &&
	    next_symbol_of_libc(&scope, "sem_wait") == (void *)(uintptr_t)real.sem_wait)
		real.pthread_cond_init = (int (*)(pthread_cond_t *, const pthread_condattr_t *))(
			uintptr_t)next_symbol_of_libc(&scope, "pthread_cond_init");
	real_judge_cxx();
	errno = saved_errno;
}
#undef RESOLVE
#undef RESOLVE_DEFAULT
#undef RESOLVE_BY

void real_find_cxx(const void *caller)
{
	static const char *const names[] = {
#define NAME(type, name, parameters) #name,
		REAL_CXX_NEW_FUNCTIONS(NAME) REAL_CXX_DELETE_FUNCTIONS(NAME)
#undef NAME
	};
	_Static_assert(offsetof(struct real, reallocarray) - offsetof(struct real, _Znwm) == sizeof names,
		       "the C++ functions are one run of pointers");
	real_resolve_optional();
	if (real._Znwm)
		return;
	int saved_errno = errno;
	Dl_info info;
	void *library = NULL;
	if (caller && dladdr(caller, &info) && info.dli_fname)
		library = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
	if (!library)
		library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
	if (library) {
		void **next = (void **)(void *)&real._Znwm;
		for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
			if (!next[i])
				next[i] = dlsym(library, names[i]);
		/* What we call into from now on must stay loaded; what only led us there must not. */
		if (real._Znwm && dladdr((const void *)(uintptr_t)real._Znwm, &info) && info.dli_fname)
			(void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
		(void)real.dlclose(library);
	}
	real_judge_cxx();
	errno = saved_errno;
}

/* The object, after the executable and before us, that defines `name`, if any; and the definition. */
static void *definition_in_front(const char *name, struct link_map **out_object)
{
	Dl_info info;
	struct link_map *ours = NULL;
	if (!dladdr1(&real, &info, (void **)&ours, RTLD_DL_LINKMAP))
		return NULL;
	struct link_map *object = ours;
	while (object->l_prev)
		object = object->l_prev;
	/* Preloaded objects follow the executable in the order of LD_PRELOAD. */
	for (object = object->l_next; object && object != ours; object = object->l_next) {
		struct link_map *definer = NULL;
		void *library = object->l_name[0] ? dlopen(object->l_name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
		void *found = library ? dlsym(library, name) : NULL;
		bool is_here = found && dladdr1(found, &info, (void **)&definer, RTLD_DL_LINKMAP) &&
			       definer == object;
		if (library)
			(void)real.dlclose(library);
		if (is_here) {
			*out_object = object;
			return found;
		}
	}
	return NULL;
}

enum real_first real_first_malloc(void **out_definition, struct link_map **out_object)
{
	if (!next_may_be_in_front(next_own_object(), "malloc"))
		return REAL_FIRST_OURS;
	int saved_errno = errno;
	enum real_first first = REAL_FIRST_OURS;
	Dl_info info;
	const ElfW(Sym) *symbol = NULL;
	void *found = dlsym(RTLD_DEFAULT, "malloc");
	/*
	 * An executable that is not position independent and takes malloc's address has an
	 * undefined symbol with a value, its PLT entry, which is found first but defines nothing.
	 */
	bool is_in_main = found && dladdr1(found, &info, (void **)&symbol, RTLD_DL_SYMENT) &&
			  info.dli_fbase == main_base();
	if (is_in_main && symbol && symbol->st_shndx != SHN_UNDEF)
		first = REAL_FIRST_EXECUTABLE;
	else if ((*out_definition = definition_in_front("malloc", out_object)))
		first = REAL_FIRST_LIBRARY;
	errno = saved_errno;
	return first;
}
