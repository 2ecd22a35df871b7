/* SPDX-License-Identifier: MIT */
/*
 * A process in the text format that Prometheus scrapes (version 0.0.4).  Names, types
 * and units are an interface: dashboards and alerts are built on them.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_METRICS_H
#define COLLECTOR_METRICS_H

#include "client.h"
#include "push.h"
#include "text_buffer.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* What is known besides the process itself. */
struct metrics_tree {
	unsigned process_count;  /* live and profiled */
	unsigned watch_count;    /* profiles that are being taken over HTTP */
	const struct push *push; /* NULL: nothing is sent */
};

/* Writes all metrics of a process.  May take long; tick(tick_arg) is called meanwhile. */
void metrics_write(struct client *client, const struct metrics_tree *tree, void (*tick)(void *),
		   void *tick_arg, struct text_buffer *text);

/* The same of all live processes, told apart by the labels pid and process. */
void metrics_write_all(struct client *clients, const struct metrics_tree *tree, void (*tick)(void *),
		       void *tick_arg, struct text_buffer *text);

#endif
