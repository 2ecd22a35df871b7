/* SPDX-License-Identifier: MIT */
/*
 * Walks whose truth is known by construction, and walks of garbage, of which nothing is
 * claimed but that they do not fault.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch_x86_64.h"
#include "rule_cache.h"
#include "walk_fixture.h"

TestSuite(unwind, .init = walk_fixture_set_up);

static bool has_pc(const struct stack *stack, const void *pc)
{
	for (uint32_t i = 0; i < stack->count; i++)
		if (pc_of(stack->frames[i]) == (uint64_t)(uintptr_t)pc)
			return true;
	return false;
}

static void expect_equal_stacks(const struct stack *a, const struct stack *b)
{
	cr_assert_eq(a->flags, b->flags);
	cr_assert_eq(a->count, b->count);
	cr_assert_eq(memcmp(a->frames, b->frames, a->count * sizeof a->frames[0]), 0);
}

static volatile unsigned long sink;

static struct stack deep_stack;
static const void *return_addresses[200];

static NOINLINE void descend(int depth)
{
	return_addresses[depth] = __builtin_return_address(0);
	if (depth == 0)
		walk_from_here(&bounds, &deep_stack);
	else
		descend(depth - 1);
	sink++;
}

Test(unwind, recursion_is_seen_level_by_level)
{
	descend(50);
	cr_assert_eq(deep_stack.flags, 0);
	for (int i = 0; i <= 50; i++)
		cr_assert_eq(pc_of(deep_stack.frames[i]), (uint64_t)return_addresses[i]);
}

Test(unwind, too_deep_is_truncated_at_any_size_of_the_buffer)
{
	static uint64_t frames[FRAMES_MAX + 1];
	struct unwind_regs regs;
	uint16_t flags;
	descend(150);
	cr_assert_eq(deep_stack.count, FRAMES_MAX);
	cr_assert_eq(deep_stack.flags, CPROF_STACK_TRUNCATED);
	descend(60);
	const struct stack whole = deep_stack;
	cr_assert_eq(whole.flags, 0);
	unwind_regs_of_caller(&regs);
	struct stack here;
	walk(&regs, &bounds, &here);
	for (uint32_t cold = 0; cold < 2; cold++) {
		for (uint32_t room = 0; room <= FRAMES_MAX; room++) {
			frames[room] = 0x77;
			if (cold)
				rule_cache_clear();
			uint32_t count = unwind_walk(&regs, cold ? &no_bounds : &bounds, frames, room,
						     &flags);
			cr_assert_eq(count, room < here.count ? room : here.count);
			cr_assert_eq(flags, room < here.count ? CPROF_STACK_TRUNCATED : 0);
			cr_assert_eq(memcmp(frames, here.frames, count * sizeof frames[0]), 0);
			cr_assert_eq(frames[room], 0x77);
		}
	}
}

Test(unwind, unknown_stacks_give_the_same_walk)
{
	struct unwind_regs regs;
	struct stack known, unknown, cold;
	unwind_regs_of_caller(&regs);
	walk(&regs, &bounds, &known);
	walk(&regs, &no_bounds, &unknown);
	rule_cache_clear();
	walk(&regs, &no_bounds, &cold);
	cr_assert_eq(known.flags, 0);
	expect_equal_stacks(&known, &unknown);
	expect_equal_stacks(&known, &cold);
}

Test(unwind, unknown_stacks_are_not_read_once_system_calls_are_forbidden)
{
	struct stack stack;
	unwind_forbid_syscalls();
	walk_from_here(&bounds, &stack);
	cr_assert_eq(stack.flags, 0);
	walk_from_here(&no_bounds, &stack);
	cr_assert_eq(stack.flags, CPROF_STACK_BROKEN);
	cr_assert_eq(stack.count, 1);
}

static void *walk_in_thread(void *argument)
{
	struct unwind_bounds own;
	find_bounds(&own);
	walk_from_here(&own, argument);
	return NULL;
}

Test(unwind, a_thread_ends_cleanly_at_its_start)
{
	pthread_t thread;
	struct stack stack;
	pthread_create(&thread, NULL, walk_in_thread, &stack);
	pthread_join(thread, NULL);
	cr_assert_eq(stack.flags, 0);
	cr_assert_eq(stack.count, 2); /* start_thread, clone3 */
}

static struct stack signal_stack;
static const void *raise_caller;

static void on_signal(int signal_number UNUSED, siginfo_t *info UNUSED, void *context UNUSED)
{
	walk_from_here(&bounds, &signal_stack);
}

static NOINLINE void interrupted(void)
{
	raise_caller = __builtin_return_address(0);
	raise(SIGUSR1);
	sink++;
}

static void expect_walk_through_handler(int flags)
{
	static char alternate[65536];
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};
	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < 3; i++) { /* the second one finds its rules cached */
		interrupted();
		cr_assert_eq(signal_stack.flags, 0);
		cr_assert(has_pc(&signal_stack, raise_caller));
		/* The frame below the trampoline was interrupted, not called. */
		cr_assert(signal_stack.frames[1] & CPROF_FRAME_EXACT);
		cr_assert_not(signal_stack.frames[0] & CPROF_FRAME_EXACT);
		cr_assert_not(signal_stack.frames[2] & CPROF_FRAME_EXACT);
	}
}

Test(unwind, handler_frames_lead_to_the_interrupted_code)
{
	expect_walk_through_handler(0);
}

Test(unwind, handlers_on_another_stack_lead_back_to_the_first)
{
	expect_walk_through_handler(SA_ONSTACK);
}

/* A context as a signal at `pc` would have it, with one return address on its stack. */
static void make_regs(struct unwind_regs *out_regs, uint64_t pc, uint64_t *stack_words, uint64_t fp)
{
	out_regs->pc = pc;
	out_regs->sp = (uint64_t)stack_words;
	out_regs->fp = fp;
	out_regs->bx = 0;
	out_regs->pc_is_exact = true;
	out_regs->bx_is_known = true;
	out_regs->context = NULL;
}

static struct stack nowhere_stack;
static const void *nowhere_return;

static void on_fault(int signal_number UNUSED, siginfo_t *info UNUSED, void *context)
{
	struct unwind_regs regs;
	unwind_regs_from_context(context, &regs);
	if (regs.pc)
		regs.fp = 0; /* else the wild address would be taken for code with a frame of its own */
	walk(&regs, &bounds, &nowhere_stack);
	/* As if the null function had returned. */
	ucontext_t *interrupted_context = context;
	uint64_t sp = arch_context_sp(interrupted_context);
	nowhere_return = *(const void *const *)sp;
	interrupted_context->uc_mcontext.gregs[REG_RIP] = (greg_t)nowhere_return;
	interrupted_context->uc_mcontext.gregs[REG_RSP] = (greg_t)(sp + 8);
}

static NOINLINE void call(void (*volatile function)(void))
{
	function();
	sink++;
}

Test(unwind, calls_to_nowhere_show_the_caller)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	sigaction(SIGSEGV, &action, NULL);
	struct stack here;
	walk_from_here(&bounds, &here);
	call(NULL);
	cr_assert_eq(nowhere_stack.flags, 0);
	cr_assert_eq(nowhere_stack.count, here.count + 2); /* call, this test, and what `here` holds */
	cr_assert_eq(pc_of(nowhere_stack.frames[0]), (uint64_t)nowhere_return);
	void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	call((void (*)(void))page);
	cr_assert_geq(nowhere_stack.count, 2);
	cr_assert_eq(cprof_frame_module(nowhere_stack.frames[0]), CPROF_MODULE_NONE);
	cr_assert_eq(cprof_frame_offset(nowhere_stack.frames[0]), (uint64_t)page);
	cr_assert_eq(pc_of(nowhere_stack.frames[1]), (uint64_t)nowhere_return);
}

static struct stack made_code_stack;
static const void *made_code_caller;

static NOINLINE void walk_below_made_code(void)
{
	walk_from_here(&bounds, &made_code_stack);
}

static NOINLINE void call_made_code(void (*made_code)(void (*)(void)))
{
	made_code_caller = __builtin_return_address(0);
	made_code(walk_below_made_code);
	sink++;
}

Test(unwind, code_made_at_run_time_is_crossed_by_its_frame_pointer)
{
	/* push %rbp; mov %rsp, %rbp; call *%rdi; pop %rbp; ret */
	static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(page, code, sizeof code);
	call_made_code((void (*)(void (*)(void)))page);
	cr_assert_eq(made_code_stack.flags, 0);
	cr_assert_eq(made_code_stack.frames[0], cprof_frame(CPROF_MODULE_NONE, (uint64_t)page + 6));
	cr_assert(has_pc(&made_code_stack, made_code_caller));
}

/* ---- nothing but "no fault" ----------------------------------------------------------------------- */

Test(unwind, random_registers_and_stacks_never_fault)
{
	static uint64_t words[512];
	const uint64_t libc = (uint64_t)dlsym(RTLD_DEFAULT, "qsort");
	const uint64_t own = (uint64_t)(uintptr_t)descend;
	struct unwind_bounds in = {(uint64_t)words, (uint64_t)(words + 512)};
	struct unwind_regs regs;
	struct stack stack;
	for (uint64_t round = 0; round < 30000; round++) {
		uint64_t random = cprof_mix64(round + 1);
		for (uint64_t i = 0; i < 64; i++) {
			uint64_t word = cprof_mix64(round * 64 + i);
			uint64_t kinds[] = {libc + word % 0x80000,
					    own + word % 0x2000,
					    (uint64_t)(words + word % 512),
					    word,
					    word % 100000,
					    0,
					    (uint64_t)(words + 600 + word % 512),
					    word >> 16};
			words[word % 512] = kinds[word >> 61];
		}
		make_regs(&regs, round % 3 ? libc + random % 0x100000 : words[random % 512],
			  words + random % 300, words[random >> 55]);
		regs.pc_is_exact = random >> 20 & 1;
		regs.bx = words[random >> 45 & 511];
		walk(&regs, round % 8 ? &in : &no_bounds, &stack);
		cr_assert_leq(stack.count, FRAMES_MAX);
	}
}

static atomic_u32 is_over;

static void *disturb(void *argument UNUSED)
{
	while (!load_relaxed(&is_over)) {
		add_release(&modules_generation, 1);
		rule_cache_clear();
		usleep(10);
	}
	return NULL;
}

static void *walk_repeatedly(void *argument)
{
	unsigned long *wrong = argument;
	struct unwind_bounds own;
	struct stack first, stack;
	find_bounds(&own);
	walk_from_here(&own, &first);
	for (int i = 0; i < 20000; i++) {
		walk_from_here(&own, &stack);
		*wrong += stack.flags || stack.count != first.count ||
			  memcmp(stack.frames, first.frames, first.count * 8) != 0;
	}
	return NULL;
}

Test(unwind, walks_stay_right_while_rules_are_forgotten)
{
	pthread_t threads[3], disturber;
	unsigned long wrong[3] = {0};
	/* Threads that meet a new module at once may give it a row each; here it has one already. */
	unsigned long none = 0;
	walk_repeatedly(&none);
	cr_assert_eq(none, 0);
	pthread_create(&disturber, NULL, disturb, NULL);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, walk_repeatedly, &wrong[i]);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		cr_assert_eq(wrong[i], 0);
	}
	store_relaxed(&is_over, 1);
	pthread_join(disturber, NULL);
}

/* ---- cost in stack -------------------------------------------------------------------------------- */

static struct unwind_regs painted_regs;
static struct unwind_bounds painted_bounds;

static void *walk_on_painted_stack(void *argument)
{
	static uint64_t frames[FRAMES_MAX];
	uint16_t flags;
	uint64_t *deepest = (uint64_t *)((uint64_t)__builtin_frame_address(0) - 8192);
	uint64_t *at;
	(void)argument;
	for (at = deepest; at < deepest + 1000; at++)
		*(volatile uint64_t *)at = UINT64_C(0x5a5a5a5a5a5a5a5a);
	uint64_t sp_before;
	__asm__ volatile("mov %%rsp, %0" : "=r"(sp_before));
	unwind_walk(&painted_regs, &painted_bounds, frames, FRAMES_MAX, &flags);
	for (at = deepest; *(volatile uint64_t *)at == UINT64_C(0x5a5a5a5a5a5a5a5a); at++)
		;
	return (void *)(sp_before - (uint64_t)at);
}

static uint64_t stack_bytes_of_walk(void)
{
	pthread_t thread;
	void *bytes;
	pthread_create(&thread, NULL, walk_on_painted_stack, NULL);
	pthread_join(thread, &bytes);
	return (uint64_t)bytes;
}

Test(unwind, wrong_guesses_of_callers_change_nothing)
{
	struct unwind_regs regs;
	struct stack known, again;
	unwind_regs_of_caller(&regs);
	walk(&regs, &bounds, &known);
	cr_assert_eq(known.flags, 0);
	cr_assert_gt(known.count, 4);
	/* Entries of the walk itself have rules: taken at their word they would lead in circles. */
	for (uint32_t turn = 0; turn < 64; turn++) {
		for (uint32_t i = 0; i < RULE_CACHE_ENTRIES; i++) {
			uint64_t guess = turn < 32 ? i + turn : cprof_mix64((uint64_t)turn << 32 | i);
			store_relaxed(&rule_cache[i].caller,
				      guess % RULE_CACHE_ENTRIES * sizeof(rule_cache[0]));
		}
		walk(&regs, &bounds, &again);
		expect_equal_stacks(&known, &again);
		walk(&regs, &bounds, &again);
		expect_equal_stacks(&known, &again);
	}
}

Test(unwind, a_walk_needs_less_than_a_kilobyte_of_stack)
{
	if (HAS_ADDRESS_SANITIZER)
		cr_skip_test("the sanitizer uses more");
	modules_forget(); /* so that the first walk makes the rows, too */
	unwind_regs_of_caller(&painted_regs);
	painted_bounds = bounds;
	uint64_t new_bytes = stack_bytes_of_walk();
	rule_cache_clear();
	uint64_t cold_bytes = stack_bytes_of_walk();
	uint64_t warm_bytes = stack_bytes_of_walk();
	painted_bounds = no_bounds;
	uint64_t far_bytes = stack_bytes_of_walk();
	cr_log_info("stack bytes: new modules %lu, cold %lu, warm %lu, far %lu", new_bytes, cold_bytes,
		    warm_bytes, far_bytes);
	cr_assert_leq(new_bytes, 1024);
	cr_assert_leq(cold_bytes, 1024);
	cr_assert_leq(warm_bytes, 768);
	cr_assert_leq(far_bytes, 1024);
}
