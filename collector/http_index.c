/* SPDX-License-Identifier: MIT */
/*
 * Go's page, with what a native program has besides: several processes, rates and
 * losses.  It loads nothing and runs nothing.
 *
 * Context: collector, main thread; see http_index.h.
 */
#include "http_index.h"

#include <inttypes.h>
#include <stdio.h>

#include "cprof_version.h"
#include "http_request.h"
#include "process_info.h"

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<title>/debug/pprof/</title>\n<style>\n"
	":root { color-scheme: light dark; --line: #ccc; --soft: #555; --link: #0645ad; }\n"
	"@media (prefers-color-scheme: dark) { :root { --line: #444; --soft: #aaa; --link: #8ab4f8; } }\n"
	"body { font: 16px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }\n"
	"h1 { font-size: 1.3rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }\n"
	"h2 { font-size: 1rem; margin: 1.6rem 0 .4rem; }\n"
	"p { margin: .3rem 0; color: var(--soft); overflow-wrap: anywhere; }\n"
	"a { color: var(--link); }\n"
	"table { border-collapse: collapse; width: 100%; }\n"
	"th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; "
	"border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }\n"
	"th:last-child, td:last-child { padding-right: 0; }\n"
	"th { font-weight: 600; color: var(--soft); }\n"
	"th.n { width: 1%; }\n"
	".n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }\n"
	"td p { margin: .1rem 0 0; font-size: .9rem; }\n"
	"code { font-size: .9rem; overflow-wrap: anywhere; }\n"
	"</style>\n</head>\n<body>\n";

/* What a kind's samples stand for; -1: it is not counted. */
static int64_t count_of(const struct cprof_process *process, enum profile_kind kind)
{
	switch (kind) {
	case PROFILE_CPU:
		return (int64_t)(process->weights[CPROF_KIND_CPU] / CPROF_WEIGHT_ONE);
	case PROFILE_HEAP:
		return (int64_t)(process->weights[CPROF_KIND_ALLOC] / CPROF_WEIGHT_ONE);
	case PROFILE_BLOCK:
		return (int64_t)(process->weights[CPROF_KIND_BLOCK] / CPROF_WEIGHT_ONE);
	case PROFILE_MUTEX:
		return (int64_t)(process->weights[CPROF_KIND_MUTEX] / CPROF_WEIGHT_ONE);
	case PROFILE_THREADCREATE:
		return (int64_t)(process->weights[CPROF_KIND_THREADCREATE] / CPROF_WEIGHT_ONE);
	case PROFILE_THREADS:
		return process->thread_count;
	case PROFILE_KIND_COUNT:
		break;
	}
	return 0;
}

static const char *off_note(const struct cprof_process *process, enum profile_kind kind)
{
	const struct cprof_rates *rates = &process->rates;
	bool has_locks = rates->block_rate_ns || rates->mutex_fraction;
	switch (kind) {
	case PROFILE_CPU:
		return rates->cpu_hz ? NULL : "Off: CPROF_CPU_HZ is 0.";
	case PROFILE_HEAP:
		return process->heap_state == CPROF_HEAP_ON    ? NULL
		       : process->heap_state == CPROF_HEAP_OFF ? "Off: CPROF_HEAP_RATE is 0."
							       : "Not available: the program defines malloc.";
	case PROFILE_BLOCK:
		return rates->block_rate_ns ? NULL
					    : "Off: set CPROF_BLOCK_RATE or `cprof set PID block_rate=1us`.";
	case PROFILE_MUTEX:
		return rates->mutex_fraction
			       ? NULL
			       : "Off: set CPROF_MUTEX_FRACTION or `cprof set PID mutex_fraction=1`.";
	case PROFILE_THREADCREATE:
		return has_locks ? NULL : "Off: recorded while block or mutex is on.";
	case PROFILE_THREADS:
	case PROFILE_KIND_COUNT:
		break;
	}
	return NULL;
}

static void write_row(struct text_buffer *page, const char *count, const char *name, const char *href,
		      const char *description, const char *note)
{
	text_buffer_format(page, "<tr><td class=\"n\">%s</td><td><a href=\"%s\">%s</a><p>", count, href,
			   name);
	text_buffer_html(page, description);
	text_buffer_string(page, ".</p>");
	if (note) {
		text_buffer_string(page, "<p>");
		text_buffer_html(page, note);
		text_buffer_string(page, "</p>");
	}
	text_buffer_string(page, "</td></tr>\n");
}

static void write_profiles(struct text_buffer *page, const struct cprof_process *process, const char *pid)
{
	text_buffer_string(
		page, "<h2>Profiles</h2>\n<table>\n<tr><th class=\"n\">Count</th><th>Profile</th></tr>\n");
	for (const struct http_profile_name *p = http_profile_names; p->name; p++) {
		char count[32];
		char href[96];
		snprintf(count, sizeof count, "%" PRId64, count_of(process, p->kind));
		snprintf(href, sizeof href, "%s?%s%s%s", p->name, p->is_timed ? "seconds=30" : "debug=1",
			 *pid ? "&amp;pid=" : "", pid);
		write_row(page, count, p->name, href, p->description, off_note(process, p->kind));
	}
	char href[96];
	snprintf(href, sizeof href, "trace?seconds=5%s%s", *pid ? "&amp;pid=" : "", pid);
	write_row(page, "", "trace", href,
		  "Execution trace of the next second, or of as many as the GET parameter seconds says, for "
		  "go tool trace, or with format=perfetto for ui.perfetto.dev",
		  NULL);
	text_buffer_string(page, "</table>\n");
}

static void write_more(struct text_buffer *page, const struct http_config *config, bool is_traced,
		       const char *pid)
{
	const char *mark = *pid ? "?pid=" : "";
	char threads[64];
	snprintf(threads, sizeof threads, "threads?debug=2%s%s", *pid ? "&amp;pid=" : "", pid);
	text_buffer_format(page,
			   "<h2>More</h2>\n<p><a href=\"%s\">all threads, one by one</a> &middot; "
			   "<a href=\"/metrics%s%s\">metrics</a> &middot; ",
			   threads, mark, pid);
	if (config->shows_cmdline)
		text_buffer_format(page, "<a href=\"cmdline%s%s\">command line</a> &middot; ", mark, pid);
	if (is_traced)
		text_buffer_format(page,
				   "<a href=\"/debug/trace/snapshot%s%s\">the flight recorder's window</a> "
				   "&middot; ",
				   mark, pid);
	text_buffer_format(page, "<a href=\"symbol%s%s\">symbol</a></p>\n", mark, pid);
	text_buffer_string(
		page, "<p><code>debug=1</code> shows a profile as text; without it, it is a file for "
		      "<code>go tool pprof</code>. <code>seconds=N</code> shows what happens in the next "
		      "N seconds.</p>\n");
}

static void write_processes(struct text_buffer *page, const struct client *clients)
{
	text_buffer_string(
		page,
		"<h2 id=\"processes\">Processes</h2>\n<table>\n<tr><th class=\"n\">PID</th><th>Name</th>"
		"<th class=\"n\">Threads</th></tr>\n");
	for (const struct client *client = clients; client; client = client->next) {
		struct cprof_process process;
		if (client->end_monotonic_ns)
			continue;
		process_info_fill(client, &process);
		text_buffer_format(page, "<tr><td class=\"n\"><a href=\"?pid=%u\">%u</a></td><td>",
				   client->writer.pid, client->writer.pid);
		text_buffer_html(page, client->writer.name);
		text_buffer_format(page, "%s</td><td class=\"n\">%u</td></tr>\n",
				   client->handle.is_first ? " (first)" : "", process.thread_count);
	}
	text_buffer_string(page, "</table>\n<p><a href=\"/metrics?pid=all\">metrics of all</a></p>\n");
}

void http_index_write(const struct http_config *config, const struct client *clients,
		      const struct client *shown, struct text_buffer *page)
{
	struct cprof_process process;
	char pid[16] = "";
	unsigned live = 0;
	for (const struct client *client = clients; client; client = client->next)
		live += client->end_monotonic_ns == 0;
	/* Links lead to the process that is shown, also when another becomes the default one. */
	if (live > 1)
		snprintf(pid, sizeof pid, "%u", shown->writer.pid);
	process_info_fill(shown, &process);
	text_buffer_add(page, head, sizeof head - 1);
	text_buffer_string(page, "<h1>");
	text_buffer_html(page, shown->writer.name);
	text_buffer_format(page,
			   " (%u)</h1>\n<p>/debug/pprof/ &middot; cprof " CPROF_VERSION
			   " &middot; running %" PRIu64 " s",
			   shown->writer.pid, process.running_ns / 1000000000);
	if (live > 1)
		text_buffer_format(page, " &middot; <a href=\"#processes\">%s of %u processes</a>",
				   shown->handle.is_first ? "the first" : "one", live);
	text_buffer_string(page, "</p>\n");
	write_profiles(page, &process, pid);
	write_more(page, config, process.rates.trace != 0, pid);
	if (live > 1)
		write_processes(page, clients);
	text_buffer_string(page, "</body>\n</html>\n");
}
