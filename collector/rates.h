/* SPDX-License-Identifier: MIT */
/*
 * Changing the rates of a process while it runs.  The library looks at them at each
 * event, so a new rate holds from some event on, and each sample is weighed with the
 * rate that it was drawn with.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_RATES_H
#define COLLECTOR_RATES_H

#include "cprof_wire.h"

#define RATES_LINE_BYTES 256

/*
 * Puts the rates in force, all or none.  0; -EINVAL: one of them is out of its range;
 * -ENOTSUP: this process cannot have it.  Then out_line says which, why, and what is
 * accepted.
 */
int rates_apply(struct cprof_control *control, const struct cprof_rates *rates,
		char out_line[RATES_LINE_BYTES]);

/* Sets what is traced: bits CPROF_TRACE_*. */
void rates_set_trace(struct cprof_control *control, uint32_t bits);

#endif
