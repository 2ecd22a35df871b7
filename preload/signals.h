/* SPDX-License-Identifier: MIT */
/*
 * The signals that cprof takes, and what the program believes about them.
 *
 * SIGPROF: our handler stays installed and the signal stays open in every thread,
 * also when the program blocks it (threads that block everything are common and would
 * vanish from the profile).  The program's own handler and mask are remembered,
 * reported back to it, and served: a SIGPROF that is not from our timers goes to the
 * program's handler, or has the default action that it would have had.
 *
 * Those that ask for something (CPROF_SIGNAL, CPROF_FLIGHT_SIGNAL): taken only while the
 * program does not want them.
 *
 * Context: as the interposed functions, unless noted.
 */
#ifndef PRELOAD_SIGNALS_H
#define PRELOAD_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* Context: init.  Installs the handlers. */
void signals_load(void);

/* Whether SIGPROF is ours to keep open. */
bool signals_own_sigprof(void);

/* From now on our timers' signals do nothing; unless the program handles SIGPROF itself. */
void signals_ignore_sigprof(void);

/* What the program sets, and gets back, for SIGPROF. */
void signals_set_sigprof_action(const struct sigaction *action, struct sigaction *old_action);
bool signals_program_handles_sigprof(void);

/* Whether this signal asks for something and has our handler; the program wants it for itself. */
bool signals_own_request(int number);
void signals_give_up_request(int number);

#endif
