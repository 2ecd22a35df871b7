/* SPDX-License-Identifier: MIT */
/*
 * The table of variables and the parsers of their values.  getenv() is not used: some
 * programs (bash) define their own, which is not ready when we run.
 *
 * Context: init.
 */
#include "config.h"

#include <signal.h>
#include <stddef.h>

#include "cprof_compiler.h"
#include "cprof_geometry.h"
#include "cprof_units.h"
#include "cprof_wire.h"
#include "flight_slow.h"
#include "sys.h"
#include "text.h"

#define CPU_HZ_DEFAULT 100
#define HEAP_RATE_DEFAULT (UINT64_C(512) << 10)
#define MEM_DEFAULT (UINT64_C(256) << 20)
#define EXIT_WAIT_DEFAULT_NS (UINT64_C(10) * 1000 * 1000 * 1000)
#define FLIGHT_AGE_DEFAULT_NS (UINT64_C(10) * 1000 * 1000 * 1000)
#define FLIGHT_BYTES_DEFAULT (UINT64_C(10) << 20)
#define FLIGHT_BYTES_MIN (UINT64_C(64) << 10)
#define ENTRY_SHOWN_BYTES 256

struct config config = {
	.heap_rate_bytes = HEAP_RATE_DEFAULT,
	.mem_bytes = MEM_DEFAULT,
	.exit_wait_ns = EXIT_WAIT_DEFAULT_NS,
	.flight_age_ns = FLIGHT_AGE_DEFAULT_NS,
	.flight_bytes = FLIGHT_BYTES_DEFAULT,
	.cpu_hz = CPU_HZ_DEFAULT,
	.snapshot_signal = SIGUSR1,
	.follow = true,
	.segment = CONFIG_SEGMENT_AUTO,
	.log_level = LOG_WARN,
};

static bool set_out(const char *value)
{
	char absolute[CPROF_PATH_BYTES];
	struct text path;
	text_init(&path, absolute, sizeof absolute);
	bool is_here = !*value || text_equals(value, ".");
	if (value[0] != '/') {
		char cwd[CPROF_PATH_BYTES];
		if (sys_is_error(sys_call2(SYS_getcwd, (long)cwd, sizeof cwd)) || cwd[0] != '/')
			return false;
		text_add(&path, cwd);
		text_add(&path, is_here ? "" : "/");
	}
	text_add(&path, is_here ? "" : value);
	if (path.is_cut)
		return false;
	text_init(&path, config.out_dir, sizeof config.out_dir);
	text_add(&path, absolute);
	return true;
}

static bool set_cpu_hz(const char *value)
{
	uint64_t hz;
	if (!cprof_read_number(value, CPROF_CPU_HZ_MAX, &hz))
		return false;
	config.cpu_hz = (uint32_t)hz;
	return true;
}

static bool set_heap_rate(const char *value)
{
	return cprof_read_heap_rate(value, &config.heap_rate_bytes);
}

static bool set_block_rate(const char *value)
{
	if (!cprof_read_block_rate(value, &config.block_rate_ns))
		return false;
	if (config.block_rate_ns && !config.mutex_fraction_is_set)
		config.mutex_fraction = 1;
	return true;
}

static bool set_mutex_fraction(const char *value)
{
	uint64_t fraction;
	if (!cprof_read_number(value, CPROF_MUTEX_FRACTION_MAX, &fraction))
		return false;
	config.mutex_fraction = (uint32_t)fraction;
	config.mutex_fraction_is_set = true;
	return true;
}

static bool set_trace(const char *value)
{
	if (text_equals(value, "off"))
		config.trace = 0;
	else if (text_equals(value, "flight"))
		config.trace = CPROF_TRACE_FLIGHT;
	else if (text_equals(value, "full"))
		config.trace = CPROF_TRACE_STREAM;
	else
		return false;
	return true;
}

static bool set_flight_age(const char *value)
{
	uint64_t age_ns;
	if (!cprof_read_duration(value, &age_ns) || age_ns == 0)
		return false;
	config.flight_age_ns = age_ns;
	return true;
}

static bool set_flight_bytes(const char *value)
{
	uint64_t bytes;
	if (!cprof_read_size(value, &bytes) || bytes < FLIGHT_BYTES_MIN)
		return false;
	config.flight_bytes = bytes;
	config.flight_bytes_is_set = true;
	return true;
}

static bool set_flight_slow(const char *value)
{
	return flight_slow_read(value);
}

static bool read_signal(const char *value, int *out_number)
{
	static const struct {
		const char *name;
		int number;
	} signals[] = {{"none", 0},         {"HUP", SIGHUP},   {"USR1", SIGUSR1},    {"USR2", SIGUSR2},
		       {"WINCH", SIGWINCH}, {"URG", SIGURG},   {"IO", SIGIO},        {"PWR", SIGPWR},
		       {"QUIT", SIGQUIT},   {"TRAP", SIGTRAP}, {"VTALRM", SIGVTALRM}};
	const char *name = text_after(value, "SIG");
	if (!name)
		name = value;
	for (size_t i = 0; i < ARRAY_LENGTH(signals); i++)
		if (text_equals(name, signals[i].name)) {
			*out_number = signals[i].number;
			return true;
		}
	uint64_t number;
	/* Real-time signals by number; what the kernel, libc or cprof itself needs is refused. */
	if (cprof_read_number(value, 64, &number) && number >= 34) {
		*out_number = (int)number;
		return true;
	}
	return false;
}

static bool set_signal(const char *value)
{
	return read_signal(value, &config.snapshot_signal);
}

/* After CPROF_SIGNAL: one signal cannot ask for both. */
static bool set_flight_signal(const char *value)
{
	int number;
	if (!read_signal(value, &number) || (number && number == config.snapshot_signal))
		return false;
	config.flight_signal = number;
	return true;
}

static bool read_bool(const char *value, bool *out)
{
	if (!text_equals(value, "0") && !text_equals(value, "1"))
		return false;
	*out = value[0] == '1';
	return true;
}

static bool set_follow(const char *value)
{
	return read_bool(value, &config.follow);
}

static bool set_debuginfod(const char *value)
{
	return read_bool(value, &config.debuginfod);
}

static bool set_match(const char *value)
{
	config.match = *value ? value : NULL;
	return true;
}

static bool set_skip(const char *value)
{
	config.skip = *value ? value : NULL;
	return true;
}

static bool set_mem(const char *value)
{
	uint64_t bytes;
	if (!cprof_read_size(value, &bytes) || bytes < CPROF_SEGMENT_BYTES_MIN ||
	    bytes > CPROF_SEGMENT_BYTES_MAX)
		return false;
	config.mem_bytes = bytes;
	config.mem_is_set = true;
	return true;
}

static bool set_segment(const char *value)
{
	if (text_equals(value, "auto"))
		config.segment = CONFIG_SEGMENT_AUTO;
	else if (text_equals(value, "memfd"))
		config.segment = CONFIG_SEGMENT_MEMFD;
	else if (text_equals(value, "file"))
		config.segment = CONFIG_SEGMENT_FILE;
	else
		return false;
	return true;
}

static bool set_exit_wait(const char *value)
{
	return cprof_read_duration(value, &config.exit_wait_ns);
}

static bool set_collector(const char *value)
{
	config.collector = *value ? value : NULL;
	return true;
}

static bool set_log(const char *value)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		if (text_equals(value, names[i])) {
			config.log_level = (enum log_level)i;
			return true;
		}
	return false;
}

static bool set_session(const char *value)
{
	config.session = value;
	return true;
}

/* Only the collector reads it, in its own environment: it is not ours to judge. */
static bool ignore(const char *value)
{
	(void)value;
	return true;
}

/* The collector judges it, see ignore(). */
static bool set_http(const char *value)
{
	config.is_served = *value != '\0';
	return true;
}

/* LOG comes first, so that it governs the lines about the others. */
static const struct variable {
	const char *name;
	bool (*set)(const char *value);
	const char *accepted; /* and what is used instead */
} variables[] = {
	{"CPROF_LOG", set_log, "error, warn, info or debug; using warn"},
	{CPROF_SESSION_ENV, set_session, ""},
	{"CPROF_OUT", set_out, "a directory whose path is shorter than 4096 bytes; using ."},
	{"CPROF_CPU_HZ", set_cpu_hz, CPROF_CPU_HZ_ACCEPTED "; using 100"},
	{"CPROF_HEAP_RATE", set_heap_rate, CPROF_HEAP_RATE_ACCEPTED "; using 512K"},
	{"CPROF_BLOCK_RATE", set_block_rate, CPROF_BLOCK_RATE_ACCEPTED "; using 0"},
	{"CPROF_MUTEX_FRACTION", set_mutex_fraction,
	 CPROF_MUTEX_FRACTION_ACCEPTED "; using 1 with CPROF_BLOCK_RATE, else 0"},
	{"CPROF_SIGNAL", set_signal,
	 "USR1, USR2, another catchable signal's name, 34 to 64, or none; using USR1"},
	{"CPROF_TRACE", set_trace, "off, flight or full; using off"},
	{"CPROF_FLIGHT_AGE", set_flight_age, "a duration such as 500ms, 10s or 1m; using 10s"},
	{"CPROF_FLIGHT_BYTES", set_flight_bytes, "a size from 64K on; using 10M"},
	{"CPROF_FLIGHT_SIGNAL", set_flight_signal,
	 "a signal as of CPROF_SIGNAL, but not the same one; using none"},
	{"CPROF_FLIGHT_SLOW", set_flight_slow,
	 "up to 8 of name:duration such as checkout:250ms, separated by commas; saving nothing"},
	{"CPROF_FOLLOW", set_follow, "0 or 1; using 1"},
	{"CPROF_MATCH", set_match, "a glob"},
	{"CPROF_SKIP", set_skip, "a glob"},
	{"CPROF_MEM", set_mem, "a size from 1M to 16G; using 256M"},
	{"CPROF_SEGMENT", set_segment, "auto, memfd or file; using auto"},
	{"CPROF_EXIT_WAIT", set_exit_wait, "a duration such as 500ms, 10s or 1m, or 0; using 10s"},
	{"CPROF_COLLECTOR", set_collector, "a path"},
	{"CPROF_DEBUGINFOD", set_debuginfod, "0 or 1; using 0"},
	{"CPROF_RUN", ignore, ""},
	{"CPROF_HTTP", set_http, ""},
	{"CPROF_HTTP_USER", ignore, ""},
	{"CPROF_HTTP_PASSWORD_FILE", ignore, ""},
	{"CPROF_HTTP_CMDLINE", ignore, ""},
	{"CPROF_INTERVAL", ignore, ""},
	{"CPROF_KEEP", ignore, ""},
	{"CPROF_PUSH", ignore, ""},
	{"CPROF_LABELS", ignore, ""},
};

/* The value of the variable in "NAME=value", or NULL if `entry` is of another variable. */
static const char *value_of(const char *entry, const char *name)
{
	const char *rest = text_after(entry, name);
	return rest && *rest == '=' ? rest + 1 : NULL;
}

/* An entry may be of any length and hold anything: what is said of it stays one line, and whole. */
static void complain(const char *entry, const char *what, const char *more)
{
	char shown[ENTRY_SHOWN_BYTES];
	struct text text;
	text_init(&text, shown, sizeof shown);
	text_add(&text, entry);
	for (size_t i = 0; i < text.length; i++)
		if ((unsigned char)shown[i] < ' ' || shown[i] == 0x7f)
			shown[i] = '?';
	LOG(LOG_WARN, shown, text.is_cut ? "..." : "", what, more);
}

static void warn_unknown(char *const *environment)
{
	for (; *environment; environment++) {
		if (!text_after(*environment, "CPROF_"))
			continue;
		bool is_known = false;
		for (size_t i = 0; i < ARRAY_LENGTH(variables); i++)
			is_known = is_known || value_of(*environment, variables[i].name);
		if (!is_known)
			complain(*environment, ": there is no such variable; it is ignored", "");
	}
}

void config_read(char *const *environment)
{
	if (!set_out("."))
		config.out_dir[0] = '\0';
	for (size_t i = 0; i < ARRAY_LENGTH(variables); i++)
		for (char *const *entry = environment; *entry; entry++) {
			const char *value = value_of(*entry, variables[i].name);
			if (!value)
				continue;
			/* Descendants read the same values: the first process has said it. */
			if (!variables[i].set(value) && !config.session)
				complain(*entry, ": accepted is ", variables[i].accepted);
			break;
		}
	if (!config.session)
		warn_unknown(environment);
}

bool config_has_profiles(void)
{
	return config.cpu_hz || config.heap_rate_bytes || config.block_rate_ns || config.mutex_fraction ||
	       config.trace || config.is_served;
}

/* Matches one character against the set behind '['; *pattern is moved behind its ']'. */
static bool set_matches(const char **pattern, char c)
{
	const char *p = *pattern;
	bool negate = *p == '!' || *p == '^';
	bool found = false;
	if (negate)
		p++;
	const char *start = p;
	for (; *p && (*p != ']' || p == start); p++) {
		if (p[1] == '-' && p[2] && p[2] != ']') {
			found = found || (*p <= c && c <= p[2]);
			p += 2;
		} else {
			found = found || *p == c;
		}
	}
	*pattern = *p ? p + 1 : p;
	return found != negate;
}

bool config_glob_matches(const char *pattern, const char *name)
{
	const char *star = NULL; /* where to go back to: behind the last *, with one more character eaten */
	const char *star_name = NULL;
	while (*name) {
		const char *p = pattern;
		bool matches;
		if (*p == '*') {
			star = ++pattern;
			star_name = name;
			continue;
		}
		if (*p == '[') {
			p++;
			matches = set_matches(&p, *name);
		} else {
			if (*p == '\\' && p[1])
				p++;
			else if (*p == '?') {
				pattern++;
				name++;
				continue;
			}
			matches = *p == *name;
			p += *p != '\0';
		}
		if (matches) {
			pattern = p;
			name++;
		} else if (star) {
			pattern = star;
			name = ++star_name;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}
