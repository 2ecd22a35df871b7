/* SPDX-License-Identifier: MIT */
/*
 * The page at /debug/pprof/.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_HTTP_INDEX_H
#define COLLECTOR_HTTP_INDEX_H

#include "client.h"
#include "http_config.h"
#include "text_buffer.h"

/* Writes the page of one process of the tree.  Takes no time worth mentioning. */
void http_index_write(const struct http_config *config, const struct client *clients,
		      const struct client *shown, struct text_buffer *page);

#endif
