/* SPDX-License-Identifier: MIT */
/*
 * `cprof set PID RATE=VALUE...`: changes the rates of a live process.
 *
 * Context: command line.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "collector_peer.h"
#include "cprof_compiler.h"
#include "cprof_units.h"
#include "rate_text.h"

static bool read_cpu_hz(const char *text, struct cprof_rates *rates)
{
	uint64_t hz;
	if (!cprof_read_number(text, CPROF_CPU_HZ_MAX, &hz))
		return false;
	rates->cpu_hz = (uint32_t)hz;
	return true;
}

static bool read_heap_rate(const char *text, struct cprof_rates *rates)
{
	return cprof_read_heap_rate(text, &rates->heap_rate_bytes);
}

static bool read_block_rate(const char *text, struct cprof_rates *rates)
{
	return cprof_read_block_rate(text, &rates->block_rate_ns);
}

static bool read_mutex_fraction(const char *text, struct cprof_rates *rates)
{
	uint64_t fraction;
	if (!cprof_read_number(text, CPROF_MUTEX_FRACTION_MAX, &fraction))
		return false;
	rates->mutex_fraction = (uint32_t)fraction;
	return true;
}

static bool read_trace(const char *text, struct cprof_rates *rates)
{
	rates->trace = strcmp(text, "flight") == 0 ? CPROF_TRACE_FLIGHT : 0;
	return rates->trace || strcmp(text, "off") == 0;
}

static const struct setting {
	const char *name;
	uint32_t which;
	bool (*read)(const char *text, struct cprof_rates *rates);
	const char *accepted;
} settings[] = {
	{"cpu_hz", CPROF_RATE_CPU_HZ, read_cpu_hz, CPROF_CPU_HZ_ACCEPTED},
	{"heap_rate", CPROF_RATE_HEAP, read_heap_rate, CPROF_HEAP_RATE_ACCEPTED},
	{"block_rate", CPROF_RATE_BLOCK, read_block_rate, CPROF_BLOCK_RATE_ACCEPTED},
	{"mutex_fraction", CPROF_RATE_MUTEX, read_mutex_fraction, CPROF_MUTEX_FRACTION_ACCEPTED},
	{"trace", CPROF_RATE_TRACE, read_trace, CPROF_TRACE_SET_ACCEPTED},
};

static void print_help(void)
{
	puts("usage: cprof set PID RATE=VALUE...\n\n"
	     "Changes rates of a live process and prints those that are in force.\n");
	for (size_t i = 0; i < ARRAY_LENGTH(settings); i++)
		printf("  %-15s %s\n", settings[i].name, settings[i].accepted);
	puts("\nWhat is not named stays as it is.  Processes that it starts later have the variables' "
	     "rates.");
}

/* Reads "name=value".  False and said why, if it is none. */
static bool parse_setting(const char *argument, struct cprof_rates *rates)
{
	const char *value = strchr(argument, '=');
	for (size_t i = 0; value && i < ARRAY_LENGTH(settings); i++) {
		const struct setting *setting = &settings[i];
		if (strlen(setting->name) != (size_t)(value - argument) ||
		    strncmp(argument, setting->name, strlen(setting->name)) != 0)
			continue;
		if (setting->read(value + 1, rates)) {
			rates->which |= setting->which;
			return true;
		}
		fprintf(stderr, "cprof set: %s: accepted is %s\n", argument, setting->accepted);
		return false;
	}
	fprintf(stderr, "cprof set: %s: accepted:", argument);
	for (size_t i = 0; i < ARRAY_LENGTH(settings); i++)
		fprintf(stderr, " %s=", settings[i].name);
	fputc('\n', stderr);
	return false;
}

static void print_rates(enum cprof_answer_what what, const void *bytes, size_t size, void *argument)
{
	struct cprof_process process;
	char heap_rate[RATE_TEXT_BYTES], block_rate[RATE_TEXT_BYTES];
	(void)argument;
	if (what != CPROF_ANSWER_PROCESS || size != sizeof process)
		return;
	memcpy(&process, bytes, sizeof process);
	rate_text_bytes(process.rates.heap_rate_bytes, heap_rate);
	rate_text_ns(process.rates.block_rate_ns, block_rate);
	printf("cpu_hz=%u heap_rate=%s block_rate=%s mutex_fraction=%u trace=%s\n", process.rates.cpu_hz,
	       heap_rate, block_rate, process.rates.mutex_fraction,
	       process.rates.trace & CPROF_TRACE_STREAM   ? "full"
	       : process.rates.trace & CPROF_TRACE_FLIGHT ? "flight"
							  : "off");
}

int cmd_set(int argc, char **argv)
{
	struct cprof_command command = {.what = CPROF_COMMAND_SET};
	pid_t pid = 0;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			print_help();
			return EXIT_SUCCESS;
		}
		if (strchr(argv[i], '=') || argv[i][0] == '-' || pid) {
			if (!parse_setting(argv[i], &command.rates))
				return EXIT_FAILURE;
		} else if (!(pid = collector_parse_pid("set", argv[i]))) {
			return EXIT_FAILURE;
		}
	}
	if (!pid || !command.rates.which) {
		fprintf(stderr, "cprof set: %s is missing; accepted: cprof set PID RATE=VALUE...\n",
			pid ? "a rate" : "a PID");
		return EXIT_FAILURE;
	}
	int status = collector_ask_about("set", pid, &command, print_rates, NULL);
	return fflush(stdout) == 0 ? status : EXIT_FAILURE;
}
