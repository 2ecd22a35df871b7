/* SPDX-License-Identifier: MIT */
/*
 * Which functions stand for which waits.  Holders and circles are tested with
 * processes that have them (test_thread_dump.c).
 *
 * Context: tests.
 */
#include "thread_waits.h"

#include <criterion/criterion.h>

Test(thread_waits, knows_functions_by_all_their_names)
{
	cr_expect_eq(thread_waits_of_function("pthread_mutex_lock"), CPROF_WAIT_MUTEX);
	cr_expect_eq(thread_waits_of_function("___pthread_mutex_lock"), CPROF_WAIT_MUTEX);
	cr_expect_eq(thread_waits_of_function("__pthread_mutex_lock_full"), CPROF_WAIT_MUTEX);
	cr_expect_eq(thread_waits_of_function("__pthread_cond_wait_common"), CPROF_WAIT_COND);
	cr_expect_eq(thread_waits_of_function("__new_sem_wait_slow64.constprop.0"), CPROF_WAIT_SEMAPHORE);
	cr_expect_eq(thread_waits_of_function("pthread_rwlock_wrlock@GLIBC_2.2.5"), CPROF_WAIT_RWLOCK_WRITE);
	cr_expect_eq(thread_waits_of_function("__pthread_clockjoin_ex"), CPROF_WAIT_JOIN);
}

Test(thread_waits, takes_no_other_function_for_one)
{
	static const char *const others[] = {"",
					     "_",
					     "____",
					     "main",
					     "mutex_lock",
					     "my_pthread_mutex_lock",
					     "pthread_mutex_unlock",
					     "pthread_mutex_trylock",
					     "sem_post"};
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		cr_expect_eq(thread_waits_of_function(others[i]), CPROF_WAIT_NONE, "%s", others[i]);
}

Test(thread_waits, has_a_name_for_every_wait)
{
	for (int what = 1; what < CPROF_WAIT_COUNT; what++)
		cr_expect_neq(thread_waits_name((enum cprof_wait)what)[0], '\0', "%d", what);
	cr_expect_str_eq(thread_waits_name(CPROF_WAIT_NONE), "");
	cr_expect_str_eq(thread_waits_name(CPROF_WAIT_COUNT), "");
}
