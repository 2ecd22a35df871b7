/* SPDX-License-Identifier: MIT */
/*
 * The collector's copy of one process's module table.  A row's file is opened as
 * soon as the row is seen: processes end and files get replaced.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_MODULE_ROWS_H
#define COLLECTOR_MODULE_ROWS_H

#include "profile.h"
#include "segment_reader.h"

/* All zero is a valid, empty table. */
struct module_rows {
	struct profile_module *modules; /* sorted by id; paths and array are owned */
	size_t count;
	uint32_t scanned; /* rows below are copied, or given up as nonsense */
};

/*
 * Copies the rows published since the last call and opens their images; root_fd is
 * the process's root directory (O_PATH), or -1.  Returns the number of new rows.
 */
size_t module_rows_update(struct module_rows *rows, const struct segment_reader *reader, int root_fd);

/* Takes the current load addresses of known rows: an object loaded again may have moved. */
void module_rows_refresh(struct module_rows *rows, const struct segment_reader *reader);

void module_rows_free(struct module_rows *rows);

#endif
