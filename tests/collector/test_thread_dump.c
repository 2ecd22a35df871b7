/* SPDX-License-Identifier: MIT */
/*
 * Dumps of processes whose stacks are known by construction: the same three functions
 * around every kind of wait, seen by each of the ways to see them.
 *
 * Context: tests.  Children end with their test.
 */
#include "thread_dump.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "dump_modules.h"
#include "fake_segment.h"
#include "watched_child.h"

#define NOINLINE __attribute__((noinline, noclone))
/* The caller's registers are only found by its rules if it has a frame pointer. */
#define FRAMED __attribute__((optimize("no-omit-frame-pointer")))
/* Code behind a call, so that it is one. */
#define STAY() __asm__ volatile("" ::: "memory")

/* How our sleepers are seen; with a sanitizer they are full of frame pointers (and its own frames). */
#ifdef __SANITIZE_ADDRESS__
#define HOW_READ NULL
#else
#define HOW_READ "read without stopping"
#endif

/* Shared with the children. */
static struct shared {
	atomic_u32 turns;
	atomic_u32 futex;
	uint64_t pc, sp, fp;
} * shared;

static void begin(void)
{
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(shared != MAP_FAILED);
}

TestSuite(thread_dump, .init = begin, .fini = child_end, .timeout = 60);

/* ---- stacks -------------------------------------------------------------------------------- */

static NOINLINE void in_poll(void)
{
	poll(NULL, 0, -1);
	STAY();
}

static NOINLINE void in_spin(void)
{
	for (;;)
		add_relaxed(&shared->turns, 1);
}

static NOINLINE FRAMED void in_published(void)
{
	const uint64_t *frame = __builtin_frame_address(0);
	shared->fp = frame[0];
	shared->pc = frame[1];
	shared->sp = (uint64_t)(uintptr_t)(frame + 2);
	syscall(SYS_futex, &shared->futex, FUTEX_WAIT, 0, NULL, NULL, 0);
	STAY();
}

static NOINLINE void in_signal(int number)
{
	(void)number;
	in_poll();
	STAY();
}

static NOINLINE void interrupted(void)
{
	signal(SIGUSR1, in_signal);
	raise(SIGUSR1);
	STAY();
}

/* As unoptimised code and code for profilers is: its frame is found by rbp alone. */
static NOINLINE FRAMED void framed(void (*wait)(void))
{
	volatile char room[256];
	room[0] = 1;
	wait();
	STAY();
	room[1] = room[0];
}

static NOINLINE FRAMED void in_framed_pause(void)
{
	pause();
	STAY();
}

static NOINLINE FRAMED void in_framed_epoll(void)
{
	struct epoll_event event;
	(void)!epoll_wait(epoll_create1(0), &event, 1, -1);
	STAY();
}

static NOINLINE void middle(void (*wait)(void))
{
	wait();
	STAY();
}

static NOINLINE void outer(void (*wait)(void))
{
	middle(wait);
	STAY();
}

/* ---- children ------------------------------------------------------------------------------ */

static void start(void (*run)(void (*)(void)), void (*wait)(void))
{
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(wait);
		_exit(0);
	}
	cr_assert_gt(child, 0);
}

static void start_sleeper(void (*run)(void (*)(void)), void (*wait)(void))
{
	start(run, wait);
	WAIT_FOR(child_state() == 'S');
}

static struct thread_dump take(const struct segment_reader *reader)
{
	struct thread_dump dump;
	struct thread_dump_source source = {
		.peer_pid = child, .pid = (uint32_t)child, .name = "child", .root_fd = -1, .reader = reader};
	cr_assert_eq(thread_dump_take(&source, NULL, NULL, &dump), 0);
	return dump;
}

/* A stack's functions, innermost first, each with a blank behind it. */
static void names_of(const struct thread_dump *dump, size_t sample, char *out_names, size_t capacity)
{
	size_t length = 0;
	out_names[0] = '\0';
	for (uint32_t f = 0; f < dump->samples[sample].frame_count; f++) {
		struct image_line lines[IMAGE_LINES_MAX];
		size_t count = dump_modules_lines(dump->modules, dump->module_count,
						  dump->samples[sample].frames[f], lines);
		length += (size_t)snprintf(out_names + length, length < capacity ? capacity - length : 0,
					   "%s ", count ? lines[count - 1].name : "??");
	}
}

static const char *label_of(const struct thread_dump *dump, size_t sample, const char *key)
{
	const struct profile_sample *s = &dump->samples[sample];
	for (uint32_t i = 0; i < s->label_count; i++)
		if (strcmp(s->labels[i].key, key) == 0)
			return s->labels[i].text;
	return "";
}

/* `how` NULL: not published. */
static void expect_stack(const struct thread_dump *dump, const char *part, const char *how)
{
	char names[4096];
	names_of(dump, 0, names, sizeof names);
	cr_expect(strstr(names, part) != NULL, "'%s' is not in '%s': %s", part, names, dump->comments[0]);
	cr_expect(strstr(names, "main") != NULL, "no main in '%s'", names);
	cr_expect_eq(dump->samples[0].stack_flags, 0, "complete: %s", names);
	if (how)
		cr_expect_str_eq(label_of(dump, 0, "how"), how);
	else
		cr_expect_str_neq(label_of(dump, 0, "how"), "published");
}

Test(thread_dump, reads_a_thread_that_sleeps)
{
	start_sleeper(outer, in_poll);
	struct thread_dump dump = take(NULL);
	cr_assert_eq(dump.sample_count, 1);
	expect_stack(&dump, "in_poll middle outer ", HOW_READ);
	cr_expect_str_eq(label_of(&dump, 0, "wait"), "poll");
	cr_expect_str_eq(label_of(&dump, 0, "state"), "sleeping");
	cr_expect(strstr(dump.text, "[sleeping in poll, ") != NULL, "%s", dump.text);
	cr_expect(strstr(dump.text, "\nmiddle(...)\n\t") != NULL, "%s", dump.text);
	cr_assert_eq(dump.comment_count, 1);
	cr_expect_eq(dump.comments[0][0], '#');
	thread_dump_free(&dump);
}

Test(thread_dump, walks_through_signal_frames)
{
	start_sleeper(middle, interrupted);
	struct thread_dump dump = take(NULL);
	expect_stack(&dump, "in_poll in_signal ", HOW_READ);
	expect_stack(&dump, "interrupted middle ", HOW_READ);
	thread_dump_free(&dump);
}

Test(thread_dump, stops_a_thread_that_runs)
{
	start(outer, in_spin);
	WAIT_FOR(load_relaxed(&shared->turns) > 0);
	struct thread_dump dump = take(NULL);
	expect_stack(&dump, "in_spin middle outer ", "stopped for a moment");
	cr_expect_str_eq(label_of(&dump, 0, "state"), "running");
	uint32_t turns = load_relaxed(&shared->turns);
	WAIT_FOR(load_relaxed(&shared->turns) != turns); /* it goes on */
	thread_dump_free(&dump);
}

/* To the first CPU that there is. */
static void stay_on_one_cpu(void)
{
	cpu_set_t cpus;
	int cpu = 0;
	sched_getaffinity(0, sizeof cpus, &cpus);
	while (!CPU_ISSET(cpu, &cpus))
		cpu++;
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof cpus, &cpus);
}

static void in_spin_on_one_cpu(void)
{
	stay_on_one_cpu();
	in_spin();
	STAY();
}

/* Takes that CPU away from everybody, for a while.  Whether it may. */
static bool hog_one_cpu(int64_t ms)
{
	int ready[2];
	char is_allowed = 0;
	cr_assert_eq(pipe(ready), 0);
	if (fork() == 0) {
		const struct sched_param first = {.sched_priority = 1};
		stay_on_one_cpu();
		is_allowed = sched_setscheduler(0, SCHED_FIFO, &first) == 0;
		int64_t end = clock_monotonic_ms() + ms;
		(void)!write(ready[1], &is_allowed, 1);
		while (is_allowed && clock_monotonic_ms() < end)
			;
		_exit(0);
	}
	cr_assert_eq(read(ready[0], &is_allowed, 1), 1);
	return is_allowed;
}

/* On a busy machine it may have no turn for longer than a dump waits for one of many. */
Test(thread_dump, waits_for_a_thread_that_has_no_turn)
{
	start(outer, in_spin_on_one_cpu);
	WAIT_FOR(load_relaxed(&shared->turns) > 0);
	if (!hog_one_cpu(400))
		cr_skip_test("no real-time priority here");
	struct thread_dump dump = take(NULL);
	expect_stack(&dump, "in_spin ", "stopped for a moment");
	thread_dump_free(&dump);
}

/* pause() saves no registers, and the frames above it need one. */
Test(thread_dump, stops_a_sleeper_where_that_is_harmless)
{
	start_sleeper(framed, in_framed_pause);
	struct thread_dump dump = take(NULL);
	expect_stack(&dump, "in_framed_pause framed ", "stopped for a moment");
	thread_dump_free(&dump);
	WAIT_FOR(child_state() == 'S');
	dump = take(NULL);
	expect_stack(&dump, "in_framed_pause framed ", "stopped for a moment");
	thread_dump_free(&dump);
}

Test(thread_dump, says_that_a_register_is_missing_where_a_stop_would_disturb)
{
	start_sleeper(framed, in_framed_epoll);
	struct thread_dump dump = take(NULL);
	char names[4096];
	names_of(&dump, 0, names, sizeof names);
	cr_expect_str_eq(label_of(&dump, 0, "how"), "read without stopping");
	if (dump.samples[0].stack_flags == CPROF_STACK_BROKEN) {
		cr_expect(strstr(dump.text, "[frames above need a register that is not known]") != NULL);
		cr_expect_eq(dump.comments[0][0], 't', "%s", dump.comments[0]);
		cr_expect(strstr(names, "epoll_wait in_framed_epoll ") != NULL, "%s", names);
	} else {
		/* A libc with frame pointers of its own. */
		cr_expect(strstr(names, "in_framed_epoll framed ") != NULL, "%s", names);
	}
	thread_dump_free(&dump);
}

Test(thread_dump, takes_what_was_published)
{
	struct fake_segment fake;
	struct segment_reader reader;
	fake_segment_create(&fake, UINT64_C(8) << 20);
	start_sleeper(outer, in_published);
	uint32_t slot = fake_thread_start(&fake);
	struct cprof_thread *thread = fake_thread(&fake, slot);
	struct cprof_waiting *waiting = &thread->waiting;
	store_relaxed(&thread->tid, (uint32_t)child);
	store_relaxed(&waiting->what, (uint32_t)CPROF_WAIT_MUTEX);
	store_relaxed(&waiting->object, (uint64_t)(uintptr_t)&shared->futex);
	store_relaxed(&waiting->since_ns, UINT64_C(1));
	store_relaxed(&waiting->function, (uint64_t)(uintptr_t)&in_published);
	store_relaxed(&waiting->pc, shared->pc);
	store_relaxed(&waiting->sp, shared->sp);
	store_relaxed(&waiting->fp, shared->fp);
	cr_assert_eq(segment_reader_open(dup(fake.fd), &reader), 0);
	struct thread_dump dump = take(&reader);
	expect_stack(&dump, "in_published middle outer ", "published");
	cr_expect(strstr(label_of(&dump, 0, "wait"), "mutex 0x") != NULL);
	cr_expect(strstr(dump.text, "[waiting for mutex 0x") != NULL);
	thread_dump_free(&dump);

	/* Odd: it is being written.  Another word: it sleeps somewhere else.  Lower: it was there before. */
	store_relaxed(&waiting->sequence, UINT32_C(1));
	dump = take(&reader);
	expect_stack(&dump, "syscall in_published middle outer ", NULL);
	thread_dump_free(&dump);
	store_relaxed(&waiting->sequence, UINT32_C(2));
	store_relaxed(&waiting->object, (uint64_t)(uintptr_t)&shared->futex + 4);
	dump = take(&reader);
	expect_stack(&dump, "syscall in_published middle outer ", NULL);
	thread_dump_free(&dump);
	store_relaxed(&waiting->object, (uint64_t)(uintptr_t)&shared->futex);
	store_relaxed(&waiting->sp, UINT64_C(4096));
	dump = take(&reader);
	expect_stack(&dump, "syscall in_published middle outer ", NULL);
	thread_dump_free(&dump);
	segment_reader_close(&reader);
	fake_segment_destroy(&fake);
}

Test(thread_dump, believes_nothing_in_a_segment)
{
	struct fake_segment fake;
	struct segment_reader reader;
	fake_segment_create(&fake, UINT64_C(8) << 20);
	start_sleeper(outer, in_published);
	uint32_t slot = fake_thread_start(&fake);
	struct cprof_thread *thread = fake_thread(&fake, slot);
	unsigned seed = 1;
	cr_assert_eq(segment_reader_open(dup(fake.fd), &reader), 0);
	for (int round = 0; round < 30; round++) {
		unsigned char *bytes = (unsigned char *)&thread->waiting;
		for (size_t i = 4; i < sizeof thread->waiting; i++)
			bytes[i] = (unsigned char)rand_r(&seed);
		store_relaxed(&thread->waiting.what, (uint32_t)rand_r(&seed) % CPROF_WAIT_COUNT);
		store_relaxed(&thread->waiting.object, (uint64_t)(uintptr_t)&shared->futex);
		store_relaxed(&thread->waiting.sp, shared->sp + (uint64_t)(rand_r(&seed) % 64));
		store_relaxed(&thread->tid, (uint32_t)child);
		store_relaxed(&thread->created_by, (uint32_t)rand_r(&seed));
		store_relaxed(&fake_control(&fake)->threads_used, UINT32_MAX);
		struct thread_dump dump = take(&reader);
		cr_expect_eq(dump.sample_count, 1);
		thread_dump_free(&dump);
	}
	segment_reader_close(&reader);
	fake_segment_destroy(&fake);
}

/* ---- circles ------------------------------------------------------------------------------- */

static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t second = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t both;

static NOINLINE void lock_again(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	STAY();
}

static NOINLINE void *other_thread(void *unused)
{
	pthread_setname_np(pthread_self(), "other");
	pthread_mutex_lock(&second);
	pthread_barrier_wait(&both);
	lock_again(&first);
	return unused;
}

static NOINLINE void in_deadlock(void)
{
	pthread_t thread;
	pthread_barrier_init(&both, NULL, 2);
	pthread_mutex_lock(&first);
	pthread_create(&thread, NULL, other_thread, NULL);
	pthread_barrier_wait(&both);
	add_relaxed(&shared->turns, 1);
	lock_again(&second);
	STAY();
}

static bool is_deadlocked(void)
{
	struct thread_dump dump = take(NULL);
	bool is = strstr(dump.text, "\ndeadlock: thread ") != NULL;
	thread_dump_free(&dump);
	return is;
}

Test(thread_dump, reports_a_deadlock)
{
	start(outer, in_deadlock);
	WAIT_FOR(is_deadlocked());
	struct thread_dump dump = take(NULL);
	cr_assert_eq(dump.sample_count, 2);
	for (size_t i = 0; i < 2; i++) {
		char names[4096];
		names_of(&dump, i, names, sizeof names);
		cr_expect(strstr(names, "pthread_mutex_lock lock_again ") != NULL, "%s", names);
		cr_expect(strstr(label_of(&dump, i, "wait"), "mutex 0x") != NULL);
	}
	char expected[512];
	snprintf(expected, sizeof expected, "deadlock: thread %d \"", child);
	cr_expect(strstr(dump.text, expected) != NULL, "%s", dump.text);
	cr_expect(strstr(dump.text, "\"other\", which waits for mutex 0x") != NULL, "%s", dump.text);
	thread_dump_free(&dump);
}

/* ---- processes that cannot be read --------------------------------------------------------- */

Test(thread_dump, says_that_a_process_is_gone)
{
	struct thread_dump dump = {.sample_count = 7};
	struct thread_dump_source source = {.peer_pid = INT_MAX, .name = "gone", .root_fd = -1};
	cr_expect_eq(thread_dump_take(&source, NULL, NULL, &dump), -ESRCH);
	source.peer_pid = 0;
	cr_expect_eq(thread_dump_take(&source, NULL, NULL, &dump), -ESRCH);
	cr_expect_eq(dump.sample_count, 7, "untouched");
}

Test(thread_dump, lists_a_process_that_has_ended)
{
	start(outer, in_poll);
	kill(child, SIGKILL);
	siginfo_t info;
	cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
	struct thread_dump dump = take(NULL);
	cr_assert_eq(dump.sample_count, 1);
	cr_expect_eq(dump.samples[0].frame_count, 0);
	cr_expect_str_eq(label_of(&dump, 0, "state"), "ended");
	cr_expect(strstr(dump.comments[0], "the thread has ended") != NULL);
	thread_dump_free(&dump);
}

/* Who dumps is not permitted to trace: names, states and what the kernel tells everybody remain. */
Test(thread_dump, shows_states_without_permission)
{
	if (geteuid() != 0)
		cr_skip_test("only root can become somebody else\n");
	start_sleeper(outer, in_poll);
	cr_assert(!setresgid(65534, 65534, 0) && !setresuid(65534, 65534, 0));
	struct thread_dump dump = take(NULL);
	cr_assert_eq(dump.sample_count, 1);
	cr_expect_eq(dump.samples[0].frame_count, 0);
	cr_expect_str_eq(label_of(&dump, 0, "state"), "sleeping");
	cr_expect(strstr(dump.comments[0], "no stack of 1 of 1 threads: not permitted") != NULL, "%s",
		  dump.comments[0]);
	cr_expect(strstr(dump.text, dump.comments[0]) != NULL);
	thread_dump_free(&dump);
	cr_assert(!setresuid(0, 0, 0)); /* or the child could not be ended */
}

/* What the segment says needs no permission. */
Test(thread_dump, shows_published_waits_without_permission)
{
	struct fake_segment fake;
	struct segment_reader reader;
	struct module_rows rows = {0};
	struct thread_dump dump;
	Dl_info info;
	if (geteuid() != 0)
		cr_skip_test("only root can become somebody else\n");
	fake_segment_create(&fake, UINT64_C(8) << 20);
	start_sleeper(outer, in_published);
	uint32_t slot = fake_thread_start(&fake);
	struct cprof_waiting *waiting = &fake_thread(&fake, slot)->waiting;
	store_relaxed(&fake_thread(&fake, slot)->tid, (uint32_t)child);
	store_relaxed(&waiting->what, (uint32_t)CPROF_WAIT_MUTEX);
	store_relaxed(&waiting->function, (uint64_t)(uintptr_t)&in_published);
	store_relaxed(&waiting->pc, shared->pc);
	cr_assert(dladdr((void *)&in_published, &info));
	fake_module(&fake, 0, "/proc/self/exe", (uint64_t)(uintptr_t)info.dli_fbase);
	/* This program may be larger than what fake modules are: with a sanitizer it is. */
	struct cprof_module *module =
		(struct cprof_module *)(void *)(fake.base + fake.geometry.modules_offset);
	module->image_end = module->text_end = module->bias + (UINT64_C(16) << 20);
	cr_assert_eq(segment_reader_open(dup(fake.fd), &reader), 0);
	cr_assert_eq(module_rows_update(&rows, &reader, -1), 1);
	cr_assert(!setresgid(65534, 65534, 0) && !setresuid(65534, 65534, 0));
	struct thread_dump_source source = {.peer_pid = child,
					    .pid = (uint32_t)child,
					    .name = "child",
					    .root_fd = -1,
					    .reader = &reader,
					    .rows = &rows};
	cr_assert_eq(thread_dump_take(&source, NULL, NULL, &dump), 0);
	char names[4096];
	names_of(&dump, 0, names, sizeof names);
	cr_expect_str_eq(names, "in_published middle ");
	cr_expect_str_eq(label_of(&dump, 0, "how"), "published");
	cr_expect_eq(dump.samples[0].stack_flags, CPROF_STACK_BROKEN);
	cr_expect(strstr(dump.text, "[frames above cannot be read]") != NULL, "%s", dump.text);
	cr_expect(strstr(dump.text, "nothing but the published wait of 1 of 1 threads: not permitted") !=
			  NULL,
		  "%s", dump.text);
	thread_dump_free(&dump);
	cr_assert(!setresuid(0, 0, 0)); /* or the child could not be ended */
	module_rows_free(&rows);
	segment_reader_close(&reader);
	fake_segment_destroy(&fake);
}

Test(thread_dump, leaves_stopped_and_traced_threads_alone)
{
#ifdef __SANITIZE_ADDRESS__
	cr_skip_test("its frames cannot be found without a stop\n");
#endif
	start_sleeper(outer, in_poll);
	kill(child, SIGSTOP);
	siginfo_t info;
	cr_assert_eq(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOWAIT), 0);
	struct thread_dump dump = take(NULL);
	cr_expect_str_eq(label_of(&dump, 0, "state"), "stopped");
	expect_stack(&dump, "in_poll middle outer ", HOW_READ);
	thread_dump_free(&dump);
	cr_expect_eq(child_state(), 'T');
	kill(child, SIGCONT);
	WAIT_FOR(child_state() == 'S');
	cr_assert_eq(ptrace(PTRACE_SEIZE, child, NULL, NULL), 0);
	dump = take(NULL);
	expect_stack(&dump, "in_poll middle outer ", HOW_READ);
	cr_expect(strstr(dump.text, "traced by process") != NULL);
	thread_dump_free(&dump);
}

/* ---- damage -------------------------------------------------------------------------------- */

static int find_table(struct dl_phdr_info *info, size_t size, void *out_table)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_GNU_EH_FRAME)
			*(uintptr_t *)out_table = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
	return 1; /* the program comes first */
}

/* Unwind tables in the child's memory that make no sense: the dump has to end all the same. */
static NOINLINE void in_damaged(void)
{
	uintptr_t table = 0;
	unsigned seed = load_relaxed(&shared->futex);
	dl_iterate_phdr(find_table, &table);
	unsigned char *page = (unsigned char *)(table & ~(uintptr_t)4095);
	if (mprotect(page, 2 * 4096, PROT_READ | PROT_WRITE) == 0)
		/* Behind the header: addresses, lengths, instructions. */
		for (size_t i = 12; i < 4096; i++)
			if (rand_r(&seed) % 8 == 0)
				((unsigned char *)table)[i] = (unsigned char)rand_r(&seed);
	poll(NULL, 0, -1);
	STAY();
}

Test(thread_dump, survives_damaged_unwind_tables)
{
	for (uint32_t seed = 1; seed <= 20; seed++) {
		store_relaxed(&shared->futex, seed);
		start_sleeper(outer, in_damaged);
		struct thread_dump dump = take(NULL);
		cr_expect_eq(dump.sample_count, 1);
		thread_dump_free(&dump);
		child_end();
	}
}
