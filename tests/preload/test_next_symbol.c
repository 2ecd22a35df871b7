/* SPDX-License-Identifier: MIT */
/*
 * Our look-up against dlsym's: the same answer for every name that is interposed, and for
 * names that nobody has.
 *
 * Context: tests.
 */
#include "next_symbol.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <string.h>

#include "real.h"

#define NAME(type, name, ...) #name,
static const char *const names[] = {
	REAL_MALLOC_FUNCTIONS(NAME) REAL_CXX_NEW_FUNCTIONS(NAME) REAL_CXX_DELETE_FUNCTIONS(NAME)
		REAL_OPTIONAL_FUNCTIONS(NAME) REAL_SYSTEM_FUNCTIONS(NAME) REAL_WAIT_FUNCTIONS(NAME)
			REAL_COND_FUNCTIONS(NAME) REAL_LATE_WAIT_FUNCTIONS(NAME) CALL_LIST(NAME)
				CALL_LIST_LATE(NAME) "syscall",
	/* An IFUNC, variables, versions of which only old ones are left, and nothing at all. */
	"memcpy",
	"time",
	"environ",
	"errno",
	"sys_errlist",
	"pthread_yield",
	"no_such_function",
	"",
};
#undef NAME

static struct next_scope scope;

static void open_scope(void)
{
	next_scope_open(&scope, next_own_object());
}

Test(next_symbol, answers_as_dlsym, .init = open_scope)
{
	/* Without these every answer would be dlsym's own. */
	cr_assert(scope.is_whole);
	cr_assert_geq(scope.count, scope.start_count);
	cr_assert_gt(scope.start_count, 1);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		void *theirs = dlsym(RTLD_NEXT, names[i]);
		cr_expect_eq(next_symbol(&scope, names[i]), theirs, "%s", names[i]);
	}
}

Test(next_symbol, takes_the_default_of_several_versions, .init = open_scope)
{
#if defined(__x86_64__)
	void *newer = dlvsym(RTLD_NEXT, "pthread_cond_wait", "GLIBC_2.3.2");
	cr_assert_neq(newer, dlvsym(RTLD_NEXT, "pthread_cond_wait", "GLIBC_2.2.5"));
	cr_expect_eq(next_symbol_default(&scope, "pthread_cond_wait"), newer);
#endif
	cr_expect_eq(next_symbol_default(&scope, "pthread_create"), dlsym(RTLD_NEXT, "pthread_create"));
	cr_expect_null(next_symbol_default(&scope, "no_such_function"));
}

Test(next_symbol, asks_dlsym_where_it_cannot_tell)
{
	struct next_scope nothing;
	next_scope_open(&nothing, NULL);
	cr_expect_not(nothing.is_whole);
	cr_expect_eq(next_symbol(&nothing, "getppid"), dlsym(RTLD_NEXT, "getppid"));
	cr_expect_eq(next_symbol_of_libc(&nothing, "getppid"), dlsym(RTLD_NEXT, "getppid"));
}

Test(next_symbol, leaves_objects_of_a_dlopen_to_dlsym)
{
	/* Local: dlsym does not find what it defines, though it is in the list of loaded objects. */
	static const char name[] = "unw_backtrace_nobody_links";
	void *local = dlopen("libsqlite3.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!local)
		cr_skip("no libsqlite3");
	cr_assert_not_null(dlsym(local, "sqlite3_open"));
	open_scope();
	cr_assert(scope.is_whole);
	cr_expect_eq(next_symbol(&scope, "sqlite3_open"), dlsym(RTLD_NEXT, "sqlite3_open"));
	cr_expect_null(next_symbol(&scope, "sqlite3_open"));
	cr_expect_null(next_symbol(&scope, name));
}

Test(next_symbol, knows_who_is_in_front, .init = open_scope)
{
	/* Ours is the executable here: nobody is in front of it, but it is in front of libc. */
	struct link_map *libc = next_own_object();
	while (libc && !strstr(libc->l_name, "/libc.so.6"))
		libc = libc->l_next;
	cr_assert_not_null(libc);
	cr_expect_not(next_may_be_in_front(next_own_object(), "read"));
	cr_expect_not(next_may_be_in_front(libc, "no_such_function"));
	cr_expect(next_may_be_in_front(libc, "cr_log"), "Criterion's library comes before libc");
	cr_expect(next_may_be_in_front(NULL, "read"), "who does not know, must ask");
}
