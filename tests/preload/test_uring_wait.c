/* SPDX-License-Identifier: MIT */
/* Which waits of io_uring_enter() go on after our signal, and which must end with EINTR. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>

#include "arch_x86_64.h"
#include "safe_read.h"
#include "uring_wait.h"

/* The end of a call's code, as liburing has it; behind it one more instruction. */
#define CODE_BYTES 9
#define UP_TO_SYSCALL 8
static const uint8_t as_liburing[CODE_BYTES] = {0x90, 0xb8, 0xaa, 0x01, 0x00, 0x00, 0x0f, 0x05, 0xc3};
static const uint8_t by_r15[CODE_BYTES] = {0x41, 0x89, 0xd0, 0x44, 0x89, 0xf8, 0x0f, 0x05, 0xc3};
static const uint8_t by_ebx[CODE_BYTES] = {0x90, 0x90, 0x90, 0x90, 0x89, 0xd8, 0x0f, 0x05, 0xc3};

static ucontext_t context;

#define REGISTER(name) context.uc_mcontext.gregs[REG_##name]

static void on_signal(int number)
{
	(void)number;
}

/* A wait that ended with EINTR in a process without a handler; the test framework has some. */
static void wait_ended(const uint8_t *code)
{
	for (int number = 1; number <= 64; number++)
		(void)signal(number, SIG_DFL);
	REGISTER(RIP) = REGISTER(RCX) = (greg_t)(code + UP_TO_SYSCALL);
	REGISTER(RAX) = -EINTR;
	REGISTER(RDI) = 3;
	REGISTER(RSI) = 0;
	REGISTER(RDX) = 1;
	REGISTER(R10) = IORING_ENTER_GETEVENTS;
}

static uint64_t own_signals;

/* Whether the context, as it is, goes on with the call. */
static bool is_resumed(void)
{
	ucontext_t before = context;
	if (arch_context_is_after_syscall(&context, -EINTR))
		uring_wait_resume(&context, own_signals);
	if (memcmp(&before, &context, sizeof before) == 0)
		return false;
	before.uc_mcontext.gregs[REG_RAX] = SYS_io_uring_enter;
	before.uc_mcontext.gregs[REG_RIP] -= 2;
	cr_assert_arr_eq(&before, &context, sizeof before, "something else was changed");
	return true;
}

Test(uring_wait, goes_on_in_a_program_without_handlers)
{
	wait_ended(as_liburing);
	cr_assert(is_resumed());
	wait_ended(as_liburing);
	REGISTER(R10) |= IORING_ENTER_REGISTERED_RING | IORING_ENTER_SQ_WAKEUP;
	cr_assert(is_resumed());
}

Test(uring_wait, other_results_and_other_calls_are_left_alone)
{
	wait_ended(as_liburing);
	REGISTER(RAX) = 0;
	cr_assert_not(is_resumed());
	REGISTER(RAX) = -ETIME;
	cr_assert_not(is_resumed());
}

Test(uring_wait, the_number_is_what_the_code_before_says)
{
	static const uint8_t epoll[CODE_BYTES] = {0x90, 0xb8, 0xe8, 0x00, 0x00, 0x00, 0x0f, 0x05};
	static const uint8_t to_r8[CODE_BYTES] = {0x41, 0xb8, 0xaa, 0x01, 0x00, 0x00, 0x0f, 0x05};
	static const uint8_t to_r8d[CODE_BYTES] = {0x90, 0x90, 0x90, 0x41, 0x89, 0xd8, 0x0f, 0x05};
	static const uint8_t by_r11[CODE_BYTES] = {0x90, 0x90, 0x90, 0x44, 0x89, 0xd8, 0x0f, 0x05};
	static const uint8_t no_call[CODE_BYTES] = {0x90, 0xb8, 0xaa, 0x01, 0x00, 0x00, 0x0f, 0x0b};
	const uint8_t *others[] = {epoll, to_r8, to_r8d, by_r11, no_call};
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		wait_ended(others[i]);
		REGISTER(RBX) = REGISTER(R11) = REGISTER(R15) = SYS_io_uring_enter;
		cr_assert_not(is_resumed(), "code %zu", i);
	}
}

Test(uring_wait, the_number_may_have_come_from_a_register)
{
	wait_ended(by_r15);
	REGISTER(R15) = SYS_io_uring_enter;
	cr_assert(is_resumed());
	wait_ended(by_ebx);
	REGISTER(RBX) = SYS_io_uring_enter;
	cr_assert(is_resumed());
	wait_ended(by_ebx);
	REGISTER(RBX) = SYS_epoll_wait;
	cr_assert_not(is_resumed());
}

Test(uring_wait, later_instructions_are_left_alone)
{
	wait_ended(as_liburing);
	REGISTER(RCX) = 0;
	cr_assert_not(is_resumed());
	wait_ended(as_liburing);
	REGISTER(RIP) = REGISTER(RCX) = (greg_t)(as_liburing + UP_TO_SYSCALL + 1);
	cr_assert_not(is_resumed());
}

Test(uring_wait, submissions_timeouts_and_unknown_flags_are_left_alone)
{
	wait_ended(as_liburing);
	REGISTER(RSI) = 1;
	cr_assert_not(is_resumed());
	wait_ended(as_liburing);
	REGISTER(R10) = 0;
	cr_assert_not(is_resumed());
	REGISTER(R10) = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
	cr_assert_not(is_resumed());
	REGISTER(R10) = IORING_ENTER_GETEVENTS | 1 << 20;
	cr_assert_not(is_resumed());
}

Test(uring_wait, ends_for_a_signal_that_is_due)
{
	sigset_t all;
	wait_ended(as_liburing);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, NULL);
	(void)raise(SIGUSR2);
	cr_assert_not(is_resumed());
	(void)sigaddset(&context.uc_sigmask, SIGUSR2);
	cr_assert(is_resumed(), "blocked where the call returns to, it did not end the wait");
}

Test(uring_wait, ends_where_the_kernel_has_a_handler)
{
	wait_ended(as_liburing);
	(void)signal(SIGUSR2, on_signal); /* past the interposed one, as by a system call */
	cr_assert_not(is_resumed());
	own_signals = UINT64_C(1) << (SIGUSR2 - 1);
	cr_assert(is_resumed());
}

Test(uring_wait, ends_where_a_handler_was)
{
	wait_ended(as_liburing);
	uring_wait_note_action(SIGUSR2, &(struct sigaction){.sa_handler = SIG_IGN});
	cr_assert(is_resumed());
	wait_ended(as_liburing);
	uring_wait_note_action(SIGSEGV, &(struct sigaction){.sa_handler = on_signal});
	cr_assert(is_resumed(), "what an instruction raises does not end a wait");
	wait_ended(as_liburing);
	uring_wait_note_action(SIGUSR2, &(struct sigaction){.sa_handler = on_signal});
	uring_wait_note_action(SIGUSR2, &(struct sigaction){.sa_handler = SIG_DFL});
	cr_assert_not(is_resumed());
}

Test(uring_wait, makes_no_call_where_none_may_be_made)
{
	wait_ended(as_liburing);
	safe_read_forbid_calls();
	cr_assert_not(is_resumed());
}
