/* SPDX-License-Identifier: MIT */
/*
 * The segment: the memory that a profiled process shares with its collector, and
 * all that both sides have to agree on.  One segment for each process image (a
 * fork or an exec gets a new one).  Fixed-width types, offsets, no pointers.
 *
 * The totals and the live table in the segment ARE the aggregate.  The collector
 * holds nothing that it could not compute again from here; so a snapshot, the end
 * of the process, its death by kill -9, the take-over by another collector and
 * `cprof recover FILE` are one mechanism.
 *
 * Where each table lies is in cprof_geometry.h.  The reader treats every byte as
 * hostile: it loads a value once into a local, validates the local and uses only that.
 *
 * Context: any (async-signal-safe): types and pure functions only.
 */
#ifndef CPROF_SHM_H
#define CPROF_SHM_H

#include "cprof_atomic.h"
#include "cprof_trace.h"

#include <stddef.h>
#include <stdint.h>

#define CPROF_MAGIC UINT64_C(0x314d4853464f5250) /* "PROFSHM1" in memory */
/* Changes with every change of this file or of where things lie: both ends must be of one build. */
#define CPROF_SHM_VERSION 14

/* ---- frames and stacks ------------------------------------------------------------------ */

/*
 * A frame is a code address as the unwinder found it, independent of where the
 * object was loaded:
 *   bits 63..49  module id (a row of the module table), or CPROF_MODULE_NONE
 *   bit  48      set: the address is that of an interrupted instruction;
 *                clear: it is a return address (the call ends one byte before)
 *   bits 47..0   address - load bias, i.e. the address as the ELF file counts it;
 *                for CPROF_MODULE_NONE (JIT code) the absolute address
 */
#define CPROF_MODULE_NONE 0x7fffu
#define CPROF_FRAME_EXACT (UINT64_C(1) << 48)
#define CPROF_FRAME_OFFSET_MASK ((UINT64_C(1) << 48) - 1)

static inline uint64_t cprof_frame(uint32_t module, uint64_t offset)
{
	return (uint64_t)module << 49 | (offset & CPROF_FRAME_OFFSET_MASK);
}
static inline uint32_t cprof_frame_module(uint64_t frame)
{
	return (uint32_t)(frame >> 49);
}
static inline uint64_t cprof_frame_offset(uint64_t frame)
{
	return frame & CPROF_FRAME_OFFSET_MASK;
}

#define CPROF_STACK_FRAMES_MAX 128

/* Flags of a stack. */
#define CPROF_STACK_TRUNCATED 1u /* deeper than CPROF_STACK_FRAMES_MAX */
#define CPROF_STACK_BROKEN 2u    /* the walk ended before the thread's first frame */

/*
 * An interned stack, leaf first.  Written before its id is published in the stack
 * index, never changed after.  The id is its offset in the frame arena in units of
 * 8 bytes; 0 is "no stack" (the arena's first 8 bytes are not used).
 */
struct cprof_stack {
	uint32_t hash;
	uint16_t frame_count;
	uint16_t flags;
	uint64_t frames[];
};
_Static_assert(sizeof(struct cprof_stack) == 8, "layout");

/*
 * A slot of the stack index: hash << 32 | stack id; 0 is empty.  Insert-only.
 * Two slots may hold equal stacks (a handler never waits for the slot that the
 * code it interrupted is filling): the reader merges by content.
 */
typedef atomic_u64 cprof_stack_slot;

/* ---- labels -------------------------------------------------------------------------------- */

#define CPROF_LABEL_KEY_BYTES 128u   /* longer ones are cut */
#define CPROF_LABEL_VALUE_BYTES 512u /* likewise */
#define CPROF_LABELS_MAX 16u         /* of a set: one more is not added (counted) */

/*
 * A set of labels: one label on top of another set; of equal keys the last one counts.
 * Like a stack it is written before its id is published in the label index, and never
 * changed after.  The id is its offset in the label arena in units of 8 bytes, below
 * 2^24; 0 is "no labels" (the arena's first 8 bytes are not used).
 */
struct cprof_label_set {
	uint32_t hash;
	uint32_t outer;       /* id of the set that this one adds to, 0: none; smaller than its own */
	uint16_t key_bytes;   /* without a terminator */
	uint16_t value_bytes; /* likewise */
	uint16_t depth;       /* labels of this set and those it adds to */
	char text[];          /* the key, then the value */
};
_Static_assert(offsetof(struct cprof_label_set, text) == 14, "layout");

#define CPROF_LABEL_IDS (UINT32_C(1) << 24)

/* A slot of the label index: hash << 32 | set id; 0 is empty.  Insert-only, as the stack index. */
typedef atomic_u64 cprof_label_slot;

/* ---- levelled hash tables ---------------------------------------------------------------- */

/*
 * The stack index, the label index, the totals and the live table are hash tables that
 * grow without moving anything: levels of buckets, each level 8 times as large as the
 * one before.  A key lives in its bucket of the first level that had room when it
 * came.  A bucket has 8 slots whose keys fill one cache line.  Small programs so
 * touch only the small first levels.  Most of a table is a hole in its file: a
 * reader that maps it and scans it would allocate every page, so it finds the data
 * with SEEK_DATA and copies it with pread().
 */
#define CPROF_BUCKET_SLOTS 8u
#define CPROF_LEVELS_MAX 8u
#define CPROF_LEVEL0_BUCKETS 64u

struct cprof_levels {
	uint32_t level_count;
	uint32_t bucket_mask[CPROF_LEVELS_MAX];  /* buckets of the level - 1 */
	uint32_t first_bucket[CPROF_LEVELS_MAX]; /* of the level, counted from the table's start */
	uint32_t bucket_count;                   /* of all levels */
};

/* Lays levels out over at most buckets_max buckets. */
static inline struct cprof_levels cprof_levels_layout(uint64_t buckets_max)
{
	struct cprof_levels l = {0};
	uint64_t level_buckets = CPROF_LEVEL0_BUCKETS;
	uint64_t used = 0;
	while (l.level_count < CPROF_LEVELS_MAX) {
		while (level_buckets > 1 && level_buckets > buckets_max - used)
			level_buckets /= 2;
		if (used + level_buckets > buckets_max)
			break;
		l.bucket_mask[l.level_count] = (uint32_t)level_buckets - 1;
		l.first_bucket[l.level_count] = (uint32_t)used;
		l.level_count++;
		used += level_buckets;
		level_buckets *= 8;
	}
	l.bucket_count = (uint32_t)used;
	return l;
}

/* The bucket of a key with this hash in a level. */
static inline uint32_t cprof_levels_bucket(const struct cprof_levels *l, uint32_t level, uint64_t hash)
{
	return l->first_bucket[level] + ((uint32_t)(hash >> (level * 3)) & l->bucket_mask[level]);
}

/* Finalizer of MurmurHash3 (Appleby, public domain): mixes every bit into every bit. */
static inline uint64_t cprof_mix64(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	x ^= x >> 33;
	return x;
}

/* ---- what is counted ------------------------------------------------------------------------ */

enum cprof_kind {
	CPROF_KIND_NONE = 0,
	CPROF_KIND_CPU = 1,   /* weight: timer expiries; value: nanoseconds of CPU time */
	CPROF_KIND_ALLOC = 2, /* weight: blocks; value: bytes asked for */
	CPROF_KIND_BLOCK = 3, /* weight: waits; value: nanoseconds that the caller waited */
	CPROF_KIND_MUTEX =
		4, /* weight: waits; value: nanoseconds that others waited for the caller's release */
	CPROF_KIND_THREADCREATE = 5, /* weight: threads started; value: 0 */
	CPROF_KIND_COUNT
};

/*
 * Weights are counts as fixed point with 16 fractional bits: a heap sample taken
 * with probability p counts as 1/p blocks.  Values are whole numbers.
 */
#define CPROF_WEIGHT_ONE (UINT64_C(1) << 16)

/*
 * Key of a total: stack id << 32 | owner << 27 | kind << 24 | label id (0: no labels).  0 is empty.
 * To an owned one, only the thread whose slot is owner - 1 adds; the reader adds up all owners'.
 */
static inline uint64_t cprof_total_key(uint32_t stack, uint32_t kind, uint32_t label)
{
	return (uint64_t)stack << 32 | (uint64_t)(kind & 7u) << 24 | (label & 0xffffffu);
}
_Static_assert(CPROF_KIND_COUNT <= 8, "three bits of the key");
#define CPROF_TOTAL_OWNERS 31u
static inline uint64_t cprof_total_key_owned(uint64_t key, uint32_t owner)
{
	return key | (uint64_t)owner << 27;
}
static inline uint32_t cprof_total_key_stack(uint64_t key)
{
	return (uint32_t)(key >> 32);
}
static inline uint32_t cprof_total_key_kind(uint64_t key)
{
	return (uint32_t)(key >> 24) & 7u;
}
static inline uint32_t cprof_total_key_label(uint64_t key)
{
	return (uint32_t)key & 0xffffffu;
}

/*
 * A total has two halves that are added up by the reader: one that threads of the
 * program add to (when their rings are full), one that only the collector stores
 * to (so that a batch can be replayed, see cprof_journal).
 */
struct cprof_sums {
	atomic_u64 producer_weight;
	atomic_u64 producer_value;
	atomic_u64 collector_weight;
	atomic_u64 collector_value;
};
struct cprof_total_bucket {
	atomic_u64 key[CPROF_BUCKET_SLOTS];
	struct cprof_sums sums[CPROF_BUCKET_SLOTS];
};
_Static_assert(sizeof(struct cprof_total_bucket) == 320, "layout");

/*
 * Live blocks that were sampled: the authority for "in use".
 * Address word: 0 empty; CPROF_LIVE_BUSY while a payload is being written (not
 * counted yet); the block's address; the address | CPROF_LIVE_DETACHED while a
 * realloc of it is under way (counted, but not to be found).  Blocks are aligned
 * to at least 8 bytes, so the low bits are free.
 */
#define CPROF_LIVE_BUSY UINT64_C(1)
#define CPROF_LIVE_DETACHED UINT64_C(2)
#define CPROF_LIVE_FLAGS UINT64_C(7)

struct cprof_live_payload {
	atomic_u64 weight;
	atomic_u64 value;
	atomic_u64 stack_label; /* stack id << 32 | label id */
};
struct cprof_live_bucket {
	atomic_u64 address[CPROF_BUCKET_SLOTS];
	struct cprof_live_payload payload[CPROF_BUCKET_SLOTS];
};
_Static_assert(sizeof(struct cprof_live_bucket) == 256, "layout");

/* ---- rings --------------------------------------------------------------------------------- */

/*
 * A record of a thread's ring: add weight and value to the total of
 * (stack, kind, label).  `stamp` is the record's position + 1 (low 32 bits) and is
 * stored last: a record whose stamp does not match is not yet, or was never, whole.
 * See cprof_ring.h for the protocol.
 */
struct cprof_record {
	atomic_u32 stamp;
	uint32_t stack;
	uint32_t kind_label; /* kind << 24 | label id */
	uint32_t reserved;
	uint64_t weight;
	uint64_t value;
};
_Static_assert(sizeof(struct cprof_record) == 32, "layout");

#define CPROF_RING_RECORDS 512u
#define CPROF_SCRATCH_LEVELS 3u

enum cprof_thread_state {
	CPROF_THREAD_FREE = 0,
	CPROF_THREAD_STARTING = 1, /* pthread_create took the slot for the thread it starts */
	CPROF_THREAD_LIVE = 2,
	CPROF_THREAD_ENDED = 3 /* free for the next thread too; the collector drains the ring all the same */
};

/* What a thread waits for. */
enum cprof_wait {
	CPROF_WAIT_NONE = 0,
	CPROF_WAIT_MUTEX = 1,
	CPROF_WAIT_RWLOCK_READ = 2,
	CPROF_WAIT_RWLOCK_WRITE = 3,
	CPROF_WAIT_SPIN = 4,
	CPROF_WAIT_COND = 5,
	CPROF_WAIT_SEMAPHORE = 6,
	CPROF_WAIT_BARRIER = 7,
	CPROF_WAIT_JOIN = 8,
	CPROF_WAIT_FUTEX = 9,
	/* Calls of the C library that block, watched only while a trace is taken. */
	CPROF_WAIT_READ = 10,  /* read, recv and their like: object: the descriptor */
	CPROF_WAIT_WRITE = 11, /* write, send and their like: likewise */
	CPROF_WAIT_POLL =
		12, /* poll, select, epoll: object: number of descriptors, or the epoll descriptor */
	CPROF_WAIT_ACCEPT = 13,  /* object: the descriptor */
	CPROF_WAIT_CONNECT = 14, /* likewise */
	CPROF_WAIT_SLEEP = 15,   /* nanosleep and its like: object: 0 */
	CPROF_WAIT_CHILD = 16,   /* the wait family: object: the pid asked for */
	CPROF_WAIT_SIGNAL = 17,  /* pause, sigsuspend, sigwait and its like: object: 0 */
	CPROF_WAIT_COUNT
};

/*
 * A wait in a function that is interposed, published while contention profiling is on
 * so that a dump needs neither to stop the thread nor to guess its registers.
 *
 * A sequence lock with one writer, the thread: `sequence` is odd while the rest is
 * being written; a reader that finds it odd or changed has read nothing.  A wait that
 * is entered by a handler during another one replaces it, and puts it back at its end.
 */
struct cprof_waiting {
	atomic_u32 sequence;
	atomic_u32 what;     /* enum cprof_wait; NONE: not in such a wait */
	atomic_u64 object;   /* address of the lock, of the futex word; JOIN: the pthread_t */
	atomic_u64 since_ns; /* CLOCK_MONOTONIC */
	atomic_u64 function; /* address of the function that waits, the leaf of its stack */
	/* Registers of its caller, as after the return; those that the caller's rules need. */
	atomic_u64 pc;
	atomic_u64 sp;
	atomic_u64 fp;
	atomic_u32 stack; /* id; 0: not walked, or not yet: stored by itself, after the rest */
	uint32_t reserved;
};
_Static_assert(sizeof(struct cprof_waiting) == 64, "layout");

/* A thread's slot.  Written by the thread unless noted. */
struct cprof_thread {
	/* Line 0: identity. */
	atomic_u32
		state; /* enum cprof_thread_state; FREE or ENDED -> STARTING by CAS, ENDED -> FREE by the collector */
	atomic_u32 tid;
	atomic_u64 generation; /* counts uses of this slot */
	atomic_u64 stack_low;  /* bounds of the thread's stack, 0 if not known */
	atomic_u64 stack_high;
	atomic_u32 created_by; /* stack id of the call that created the thread, 0 if not known */
	/* While a trace is taken, by the thread: its name as bytes, for who comes when it is dead; 0: not known. */
	atomic_u64 name[2];
	uint8_t pad0[8];
	/* Line 1: producer. */
	atomic_u64 head; /* next position to reserve */
	uint8_t pad1[56];
	/* Line 2: written by the collector. */
	atomic_u64 tail; /* all positions below are in the totals */
	uint8_t pad2[56];
	/* The program's own: what pthread_create hands to the new thread, the sampler's state. */
	uint64_t private_words[40];
	struct cprof_waiting waiting;
	/* Stacks under construction, one for each nesting level (handler in malloc in handler). */
	struct {
		uint32_t hash;
		uint16_t frame_count;
		uint16_t flags;
		uint64_t frames[CPROF_STACK_FRAMES_MAX];
	} scratch[CPROF_SCRATCH_LEVELS];
	uint8_t pad3[8192 - 192 - 320 - 64 - CPROF_SCRATCH_LEVELS * (8 + 8 * CPROF_STACK_FRAMES_MAX)];
	struct cprof_record ring[CPROF_RING_RECORDS];
};
_Static_assert(offsetof(struct cprof_thread, head) == 64, "layout");
_Static_assert(offsetof(struct cprof_thread, tail) == 128, "layout");
_Static_assert(offsetof(struct cprof_thread, waiting) == 512, "layout");
_Static_assert(offsetof(struct cprof_thread, ring) == 8192, "layout");
_Static_assert(sizeof(struct cprof_thread) == 24576, "layout");

/* ---- modules -------------------------------------------------------------------------------- */

enum cprof_module_state {
	CPROF_MODULE_EMPTY = 0,
	CPROF_MODULE_WRITING = 1,
	CPROF_MODULE_LOADED = 2,
	CPROF_MODULE_UNLOADED = 3 /* dlclose'd; frames keep referring to the row */
};

#define CPROF_BUILD_ID_MAX 32u

/*
 * One loaded object.  A row is never given to another object; an object that is
 * unloaded and loaded again (same file, same build id) gets its row back.
 * Published by a release store of state.
 */
struct cprof_module {
	atomic_u32 state;
	uint32_t flags; /* CPROF_MODULE_* */
	uint64_t bias;  /* run-time address = address in the ELF file + bias */
	uint64_t image_start;
	uint64_t image_end; /* of the whole object in memory */
	uint64_t text_start;
	uint64_t text_end;    /* the largest executable PT_LOAD, page aligned, as in /proc/PID/maps */
	uint64_t text_offset; /* its file offset */
	uint64_t device;
	uint64_t inode;       /* 0 where not known (vdso) */
	uint32_t path_offset; /* in the string arena */
	uint32_t path_bytes;  /* without a terminator */
	uint32_t build_id_bytes;
	uint8_t build_id[CPROF_BUILD_ID_MAX];
	uint8_t pad[12];
};
_Static_assert(sizeof(struct cprof_module) == 128, "layout");

#define CPROF_MODULE_IS_MAIN 1u  /* the executable */
#define CPROF_MODULE_IS_CPROF 2u /* libcprof.so itself: its frames are never shown */
#define CPROF_MODULE_IS_VDSO 4u

/* ---- control block ---------------------------------------------------------------------------- */

/* Why something is missing.  Each is shown in the profiles; none is ever reset. */
enum cprof_counter {
	CPROF_LOST_CPU_NS,        /* CPU samples dropped, as nanoseconds of CPU time */
	CPROF_LOST_CPU_SAMPLES,   /* the same as expiries */
	CPROF_LOST_ALLOC_BLOCKS,  /* heap samples dropped: estimated blocks */
	CPROF_LOST_ALLOC_BYTES,   /* the same as bytes */
	CPROF_LOST_LIVE_BLOCKS,   /* counted as allocated but not in the live table (full) */
	CPROF_STACKS_TRUNCATED,   /* samples whose stack was deeper than CPROF_STACK_FRAMES_MAX */
	CPROF_STACKS_BROKEN,      /* samples whose walk did not reach the first frame */
	CPROF_STACKS_MISSING,     /* samples kept without a stack */
	CPROF_STACK_TABLE_FULL,   /* of these, because the stack table was full */
	CPROF_TOTALS_FULL,        /* samples that found no room in the totals */
	CPROF_MODULES_FULL,       /* frames whose module found no row */
	CPROF_THREADS_NO_SLOT,    /* threads for which no slot was free */
	CPROF_THREADS_NO_TIMER,   /* threads whose CPU timer could not be made */
	CPROF_THREADS_STARTED,    /* not a loss: threads that got a slot */
	CPROF_NESTED_TOO_DEEP,    /* samples taken in the 4th nesting level: kept without a stack */
	CPROF_EARLY_ALLOCATIONS,  /* allocations before the library was ready */
	CPROF_LOST_BLOCK_WAITS,   /* block samples dropped: waits */
	CPROF_LOST_BLOCK_NS,      /* the same as nanoseconds waited */
	CPROF_LOST_MUTEX_WAITS,   /* mutex samples dropped: waits */
	CPROF_LOST_MUTEX_NS,      /* the same as nanoseconds waited */
	CPROF_WAITS_UNTRACKED,    /* waits charged to no holder: the table was full, or it is not seen */
	CPROF_LOST_THREAD_STARTS, /* threads missing from the threadcreate profile */
	CPROF_LABELS_LOST,        /* labels that were not added: the table or the set was full */
	CPROF_LOST_TRACE_EVENTS,  /* dropped in gaps of the trace, see cprof_trace.h */
	CPROF_RECORDS_TORN, /* ring records that were being written at the moment of death; by the collector */
	CPROF_COUNTER_COUNT
};

/* Where samples of a kind are counted that found no room in the totals: their weight, and their value. */
struct cprof_lost {
	enum cprof_counter weight;
	enum cprof_counter value; /* CPROF_COUNTER_COUNT: they have none */
};

/* False: there are no samples of this kind. */
static inline bool cprof_lost_of(uint32_t kind, struct cprof_lost *out_lost)
{
	static const struct cprof_lost lost[CPROF_KIND_COUNT] = {
		[CPROF_KIND_CPU] = {CPROF_LOST_CPU_SAMPLES, CPROF_LOST_CPU_NS},
		[CPROF_KIND_ALLOC] = {CPROF_LOST_ALLOC_BLOCKS, CPROF_LOST_ALLOC_BYTES},
		[CPROF_KIND_BLOCK] = {CPROF_LOST_BLOCK_WAITS, CPROF_LOST_BLOCK_NS},
		[CPROF_KIND_MUTEX] = {CPROF_LOST_MUTEX_WAITS, CPROF_LOST_MUTEX_NS},
		[CPROF_KIND_THREADCREATE] = {CPROF_LOST_THREAD_STARTS, CPROF_COUNTER_COUNT},
	};
	if (kind == CPROF_KIND_NONE || kind >= CPROF_KIND_COUNT)
		return false;
	*out_lost = lost[kind];
	return true;
}

enum cprof_heap_state {
	CPROF_HEAP_OFF = 0, /* heap rate 0 */
	CPROF_HEAP_ON = 1,
	CPROF_HEAP_UNAVAILABLE = 2 /* the executable, or a library before us, defines malloc */
};

/* Buckets of a histogram of durations: up to 64 ns, up to four times that and so on; the last has no bound. */
#define CPROF_MALLOC_TIME_BUCKETS 12u
static inline uint64_t cprof_malloc_time_bound_ns(uint32_t bucket)
{
	return UINT64_C(64) << (2 * bucket);
}

#define CPROF_NAME_BYTES 64u
#define CPROF_PATH_BYTES 4096u
#define CPROF_TOKEN_BYTES 16u

/* Snapshot requests and final flush: what the process asks of the collector. */
struct cprof_control {
	/* Written once, before the segment is handed over. */
	uint64_t magic;
	uint32_t version;
	uint32_t pid;        /* as the process sees itself */
	uint32_t is_first;   /* the first process of the tree: it waits, its empty profiles are written */
	uint32_t heap_state; /* enum cprof_heap_state; the collector may turn OFF into ON */
	uint64_t start_realtime_ns;
	uint64_t start_monotonic_ns;
	uint8_t token[CPROF_TOKEN_BYTES];
	char name[CPROF_NAME_BYTES];    /* basename of what was run, NUL-terminated */
	char out_dir[CPROF_PATH_BYTES]; /* absolute, NUL-terminated: where the files go */

	/* Rates; may be changed at run time by the collector (relaxed: each use stands alone). */
	atomic_u32 cpu_hz;
	atomic_u32
		contention; /* not 0: a rate of the next two is not 0; all that the lock functions look at */
	atomic_u64 heap_rate_bytes;
	atomic_u64 block_rate_ns;  /* 1: every wait; longer ones all, shorter ones by chance; 0: off */
	atomic_u32 mutex_fraction; /* one of so many contentions; 0: off */
	uint32_t cpu_hz_at_start;  /* 0: there is no timer to change */
	/* By the collector, for what the profiles say about themselves. */
	atomic_u32 rates_changed;   /* which were changed since the start: bits CPROF_RATE_* */
	uint32_t is_heap_available; /* by the program: its allocations reach us, heap_state may become ON */
	atomic_u64 heap_rate_last_bytes; /* the last rate that was not 0, once it was changed */

	/* Written by the program, read by the collector. */
	atomic_u32 bell;               /* futex; incremented with a wake after any of the requests below */
	atomic_u32 snapshot_requested; /* number of heap snapshots asked for so far */
	atomic_u32 final_requested;    /* incremented by a process that is about to end by itself */
	atomic_u32 collector_pid;      /* in the first process's pid namespace; by the collector */
	atomic_u64 cpu_clock_ns;       /* the process's CPU clock when final_requested was made */
	atomic_u32 threads_used;       /* slots ever used: the reader scans no further */
	atomic_u32 modules_used;       /* likewise rows */
	atomic_u64 strings_used;       /* bytes of the string arena handed out */
	atomic_u64 stacks_used;        /* units of 8 bytes of the frame arena handed out */
	atomic_u32 stack_levels_used;  /* levels of each table that ever held a key: no further ones */
	atomic_u32 total_levels_used;  /* need to be searched */
	atomic_u32 live_levels_used;
	atomic_u32 label_levels_used;
	atomic_u64 labels_used;  /* units of 8 bytes of the label arena handed out */
	atomic_u64 counters[32]; /* enum cprof_counter */

	/* Written by the collector, read by the program. */
	atomic_u32 final_done;      /* futex; equals final_requested when the files are there */
	atomic_u32 heartbeat;       /* changes at least once a second while the collector lives */
	atomic_u32 snapshots_done;  /* number of the last snapshot whose file is there */
	atomic_u32 snapshots_taken; /* the same for requests: the next take-over starts here */
	atomic_u32 instance;        /* PID-n of this image's files, 0 while there is none */
	atomic_u32 files_written; /* bits by profile kind, from 16 on by form of a trace: that file is ours */
	/* The CPU clock when this image began, not 0 after an exec.  By the program, else by the collector. */
	atomic_u64 cpu_clock_base_ns;
	/* By the program: the size it made.  A kept file that is shorter was cut; 0: not said. */
	uint64_t segment_bytes;
	/* By the program: how long calls of malloc and calloc took, estimated from those that were sampled. */
	atomic_u64 malloc_calls[CPROF_MALLOC_TIME_BUCKETS];
	atomic_u64 malloc_ns; /* of all calls together */

	/* Execution trace, see cprof_trace.h. */
	atomic_u32 trace;           /* bits CPROF_TRACE_*; by the program at start, by the collector later */
	uint32_t trace_chunk_count; /* by the program, at start: how many chunks are gone round in */
	atomic_u64 tick_rate;       /* by the collector: see cprof_ticks.h; 0: not known, or not to be used */
	uint64_t flight_age_ns;     /* by the program, at start: CPROF_FLIGHT_AGE */
	atomic_u64 trace_since_ns;  /* by the collector: when it was turned on, if not at the start */
	atomic_u64 trace_gap_since_ns; /* not 0: everything is dropped since; cleared by the collector */
	atomic_u32 flight_requested;   /* number of windows asked for so far; then the bell is rung */
	atomic_u32 flight_reasons;     /* bits CPROF_FLIGHT_BY_*; taken by the collector */
	atomic_u32 flights_done;       /* by the collector: number of the last request that was served */
	atomic_u32 trace_asked;        /* the bits of `trace` that nobody asked for over HTTP; likewise */
	atomic_u64 trace_tasks;        /* task ids handed out */
	atomic_u64 trace_claims; /* claim numbers handed out; on another line than what everybody reads */
};
_Static_assert(CPROF_COUNTER_COUNT <= 32, "counters fit");
_Static_assert(offsetof(struct cprof_control, magic) == 0, "layout");
_Static_assert(offsetof(struct cprof_control, name) == 56, "layout");
_Static_assert(offsetof(struct cprof_control, cpu_hz) == 56 + 64 + 4096, "layout");
_Static_assert(sizeof(struct cprof_control) < 8192, "layout");

/*
 * Redo log of the collector's one batch.  The collector (1) computes for each total
 * that the batch touches the new value of its collector half, (2) stores them here
 * with thread, tail and entry count, (3) release-stores state = FULL, (4) copies the
 * values to the totals, (5) advances the thread's tail, (6) stores state = EMPTY.  A
 * collector that finds FULL repeats (4) to (6), which is idempotent; one that finds
 * EMPTY knows that nothing was half done.
 */
#define CPROF_JOURNAL_ENTRIES CPROF_RING_RECORDS
struct cprof_journal_entry {
	uint32_t bucket;
	uint32_t slot;
	uint64_t weight;
	uint64_t value;
};
struct cprof_journal {
	atomic_u32 state; /* 0 EMPTY, 1 FULL */
	uint32_t thread;  /* index of the slot */
	uint64_t tail;    /* its new tail */
	uint32_t entry_count;
	uint32_t pad;
	uint64_t batch; /* number of the batch, from 1 */
	struct cprof_journal_entry entries[CPROF_JOURNAL_ENTRIES];
};
_Static_assert(sizeof(struct cprof_journal) == 32 + 24 * CPROF_JOURNAL_ENTRIES, "layout");

#endif
