/* SPDX-License-Identifier: MIT */
/*
 * What a program asks for by include/cprof.h: what signals ask for otherwise.
 *
 * Context: any (async-signal-safe).
 */
#include <errno.h>

#include "cprof_compiler.h"
#include "flight.h"
#include "process.h"
#include "session.h"

/* include/cprof.h calls these by name. */
int cprof_api_snapshot(void);
int cprof_api_flight_snapshot(void);

EXPORT int cprof_api_snapshot(void)
{
	return session_request_snapshot() ? 0 : -ENOSYS;
}

EXPORT int cprof_api_flight_snapshot(void)
{
	if (!process_ensure_recording())
		return -ENOSYS;
	return flight_request(CPROF_FLIGHT_BY_CALL) ? 0 : -ENODATA;
}
