/* SPDX-License-Identifier: MIT */
/*
 * The order of the start, which the constructor, or whoever allocates first, goes
 * through once for each process image:
 *
 *   resolve the next functions - read the variables - shall this process be profiled?
 *   - the page that fork wipes - the segment - the collector, and registration -
 *   environment - signals - exit hooks - RECORDING - this thread's slot and timer
 *
 * Whatever fails ends in OFF: the program runs as if cprof were not there.
 *
 * Context: init.
 */
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config.h"
#include "contention.h"
#include "control.h"
#include "cprof_compiler.h"
#include "environment.h"
#include "interpose_malloc.h"
#include "interpose_thread.h"
#include "launch.h"
#include "modules.h"
#include "next_symbol.h"
#include "process.h"
#include "real.h"
#include "rebind.h"
#include "segment.h"
#include "segment_file.h"
#include "session.h"
#include "signals.h"
#include "sys.h"
#include "text.h"
#include "thread.h"
#include "trace.h"
#include "wait_counts.h"

#define PAGE_BYTES UINT64_C(4096)
/* Nothing else is mapped this close below the main thread's stack, whatever RLIMIT_STACK says. */
#define MAIN_STACK_BYTES_MAX (UINT64_C(64) << 20)
#define MAIN_STACK_BYTES_DEFAULT (UINT64_C(8) << 20)

/* Registration with libc's exit lists, in front of everything the program registers. */
int __cxa_atexit(void (*function)(void *), void *argument, void *object);
int __cxa_at_quick_exit(void (*function)(void *), void *object);

/* Programs of another libc (musl) load us too, and must run: they have not all that we name. */
#pragma weak __cxa_at_quick_exit
#pragma weak gnu_get_libc_version

/* Of this object, given by the linker. */
extern char __bss_start[] __attribute__((visibility("hidden"))), _end[] __attribute__((visibility("hidden")));

/* Where the page ends that the byte before this address lies in. */
static uint64_t page_end(uint64_t address)
{
	return (address + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/*
 * The tables of this object are large and touched here and there.  Where huge pages are the rule,
 * one such touch would take two megabytes of memory and the time to zero them.
 */
static void refuse_huge_pages(void)
{
	uint64_t begin = page_end((uint64_t)(uintptr_t)__bss_start);
	uint64_t end = page_end((uint64_t)(uintptr_t)_end);
	if (begin < end)
		(void)sys_call3(SYS_madvise, (long)begin, (long)(end - begin), MADV_NOHUGEPAGE);
}

static bool is_wanted(void)
{
	const char *name = segment_file_program_name();
	if (config.session && !config.follow && session.root_pid != (uint32_t)sys_call0(SYS_getpid))
		return false;
	return (!config.match || config_glob_matches(config.match, name)) &&
	       (!config.skip || !config_glob_matches(config.skip, name));
}

static void measure_main_stack(void)
{
	/* The executed file's name lies at the upper end of the main thread's stack. */
	uint64_t high = page_end(getauxval(AT_EXECFN));
	uint64_t bytes = MAIN_STACK_BYTES_DEFAULT;
	struct rlimit limit;
	if (sys_call4(SYS_prlimit64, 0, RLIMIT_STACK, 0, (long)&limit) == 0)
		bytes = limit.rlim_cur < MAIN_STACK_BYTES_MAX ? limit.rlim_cur : MAIN_STACK_BYTES_MAX;
	if (high > bytes)
		thread_main_bounds = (struct unwind_bounds){.low = high - bytes, .high = high};
}

/* A word that a forked child finds zeroed.  NULL where the kernel cannot (before 4.14). */
static atomic_u32 *map_wiped_word(void)
{
	long page = sys_call6(SYS_mmap, 0, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);
	if (sys_is_error(page))
		return NULL;
	if (sys_call3(SYS_madvise, page, PAGE_BYTES, MADV_WIPEONFORK) != 0) {
		(void)sys_call2(SYS_munmap, page, PAGE_BYTES);
		return NULL;
	}
	return (atomic_u32 *)page;
}

/* Now or later a collector may have to be started. */
static void prepare_launch(void)
{
	char library[CPROF_PATH_BYTES];
	const struct link_map *ours = next_own_object();
	Dl_info info = {.dli_fname = ours ? ours->l_name : NULL};
	struct text path;
	text_init(&path, library, sizeof library);
	if (ours || (dladdr(&segment, &info) && info.dli_fname)) {
		if (info.dli_fname[0] != '/' &&
		    !sys_is_error(sys_call2(SYS_getcwd, (long)library, (long)sizeof library))) {
			while (library[path.length])
				path.length++;
			text_add(&path, "/");
		}
		text_add(&path, info.dli_fname);
	}
	launch_prepare(library, environ);
}

/* Joins the tree that the environment names.  False: its collector is gone. */
static bool join_tree(uint32_t pid)
{
	if (config.segment == CONFIG_SEGMENT_FILE ||
	    (session.root_pid == 1 && config.segment == CONFIG_SEGMENT_AUTO))
		segment_file_choose();
	int fd = segment_create(pid);
	if (fd < 0)
		return false;
	bool is_first = pid == session.root_pid;
	control_fill(pid, is_first, control_clock_ns(CLOCK_PROCESS_CPUTIME_ID) | 1);
	int error = session_register(fd, pid, is_first, SESSION_FIRST_TIME);
	process_set_registered(pid, is_first, error == 0);
	(void)sys_call1(SYS_close, fd);
	if (error)
		segment_file_discard();
	return error == 0;
}

/* Begins a tree: this process starts the collector, or records into a file without one. */
static bool begin_tree(uint32_t pid)
{
	char collector[CPROF_PATH_BYTES];
	session_create(pid);
	bool can_collect = launch_find_collector(collector, sizeof collector);
	/* Without a collector nobody else holds the segment: it must be a file, whatever was asked for. */
	if (!can_collect || config.segment == CONFIG_SEGMENT_FILE ||
	    (pid == 1 && config.segment == CONFIG_SEGMENT_AUTO))
		segment_file_choose();
	int fd = segment_create(pid);
	if (fd < 0) {
		LOG(LOG_ERROR, "no memory for the profiles can be had (CPROF_OUT=", config.out_dir,
		    "): ", log_error_text(fd), "; the program runs without profiling");
		return false;
	}
	control_fill(pid, true, control_clock_ns(CLOCK_PROCESS_CPUTIME_ID) | 1);
	int error = 0;
	if (can_collect) {
		int listen_fd = session_listen();
		error = listen_fd < 0 ? listen_fd : launch_collector(collector, listen_fd);
		if (!error)
			error = session_register(fd, pid, true, SESSION_FIRST_TIME);
		if (listen_fd >= 0)
			(void)sys_call1(SYS_close, listen_fd);
	}
	(void)sys_call1(SYS_close, fd);
	process_set_registered(pid, true, can_collect && !error);
	/* In a tree without a collector each process begins a tree of its own; one line is enough. */
	if (!can_collect) {
		char path[CPROF_PATH_BYTES + 128];
		segment_file_path(pid, path, sizeof path);
		LOG(config.session ? LOG_INFO : LOG_ERROR, "there is no collector at ", collector,
		    "; the data stay in ", path, ", see `cprof recover`");
	} else if (error) {
		LOG(LOG_ERROR, "the collector ", collector, " cannot be started: ", log_error_text(error));
	}
	return true;
}

/* The first process of a tree says once what its descendants will find too. */
static void warn_of_small_window(void)
{
	uint64_t bytes = (uint64_t)segment_control()->trace_chunk_count * CPROF_TRACE_CHUNK_BYTES;
	char number[24];
	struct text text;
	if (!(config.trace & CPROF_TRACE_FLIGHT) || bytes + CPROF_TRACE_CHUNK_BYTES > config.flight_bytes)
		return;
	text_init(&text, number, sizeof number);
	text_add_u64(&text, bytes >> 10);
	LOG(config.flight_bytes_is_set ? LOG_WARN : LOG_INFO,
	    "the segment (CPROF_MEM) has room for a flight recorder of ", number,
	    "K: CPROF_FLIGHT_BYTES is cut to that");
}

static void on_exit_hook(void *unused)
{
	(void)unused;
	process_finish();
}

static void on_quick_exit_hook(void *unused)
{
	(void)unused;
	process_finish();
}

/* All of it. Returns the word that the process's state lives in from now on, or NULL: cprof stays off. */
static atomic_u32 *load(void)
{
	real_resolve_optional();
	/* Not in a program that runs with rights of its own: its user must not choose where it writes. */
	if (getauxval(AT_SECURE))
		return NULL;
	config_read(environ);
	bool has_session = config.session && session_parse(config.session);
	if (!has_session)
		config.session = NULL;
	if (!is_wanted() || !config_has_profiles())
		return NULL;
	if (!gnu_get_libc_version || !next_executable_has_libraries(next_own_object())) {
		LOG(LOG_INFO, "the program does not use glibc; it runs without profiling");
		return NULL;
	}
	refuse_huge_pages();
	heap_set_first(rebind_malloc());
	measure_main_stack();
	modules_init();
	wait_counts_learn();
	atomic_u32 *word = map_wiped_word();
	if (!word) {
		LOG(LOG_ERROR,
		    "the kernel has no MADV_WIPEONFORK (Linux 4.14); the program runs without profiling");
		return NULL;
	}
	prepare_launch();
	uint32_t pid = (uint32_t)sys_call0(SYS_getpid);
	if (!(has_session && join_tree(pid))) {
		if (!begin_tree(pid))
			return NULL;
		char entry[160];
		session_format(entry, sizeof entry);
		environment_publish(entry);
		warn_of_small_window();
	}
	interpose_thread_load();
	signals_load();
	/*
	 * Registered without an object: such handlers run in the order of registration
	 * reversed, and ours came before the dynamic linker's own, so it runs last.
	 */
	(void)__cxa_atexit(on_exit_hook, NULL, NULL);
	(void)__cxa_at_quick_exit(on_quick_exit_hook, NULL);
	return word;
}

void process_load(void)
{
	static atomic_u32 was_loaded;
	uint32_t no = 0;
	/* Inside the resolution, or before libc's own start (no environment): somebody calls again. */
	if (!real_resolve() || !environ || !cas_acq_rel(&was_loaded, &no, UINT32_C(1)))
		return;
	int saved_errno = errno;
	store_relaxed(process_word, (uint32_t)PROCESS_STARTING); /* what load() itself does is not recorded */
	atomic_u32 *word = load();
	if (word) {
		segment_count(CPROF_EARLY_ALLOCATIONS, load_relaxed(&process_early_allocations));
		store_relaxed(word, (uint32_t)PROCESS_RECORDING); /* published with the pointer */
		fence_signal();
		process_word = word;
		contention_follow_segment();
		trace_follow_segment();
		struct guard guard;
		if (guard_enter(&guard)) /* this thread's slot and timer */
			guard_leave(&guard);
		interpose_thread_watch_end();
	} else {
		store_relaxed(process_word, (uint32_t)PROCESS_OFF); /* for good */
	}
	errno = saved_errno;
}

#ifndef CPROF_TEST /* a unit test links this room without being profiled by it */
__attribute__((constructor)) static void on_load(void)
{
	process_load();
}
#endif
