/* SPDX-License-Identifier: MIT */
/*
 * Runs the registered tests one after another, each in a forked child, and prints the
 * line that tests/run.sh counts from.
 *
 * Context: tests.
 */
#include "criterion/criterion.h"

#include <stdarg.h>
#include <sys/wait.h>

/* Filled by constructors, before main. */
static struct tsan_test *tests;
/* Of the one test that this process runs; any of its threads may set it. */
static _Atomic bool has_failed;

void tsan_register(struct tsan_test *test)
{
	test->next = tests;
	tests = test;
}

void tsan_fail(const char *file, int line, const char *text, const char *format, ...)
{
	va_list args;
	has_failed = true;
	fprintf(stderr, "%s:%d: Assertion Failed: %s:", file, line, text);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* One that is all zero if the test's suite has nothing of its own. */
static const struct tsan_test *suite_of(const struct tsan_test *test)
{
	static const struct tsan_test none;
	for (const struct tsan_test *suite = tests; suite; suite = suite->next)
		if (!suite->run && strcmp(suite->suite, test->suite) == 0)
			return suite;
	return &none;
}

static _Noreturn void run_in_child(const struct tsan_test *test)
{
	const struct tsan_test *suite = suite_of(test);
	/* ThreadSanitizer makes a program some ten times slower. */
	alarm(test->timeout > 0 ? 10 * (unsigned)test->timeout : 240);
	void (*const steps[])(void) = {suite->init, test->init, test->run, test->fini, suite->fini};
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
		if (steps[i])
			steps[i]();
	/* exit(), not _exit(): ThreadSanitizer gives its findings a status of their own there. */
	exit(has_failed);
}

int main(void)
{
	unsigned tested = 0, passing = 0, crashing = 0;
	for (const struct tsan_test *test = tests; test; test = test->next) {
		int status;
		if (!test->run || test->disabled)
			continue;
		pid_t pid = fork();
		if (pid == 0)
			run_in_child(test);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		bool is_expected = test->signal ? WIFSIGNALED(status) && WTERMSIG(status) == test->signal
						: status == test->exit_code << 8;
		tested++;
		passing += is_expected;
		crashing += WIFSIGNALED(status) && !is_expected;
		if (!is_expected)
			fprintf(stderr, "[FAIL] %s::%s: wait status %#x\n", test->suite, test->name,
				(unsigned)status);
	}
	fprintf(stderr, "[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n", tested,
		passing, tested - passing, crashing);
	return passing == tested ? 0 : 1;
}
