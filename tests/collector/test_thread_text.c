/* SPDX-License-Identifier: MIT */
/*
 * What a thread waits for, in words.
 *
 * Context: tests.
 */
#include "thread_text.h"

#include <criterion/criterion.h>

static void expect(const char *text, enum cprof_wait what, uint64_t object)
{
	const struct thread_reading reading = {.how = THREAD_HOW_PUBLISHED};
	const struct thread_wait wait = {.what = what, .object = object};
	char got[THREAD_TEXT_WAIT_BYTES];
	thread_text_wait(&reading, &wait, got);
	cr_expect_str_eq(got, text);
}

Test(thread_text, a_lock_is_named_by_its_address)
{
	expect("mutex 0x7f00", CPROF_WAIT_MUTEX, 0x7f00);
	expect("condition variable", CPROF_WAIT_COND, 0);
}

Test(thread_text, a_call_is_named_by_its_descriptor_or_process)
{
	expect("input (descriptor 0)", CPROF_WAIT_READ, 0);
	expect("accept (descriptor 12)", CPROF_WAIT_ACCEPT, 12);
	expect("poll", CPROF_WAIT_POLL, 3);
	expect("sleep", CPROF_WAIT_SLEEP, 0);
	expect("signal", CPROF_WAIT_SIGNAL, 0);
	expect("end of process 77", CPROF_WAIT_CHILD, 77);
	expect("end of process", CPROF_WAIT_CHILD, UINT64_MAX);
}
