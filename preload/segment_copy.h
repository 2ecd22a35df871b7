/* SPDX-License-Identifier: MIT */
/*
 * The segment once more: for a process whose collector is dead.  It keeps no descriptor of
 * its segment, and the kernel gives none for a mapping but to root; so there is a copy of
 * what is in it, which may take the mapping's place.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_SEGMENT_COPY_H
#define PRELOAD_SEGMENT_COPY_H

/* Copies what the segment has in memory to a file; the rest becomes a hole.  0 or -errno. */
long segment_copy_to(int fd);

/*
 * Others of this process go on recording while it moves.  What they record in that moment
 * is lost: only for a process that is about to end.
 */
enum segment_others { SEGMENT_NO_OTHERS, SEGMENT_WITH_OTHERS };

/*
 * A descriptor of this process's segment, which may be another file from now on.
 * -EBUSY: that would lose what other threads record.  The caller closes it.
 */
int segment_reopen(enum segment_others others);

#endif
