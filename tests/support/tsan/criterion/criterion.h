/* SPDX-License-Identifier: MIT */
/*
 * As much of Criterion as our tests use, for ThreadSanitizer: Criterion's own way of
 * starting a test in a process of its own (libboxfort 0.1.4, as in Debian 12) needs
 * address ranges that ThreadSanitizer occupies, and crashes.  Found in place of
 * Criterion by -Itests/support/tsan; criterion.c there has main().
 *
 * Context: tests.
 */
#ifndef TSAN_CRITERION_H
#define TSAN_CRITERION_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A test, or a suite (no `run`), whose init and fini enclose those of its tests. */
struct tsan_test {
	const char *suite;
	const char *name;
	void (*run)(void);
	void (*init)(void);
	void (*fini)(void);
	double timeout;
	bool disabled;
	int signal;
	int exit_code;
	struct tsan_test *next;
};

/* Before main, by a constructor of each test. */
void tsan_register(struct tsan_test *test);

/* Notes and prints a failure; the format begins with a blank, for those without a message. */
__attribute__((format(printf, 4, 5))) void tsan_fail(const char *file, int line, const char *text,
						     const char *format, ...);

#define Test(suite_, name_, ...)                                                               \
	static void suite_##_##name_##_run(void);                                              \
	static struct tsan_test suite_##_##name_ = {                                           \
		.suite = #suite_, .name = #name_, .run = suite_##_##name_##_run, __VA_ARGS__}; \
	static __attribute__((constructor)) void suite_##_##name_##_register(void)             \
	{                                                                                      \
		tsan_register(&suite_##_##name_);                                              \
	}                                                                                      \
	static void suite_##_##name_##_run(void)

#define TestSuite(suite_, ...)                                                    \
	static struct tsan_test suite_##_suite = {.suite = #suite_, __VA_ARGS__}; \
	static __attribute__((constructor)) void suite_##_suite_register(void)    \
	{                                                                         \
		tsan_register(&suite_##_suite);                                   \
	}                                                                         \
	struct tsan_test /* takes the semicolon */

/* The message, a format with arguments, is evaluated only on failure. */
#define tsan_check(condition, is_fatal, text, ...)                            \
	do {                                                                  \
		if (!(condition)) {                                           \
			tsan_fail(__FILE__, __LINE__, text, " " __VA_ARGS__); \
			if (is_fatal)                                         \
				_exit(1);                                     \
		}                                                             \
	} while (0)

#define cr_assert(c, ...) tsan_check(c, true, #c, __VA_ARGS__)
#define cr_assert_not(c, ...) tsan_check(!(c), true, "not " #c, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) tsan_check((a) == (b), true, #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) tsan_check((a) != (b), true, #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) tsan_check((a) < (b), true, #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) tsan_check((a) <= (b), true, #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) tsan_check((a) > (b), true, #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) tsan_check((a) >= (b), true, #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(p, ...) tsan_check((p) == NULL, true, #p " == NULL", __VA_ARGS__)
#define cr_assert_not_null(p, ...) tsan_check((p) != NULL, true, #p " != NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) tsan_check(strcmp(a, b) == 0, true, #a " equals " #b, __VA_ARGS__)
#define cr_assert_fail(...) tsan_check(false, true, "reached", __VA_ARGS__)
#define cr_expect(c, ...) tsan_check(c, false, #c, __VA_ARGS__)
#define cr_expect_not(c, ...) tsan_check(!(c), false, "not " #c, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) tsan_check((a) == (b), false, #a " == " #b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...) tsan_check((a) != (b), false, #a " != " #b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...) tsan_check((a) < (b), false, #a " < " #b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...) tsan_check((a) <= (b), false, #a " <= " #b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...) tsan_check((a) > (b), false, #a " > " #b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...) tsan_check((a) >= (b), false, #a " >= " #b, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) tsan_check(strcmp(a, b) == 0, false, #a " equals " #b, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, n, ...) tsan_check(memcmp(a, b, n) == 0, false, #a " equals " #b, __VA_ARGS__)
#define cr_skip_test(...) _exit(0)

#endif
