/* SPDX-License-Identifier: MIT */
/*
 * A profile in the text form that Go serves for debug=1, for people and for pprof, which
 * reads it too.  Where Go shows what it sampled, so do we: a reader scales heap figures
 * up by the rate, as if they were Go's.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_PROFILE_TEXT_H
#define COLLECTOR_PROFILE_TEXT_H

#include "profile.h"
#include "text_buffer.h"

/*
 * Writes the profile, symbolised.  `name` is the one it was asked for by.  tick(tick_arg),
 * if not NULL, is called now and then.  Failures are the text's.
 */
void profile_text_write(const struct profile *profile, const char *name, void (*tick)(void *), void *tick_arg,
			struct text_buffer *text);

/* One frame's lines, "#\t0xpc\tname+0xoffset\tfile:line", one for each inlined function too. */
void profile_text_frame(const struct profile *profile, uint64_t frame, struct text_buffer *text);

/* The name of a frame's innermost function; NULL: it has none, or is not shown. */
const char *profile_text_name_of(const struct profile *profile, uint64_t frame);

/*
 * The name of the code at an address of the running process, or NULL.  Lives as long as
 * the image or map that it comes from.
 */
const char *profile_text_name_at(const struct profile *profile, uint64_t address);

#endif
