/* SPDX-License-Identifier: MIT */
/*
 * Walks at every single instruction of real code: the trap flag stops the program behind
 * each, the handler walks the stack, and a shadow stack that is kept by watching calls and
 * returns says what the walk must have found.
 */
#include <alloca.h>
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "arch_x86_64.h"
#include "walk_fixture.h"

TestSuite(unwind_steps, .init = walk_fixture_set_up);

#define SHADOW_MAX 100

static struct {
	struct stack root; /* of the function that switches stepping on, from its caller up */
	uint64_t root_sp;
	struct {
		uint64_t place;
		uint64_t address;
	} shadow[SHADOW_MAX];
	uint32_t depth;
	uint64_t last_pc;
	uint64_t last_sp;
	unsigned long steps;
	unsigned long wrong;
	unsigned long skipped;
	uint64_t wrong_pc;
	struct unwind_bounds bounds;
	char why[200];
} stepping;

/* Whether the instruction at pc, after which the next one would be at `next`, is a call. */
static bool is_call(uint64_t pc, uint64_t next)
{
	return next > pc && next - pc <= 8 && arch_is_after_call((const uint8_t *)next);
}

static void follow_calls(uint64_t pc, uint64_t sp)
{
	if (stepping.last_pc && sp == stepping.last_sp - 8) {
		uint64_t pushed = *(const uint64_t *)sp;
		if (is_call(stepping.last_pc, pushed) && pc != pushed && stepping.depth < SHADOW_MAX) {
			stepping.shadow[stepping.depth].place = sp;
			stepping.shadow[stepping.depth++].address = pushed;
		}
	}
	while (stepping.depth && stepping.shadow[stepping.depth - 1].place < sp)
		stepping.depth--;
	stepping.last_pc = pc;
	stepping.last_sp = sp;
}

static void compare_with_shadow(const struct stack *stack, uint64_t pc)
{
	uint32_t want = 1 + stepping.depth + stepping.root.count;
	const char *why = NULL;
	if (stack->flags)
		why = "flags";
	else if (stack->count != want)
		why = "count";
	else if (pc_of(stack->frames[0]) != pc || !(stack->frames[0] & CPROF_FRAME_EXACT))
		why = "leaf";
	for (uint32_t i = 0; !why && i < stepping.depth; i++)
		if (pc_of(stack->frames[1 + i]) != stepping.shadow[stepping.depth - 1 - i].address)
			why = "call";
	if (!why &&
	    memcmp(stack->frames + 1 + stepping.depth, stepping.root.frames, stepping.root.count * 8) != 0)
		why = "root";
	if (!why)
		return;
	if (!stepping.wrong++) {
		stepping.wrong_pc = pc;
		snprintf(stepping.why, sizeof stepping.why, "%s: %u frames, want %u, flags %u, depth %u", why,
			 stack->count, want, stack->flags, stepping.depth);
	}
}

static void on_trap(int signal_number UNUSED, siginfo_t *info UNUSED, void *context)
{
	static struct stack stack;
	struct unwind_regs regs;
	unwind_regs_from_context(context, &regs);
	follow_calls(regs.pc, regs.sp);
	if (regs.sp >= stepping.root_sp) /* in the function that switches it on or off */
		return;
	stepping.steps++;
	walk(&regs, &stepping.bounds, &stack);
	compare_with_shadow(&stack, regs.pc);
}

/* Runs work() with a walk at each of its instructions, of which `excused` may differ from the shadow. */
static NOINLINE void step_through_excusing(void (*work)(void), unsigned long excused)
{
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	sigaction(SIGTRAP, &action, NULL);
	stepping.depth = 0;
	stepping.last_pc = 0;
	stepping.steps = stepping.wrong = 0;
	stepping.bounds = bounds;
	walk_from_here(&bounds, &stepping.root);
	cr_assert_eq(stepping.root.flags, 0);
	/* The trap comes behind the instruction that follows popfq: a nop, so that the call is seen. */
	stepping.root_sp = (uint64_t)__builtin_frame_address(0) - 1024;
	/* Room, so that only what work() does is below root_sp. */
	volatile char *room = alloca(2048);
	room[0] = 0;
	__asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tnop" ::: "memory", "cc");
	work();
	__asm__ volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
	cr_expect_leq(stepping.wrong, excused, "%lu of %lu instructions, the first at %lx: %s",
		      stepping.wrong, stepping.steps, stepping.wrong_pc, stepping.why);
	cr_expect_gt(stepping.steps, 50);
	room[1] = 0;
}

static void step_through(void (*work)(void))
{
	step_through_excusing(work, 0);
}

static volatile unsigned long sink;

static int NOINLINE compare_numbers(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void sort_numbers(void)
{
	int numbers[24];
	for (int i = 0; i < 24; i++)
		numbers[i] = i * 7919 % 101;
	qsort(numbers, 24, sizeof numbers[0], compare_numbers);
	sink += (unsigned long)numbers[0];
}

static void print_and_parse(void)
{
	char text[100];
	snprintf(text, sizeof text, "%d %s %.17g %Lf", 42, "text", 1.0 / 3, 2.5L);
	sink += (unsigned long)strtod("1.2345678901234567e-300", NULL);
	sink += strlen(text);
}

static void allocate(void)
{
	void *blocks[40];
	for (size_t i = 0; i < 40; i++)
		blocks[i] = malloc(i * i * 40 + 1);
	for (size_t i = 0; i < 40; i += 2)
		blocks[i] = realloc(blocks[i], i * 100 + 5);
	for (size_t i = 0; i < 40; i++)
		free(blocks[i]);
}

typedef float vector8 __attribute__((vector_size(32)));

static NOINLINE __attribute__((target("avx"))) void realigned(int n)
{
	volatile vector8 v[2] = {{(float)n}};
	volatile char *room = alloca((size_t)n % 64 + 16);
	room[0] = (char)n;
	sort_numbers();
	sink += (unsigned long)v[0][0] + (unsigned long)room[0];
}

static void realign(void)
{
	realigned(30);
}

static void jump_back(void)
{
	jmp_buf place;
	if (setjmp(place) == 0)
		longjmp(place, 1);
	sink++;
}

static void ask_the_vdso(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	sink += (unsigned long)time(NULL);
}

static void bind_lazily(void)
{
	/* Not called anywhere else here, so their PLT entries go through the resolver now. */
	sink += (unsigned long)labs((long)sink) + (unsigned long)atoll("77");
	sink += strspn("aabbc", "ab") + (unsigned long)getpgid(0);
}

static void look_for_symbols(void)
{
	sink += (unsigned long)dlsym(RTLD_DEFAULT, "qsort_r");
	sink += (unsigned long)dlsym(RTLD_DEFAULT, "no_such_symbol");
}

static void move_memory(void)
{
	static char a[20000], b[20000];
	for (size_t bytes = 1; bytes < 20000; bytes *= 9) {
		memcpy(a, b, bytes);
		memmove(a + 1, a, bytes);
		sink += (unsigned long)memcmp(a, b, bytes) + (unsigned long)memchr(a, 'x', bytes);
	}
}

static void fork_lightly(void)
{
	/* vfork keeps its return address in a register while it runs. */
	pid_t pid = vfork();
	if (pid == 0)
		_exit(0);
}

Test(unwind_steps, right_at_every_instruction_of_sorting)
{
	step_through(sort_numbers);
}
Test(unwind_steps, right_at_every_instruction_of_printing_and_parsing)
{
	step_through(print_and_parse);
}
Test(unwind_steps, right_at_every_instruction_of_malloc)
{
	step_through(allocate);
}
Test(unwind_steps, right_at_every_instruction_of_a_realigned_stack)
{
	/* gcc says that rbp is saved for two more instructions after it was restored. */
	step_through_excusing(realign, 2);
}
Test(unwind_steps, right_at_every_instruction_of_longjmp)
{
	/* The last nine instructions of longjmp claim to be called from where they jump to. */
	step_through_excusing(jump_back, 9);
}
Test(unwind_steps, right_at_every_instruction_of_the_vdso)
{
	step_through(ask_the_vdso);
}
Test(unwind_steps, right_at_every_instruction_of_lazy_binding)
{
	step_through(bind_lazily);
}
Test(unwind_steps, right_at_every_instruction_of_dlsym)
{
	step_through_excusing(look_for_symbols, 18); /* the loader's exceptions: two longjmps */
}
Test(unwind_steps, right_at_every_instruction_of_memory_functions)
{
	step_through(move_memory);
}
Test(unwind_steps, right_at_every_instruction_of_vfork)
{
	if (HAS_ADDRESS_SANITIZER)
		cr_skip_test("the sanitizer's own vfork runs instead");
	/* While its return address is in a register there is none on the shadow stack. */
	step_through_excusing(fork_lightly, 8);
}

Test(unwind_steps, right_at_every_instruction_on_an_unknown_stack)
{
	bounds = no_bounds;
	step_through(print_and_parse);
}

Test(unwind_steps, right_at_every_instruction_when_no_rule_is_ever_cached)
{
	/* With the whole table taken there is no row, and nothing is cached without a row. */
	store_relaxed(&segment_control()->modules_used, segment.geometry.module_count);
	step_through(print_and_parse);
}

/* Pushes registers as any function may, but has no call frame information. */
void assembly_without_cfi(long rounds);
__asm__(".text\n.type assembly_without_cfi,@function\n"
	"assembly_without_cfi:\n\tpush %rbx\n\tpush %rbp\n\tpush %r12\n\tmov %rdi, %rbp\n"
	"1:\timul $31, %rbx\n\tdec %rbp\n\tjnz 1b\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n\tret\n"
	".size assembly_without_cfi, .-assembly_without_cfi\n");

static void run_assembly(void)
{
	assembly_without_cfi(40);
}

Test(unwind_steps, assembly_without_call_frame_information_is_left_by_its_return_address)
{
	step_through(run_assembly);
}
