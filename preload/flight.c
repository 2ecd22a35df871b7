/* SPDX-License-Identifier: MIT */
/*
 * The request is two words and the bell; the window lies in the segment anyway.
 *
 * Context: any (async-signal-safe).
 */
#include "flight.h"

#include "process.h"
#include "segment.h"
#include "session.h"

bool flight_request(uint32_t reason)
{
	if (!process_ensure_recording())
		return false;
	struct cprof_control *control = segment_control();
	/* Relaxed: it may be switched on or off at any time. */
	if (!(load_relaxed(&control->trace) & CPROF_TRACE_FLIGHT))
		return false;
	or_relaxed(&control->flight_reasons, reason);         /* ordered by the next one */
	add_release(&control->flight_requested, UINT32_C(1)); /* before the bell */
	session_ring_bell();
	return true;
}
