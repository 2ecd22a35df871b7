/* SPDX-License-Identifier: MIT */
/*
 * What a thread shows of its wait when that is left, by cancellation or a jump, or is
 * interrupted by another one, in a handler.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>

#include "contention_publish.h"
#include "contention_sums.h"
#include "shown_wait.h"

TestSuite(contention_publish, .init = contention_sums_open, .timeout = 60);

static pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER;

static void *lock_shared(void *unused)
{
	cprof_test_pthread_mutex_lock(&shared);
	cprof_test_pthread_mutex_unlock(&shared);
	return unused;
}

static void *wait_for_ever(void *semaphore)
{
	cprof_test_sem_wait(semaphore);
	return NULL;
}

/* The thread's slot was left by what did not come back. */
Test(contention_publish, cancelled_wait_is_not_recorded_and_the_thread_can_go_on)
{
	pthread_t thread;
	sem_t semaphore;
	void *result;
	sem_init(&semaphore, 0, 0);
	pthread_create(&thread, NULL, wait_for_ever, &semaphore);
	until_shown(CPROF_WAIT_SEMAPHORE, &semaphore);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	cr_expect_eq(result, PTHREAD_CANCELED);
	cr_expect_eq(sum_of(CPROF_KIND_BLOCK, NULL).records, 0);
}

static pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER;

static void lock_in_cleanup(void *unused)
{
	(void)unused;
	cprof_test_pthread_mutex_lock(&outer);
	cprof_test_pthread_mutex_unlock(&outer);
}

static void *wait_with_cleanup(void *semaphore)
{
	pthread_cleanup_push(lock_in_cleanup, NULL);
	cprof_test_sem_wait(semaphore);
	pthread_cleanup_pop(0);
	return NULL;
}

Test(contention_publish, next_wait_takes_away_what_a_cancelled_one_showed)
{
	pthread_t thread;
	sem_t semaphore;
	sem_init(&semaphore, 0, 0);
	cprof_test_pthread_mutex_lock(&outer);
	pthread_create(&thread, NULL, wait_with_cleanup, &semaphore);
	until_shown(CPROF_WAIT_SEMAPHORE, &semaphore);
	pthread_cancel(thread);
	until_shown(CPROF_WAIT_MUTEX, &outer);
	cr_expect_not(is_shown(CPROF_WAIT_SEMAPHORE, &semaphore));
	cprof_test_pthread_mutex_unlock(&outer);
	pthread_join(thread, NULL);
	cr_expect_eq(BLOCKED(pthread_mutex_lock), 1);
}

static sigjmp_buf way_out;

static void jump(int signal)
{
	(void)signal;
	siglongjmp(way_out, 1);
}

static void *leave_by_a_jump(void *unused)
{
	if (sigsetjmp(way_out, 1) == 0)
		cprof_test_pthread_mutex_lock(&shared);
	cprof_test_pthread_mutex_lock(&outer);
	cprof_test_pthread_mutex_unlock(&outer);
	return unused;
}

/* A thread that waits for `shared` and, in the handler of a signal, for `outer`: both are held. */
static pthread_t waits_in_a_handler(void *(*body)(void *), void (*handler)(int))
{
	pthread_t thread;
	signal(SIGUSR2, handler);
	cprof_test_pthread_mutex_lock(&shared);
	cprof_test_pthread_mutex_lock(&outer);
	pthread_create(&thread, NULL, body, NULL);
	until_shown(CPROF_WAIT_MUTEX, &shared);
	pthread_kill(thread, SIGUSR2);
	until_shown(CPROF_WAIT_MUTEX, &outer);
	return thread;
}

Test(contention_publish, wait_that_was_left_by_a_jump_is_charged_no_longer)
{
	pthread_t thread = waits_in_a_handler(leave_by_a_jump, jump);
	cr_expect_eq(lock_waiters_look(&shared), 0);
	cprof_test_pthread_mutex_unlock(&outer);
	pthread_join(thread, NULL);
	cprof_test_pthread_mutex_unlock(&shared);
	cr_expect_eq(BLOCKED(pthread_mutex_lock), 1);
	cr_expect_eq(CHARGED(pthread_mutex_unlock), 1);
	cr_expect_not(is_shown(CPROF_WAIT_MUTEX, &shared));
}

static void wait_in_a_handler(int signal)
{
	(void)signal;
	cprof_test_pthread_mutex_lock(&outer);
	cprof_test_pthread_mutex_unlock(&outer);
}

Test(contention_publish, handlers_wait_replaces_the_interrupted_one_and_puts_it_back)
{
	pthread_t thread = waits_in_a_handler(lock_shared, wait_in_a_handler);
	cprof_test_pthread_mutex_unlock(&outer);
	until_shown(CPROF_WAIT_MUTEX, &shared);
	cprof_test_pthread_mutex_unlock(&shared);
	pthread_join(thread, NULL);
	cr_expect_eq(BLOCKED(pthread_mutex_lock), 2);
	cr_expect_eq(CHARGED(pthread_mutex_unlock), 2);
	cr_expect_not(is_shown(CPROF_WAIT_MUTEX, &shared));
}

static char stacks[2][64 << 10] __attribute__((aligned(4096)));

static void *lock_shared_with_an_alternate_stack(void *unused)
{
	const stack_t alternate = {.ss_sp = stacks[1], .ss_size = sizeof stacks[1]};
	cr_assert_eq(sigaltstack(&alternate, NULL), 0);
	return lock_shared(unused);
}

Test(contention_publish, handlers_wait_on_a_stack_above_leaves_the_interrupted_one_alone)
{
	pthread_t thread;
	pthread_attr_t attributes;
	const struct sigaction action = {.sa_handler = wait_in_a_handler, .sa_flags = SA_ONSTACK};
	sigaction(SIGUSR2, &action, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, stacks[0], sizeof stacks[0]);
	cprof_test_pthread_mutex_lock(&shared);
	cprof_test_pthread_mutex_lock(&outer);
	pthread_create(&thread, &attributes, lock_shared_with_an_alternate_stack, NULL);
	until_shown(CPROF_WAIT_MUTEX, &shared);
	pthread_kill(thread, SIGUSR2);
	until_shown(CPROF_WAIT_MUTEX, &outer);
	cr_expect_eq(lock_waiters_look(&shared), 2);
	cprof_test_pthread_mutex_unlock(&outer);
	until_shown(CPROF_WAIT_MUTEX, &shared);
	cprof_test_pthread_mutex_unlock(&shared);
	pthread_join(thread, NULL);
	cr_expect_eq(BLOCKED(pthread_mutex_lock), 2);
	cr_expect_eq(CHARGED(pthread_mutex_unlock), 2);
	cr_expect_not(lock_waiters_look(&shared));
}

/* ---- at each instruction ----------------------------------------------------------------- */

static const struct publication waits[] = {
	{.what = CPROF_WAIT_MUTEX, .object = 1, .since_ns = 10},
	{.what = CPROF_WAIT_MUTEX, .object = 2, .since_ns = 20},
	{.what = CPROF_WAIT_MUTEX, .object = 3, .since_ns = 30},
};

static struct {
	struct cprof_thread *slot;
	uint32_t steps; /* so far */
	uint32_t at;    /* the handler waits after so many */
	bool is_shown;  /* the handler's wait was */
} stepping;

static void wait_after_some_steps(int signal)
{
	struct publication own;
	(void)signal;
	if (stepping.steps++ != stepping.at)
		return;
	stepping.is_shown = contention_publish(stepping.slot, &waits[2]);
	if (stepping.is_shown)
		cr_assert(contention_withdraw(stepping.slot, &own));
}

static void set_trap_flag(bool is_on)
{
	if (is_on)
		__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "cc", "memory");
	else
		__asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "cc", "memory");
}

Test(contention_publish, handlers_wait_at_any_instruction_of_a_handlers_end_leaves_the_outer_one_shown)
{
	struct publication inner;
	uint32_t hidden = 0;
	own_thread_attach();
	stepping.slot = thread_tls.slot;
	signal(SIGTRAP, wait_after_some_steps);
	for (stepping.at = 0; stepping.at == 0 || stepping.steps >= stepping.at; stepping.at++) {
		contention_show_nothing(stepping.slot);
		cr_assert(contention_publish(stepping.slot, &waits[0]));
		cr_assert(contention_publish(stepping.slot, &waits[1]));
		stepping.steps = 0;
		stepping.is_shown = true;
		set_trap_flag(true);
		bool is_withdrawn = contention_withdraw(stepping.slot, &inner);
		set_trap_flag(false);
		hidden += !stepping.is_shown;
		cr_assert(is_withdrawn);
		cr_assert_eq(load_relaxed(&stepping.slot->waiting.object), 1, "after a handler at step %u",
			     stepping.at);
		cr_assert_eq(load_relaxed(&stepping.slot->waiting.since_ns), 10);
	}
	cr_expect_gt(hidden, 0, "some came in the middle of the change");
	cr_expect_gt(stepping.at, 20);
}

Test(contention_publish, who_begins_with_a_slot_that_was_left_in_the_middle_of_a_change_can_show_its_waits)
{
	own_thread_attach();
	struct cprof_thread *slot = thread_tls.slot;
	/* Its thread died at any instruction. */
	store_relaxed(&slot->waiting.sequence, load_relaxed(&slot->waiting.sequence) + 1);
	contention_show_nothing(slot);
	cr_assert(contention_publish(slot, &waits[0]));
	cr_expect_eq(load_relaxed(&slot->waiting.sequence) % 2, 0);
	cr_expect(is_shown(CPROF_WAIT_MUTEX, (const void *)1));
}

Test(contention_publish, half_a_wait_of_a_thread_that_ends_is_nobody_s)
{
	own_thread_attach();
	struct cprof_thread *slot = thread_tls.slot;
	cr_assert(contention_publish(slot, &waits[0]));
	store_relaxed(&slot->waiting.sequence, load_relaxed(&slot->waiting.sequence) + 1);
	contention_thread_ends(slot);
	cr_expect_eq(load_relaxed(&slot->waiting.what), (uint32_t)CPROF_WAIT_NONE);
	cr_expect_eq(load_relaxed(&slot->waiting.sequence) % 2, 0);
	cr_expect_eq(lock_waiters_look((const void *)1), 0, "it was not counted there");
}
