/* SPDX-License-Identifier: MIT */
/*
 * The labels in force on a thread are an id in its thread-local state: samples take it from
 * there, started threads and forked children inherit it.
 *
 * Context: any (async-signal-safe).
 */
#include "cprof_compiler.h"
#include "label_table.h"
#include "process.h"
#include "thread.h"

/* include/cprof.h calls these by name. */
uint32_t cprof_api_labels_push(const char *key, const char *value);
uint32_t cprof_api_labels_switch(uint32_t labels);
uint32_t cprof_api_labels_current(void);

EXPORT uint32_t cprof_api_labels_push(const char *key, const char *value)
{
	/* First of all: a forked child's registration may take its labels away. */
	bool is_recording = process_ensure_recording();
	uint32_t before = thread_tls.labels;
	if (is_recording)
		thread_tls.labels = label_table_add(before, key ? key : "", value ? value : "");
	return before;
}

EXPORT uint32_t cprof_api_labels_switch(uint32_t labels)
{
	uint32_t before = thread_tls.labels;
	thread_tls.labels = labels & (CPROF_LABEL_IDS - 1);
	return before;
}

EXPORT uint32_t cprof_api_labels_current(void)
{
	return thread_tls.labels;
}
