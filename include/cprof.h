/* SPDX-License-Identifier: MIT */
/*
 * cprof for programs that want to say what they are doing: tasks, regions and messages
 * for traces, labels for profiles, and snapshots at moments of their own choice.
 *
 * Nothing is linked for it.  Each function here looks whether libcprof.so is in the
 * process (a weak symbol) and does nothing if it is not; so a program that uses it
 * builds, links and runs without cprof, and costs three loads and two branches a call while
 * no trace is taken.  C99 and C++11 and later; the C++ wrappers are at the end.
 *
 *     struct cprof_task task = cprof_task_begin("checkout");
 *     struct cprof_region region = cprof_region_begin("price");
 *     ...
 *     cprof_region_end(region);
 *     cprof_task_end(task);
 *
 * Strings are copied, never kept; NULL counts as "".  In a trace a type, a category or a
 * message is cut at 1 KB; types and categories should be few, since they name rows and
 * histograms.
 *
 * Context: any thread, at any time, also in signal handlers and in destructors of
 * thread-specific data; cprof_logf() alone is as safe as vsnprintf().  Nothing blocks,
 * allocates or changes errno.
 */
#ifndef CPROF_H
#define CPROF_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A piece of work that may wander between threads, or what is left of one that no trace
 * saw: a value to be copied, which owns nothing.  All zero: no task.
 */
struct cprof_task {
	uint64_t id;    /* unique in the process; 0: it began while no trace was taken */
	uint64_t outer; /* id of the task that was the thread's current one until then */
	uint64_t watch; /* of the library */
};

/* A span of one thread's time; it ends on the thread it began on.  A value, as above. */
struct cprof_region {
	uint64_t task;  /* id of the task that it is part of */
	uint64_t watch; /* of the library */
	uint32_t level; /* how many regions it is in, itself included; 0: it is not traced */
};

/*
 * A set of labels: a value, good for every thread of the process and for its forked
 * children.  All zero: no labels.
 */
struct cprof_labels {
	uint32_t set;
};

/* ---- what libcprof.so exports; no part of the interface ------------------------------- */

typedef const volatile uint32_t *cprof_word_;
typedef void (*cprof_task_begin_fn_)(const char *, uint64_t, struct cprof_task *);
typedef void (*cprof_task_end_fn_)(const struct cprof_task *);
typedef uint64_t (*cprof_task_switch_fn_)(uint64_t);
typedef uint64_t (*cprof_task_current_fn_)(void);
typedef void (*cprof_region_begin_fn_)(const char *, struct cprof_region *);
typedef void (*cprof_region_end_fn_)(const struct cprof_region *);
typedef void (*cprof_log_fn_)(const char *, const char *);
typedef uint32_t (*cprof_labels_push_fn_)(const char *, const char *);
typedef uint32_t (*cprof_labels_switch_fn_)(uint32_t);
typedef uint32_t (*cprof_labels_current_fn_)(void);
typedef int (*cprof_request_fn_)(void);

/*
 * The address of `symbol`, NULL without the library.  By the global offset table, whatever
 * the program is compiled with: code that is not position independent would otherwise have
 * the linker decide that the library is not there.
 */
#if defined(__x86_64__) && defined(__LP64__)
#define CPROF_ADDRESS_(symbol, out)                                                                \
	__asm__(".weak " #symbol "\n\tmov {" #symbol "@GOTPCREL(%%rip), %0|%0, QWORD PTR " #symbol \
		"@GOTPCREL[rip]}"                                                                  \
		: "=r"(out))
#elif defined(__aarch64__) && defined(__LP64__)
#define CPROF_ADDRESS_(symbol, out)                                                                     \
	__asm__(".weak " #symbol "\n\tadrp %0, :got:" #symbol "\n\tldr %0, [%0, :got_lo12:" #symbol "]" \
		: "=r"(out))
#else
#define CPROF_ADDRESS_(symbol, out) ((out) = NULL)
#endif

/* A function that finds one of the exported functions. */
#define CPROF_FIND_(symbol, name, type)        \
	static inline type name(void)          \
	{                                      \
		type found;                    \
		CPROF_ADDRESS_(symbol, found); \
		return found;                  \
	}
CPROF_FIND_(cprof_api_task_begin, cprof_find_task_begin_, cprof_task_begin_fn_)
CPROF_FIND_(cprof_api_task_end, cprof_find_task_end_, cprof_task_end_fn_)
CPROF_FIND_(cprof_api_task_switch, cprof_find_task_switch_, cprof_task_switch_fn_)
CPROF_FIND_(cprof_api_task_current, cprof_find_task_current_, cprof_task_current_fn_)
CPROF_FIND_(cprof_api_region_begin, cprof_find_region_begin_, cprof_region_begin_fn_)
CPROF_FIND_(cprof_api_region_end, cprof_find_region_end_, cprof_region_end_fn_)
CPROF_FIND_(cprof_api_log, cprof_find_log_, cprof_log_fn_)
CPROF_FIND_(cprof_api_labels_push, cprof_find_labels_push_, cprof_labels_push_fn_)
CPROF_FIND_(cprof_api_labels_switch, cprof_find_labels_switch_, cprof_labels_switch_fn_)
CPROF_FIND_(cprof_api_labels_current, cprof_find_labels_current_, cprof_labels_current_fn_)
CPROF_FIND_(cprof_api_flight_snapshot, cprof_find_flight_snapshot_, cprof_request_fn_)
CPROF_FIND_(cprof_api_snapshot, cprof_find_snapshot_, cprof_request_fn_)
#undef CPROF_FIND_

/* ---- traces ---------------------------------------------------------------------------- */

/*
 * Whether a trace is taken or the flight recorder runs: worth asking before what is
 * logged costs something to make.  It may change at any time.
 */
static inline bool cprof_trace_enabled(void)
{
	cprof_word_ const volatile *word;
	CPROF_ADDRESS_(cprof_api_tracing, word);
	return word && **word != 0;
}

/* As parent: the thread's current task. */
#define CPROF_TASK_CURRENT_ UINT64_MAX

static inline struct cprof_task cprof_task_begin_of_(const char *type, uint64_t parent)
{
	struct cprof_task task = {0, 0, 0};
	cprof_task_begin_fn_ begin = cprof_trace_enabled() ? cprof_find_task_begin_() : NULL;
	if (begin)
		begin(type, parent, &task);
	return task;
}

/*
 * Begins a task as a part of the thread's current task, if any, and makes it the current
 * one: regions and messages of this thread are part of it.  To be ended by
 * cprof_task_end(), on any thread.
 */
static inline struct cprof_task cprof_task_begin(const char *type)
{
	return cprof_task_begin_of_(type, CPROF_TASK_CURRENT_);
}

/* The same as a part of `parent`, wherever that is; all zero: of none. */
static inline struct cprof_task cprof_task_begin_in(const char *type, struct cprof_task parent)
{
	return cprof_task_begin_of_(type, parent.id);
}

/* The calling thread's current task, all zero if it has none: to hand on, not to end. */
static inline struct cprof_task cprof_task_current(void)
{
	struct cprof_task task = {0, 0, 0};
	cprof_task_current_fn_ current = cprof_trace_enabled() ? cprof_find_task_current_() : NULL;
	if (current)
		task.id = current();
	return task;
}

/*
 * Ends a task: its first end counts.  Where it is the thread's current one, the task
 * that was so before it began is current again.
 */
static inline void cprof_task_end(struct cprof_task task)
{
	cprof_task_end_fn_ end = task.id ? cprof_find_task_end_() : NULL;
	if (end)
		end(&task);
}

/*
 * Leaves a task to another thread: it goes on, but where it is the calling thread's
 * current one, the task that was so before it began is current again.
 */
static inline void cprof_task_leave(struct cprof_task task)
{
	cprof_task_current_fn_ current = task.id ? cprof_find_task_current_() : NULL;
	cprof_task_switch_fn_ switch_to = task.id ? cprof_find_task_switch_() : NULL;
	if (current && switch_to && current() == task.id)
		(void)switch_to(task.outer);
}

/*
 * Takes a task over from another thread, which may go on with it or not: makes it the
 * calling thread's current one.  Returns what was, to be switched back to.
 */
static inline struct cprof_task cprof_task_switch(struct cprof_task task)
{
	struct cprof_task before = {0, 0, 0};
	cprof_task_switch_fn_ switch_to = task.id || cprof_trace_enabled() ? cprof_find_task_switch_() : NULL;
	if (switch_to)
		before.id = switch_to(task.id);
	return before;
}

/*
 * Begins a region of the thread's current task, or of none.  Regions nest: one that ends
 * ends those that began in it, however their code was left.
 */
static inline struct cprof_region cprof_region_begin(const char *type)
{
	struct cprof_region region = {0, 0, 0};
	cprof_region_begin_fn_ begin = cprof_trace_enabled() ? cprof_find_region_begin_() : NULL;
	if (begin)
		begin(type, &region);
	return region;
}

static inline void cprof_region_end(struct cprof_region region)
{
	cprof_region_end_fn_ end = region.level ? cprof_find_region_end_() : NULL;
	if (end)
		end(&region);
}

/* A message at this moment, part of the thread's current task. */
static inline void cprof_log(const char *category, const char *message)
{
	cprof_log_fn_ log = cprof_trace_enabled() ? cprof_find_log_() : NULL;
	if (log)
		log(category, message);
}

/* What cprof_logf() calls while a trace is taken. */
__attribute__((format(printf, 2, 3))) static inline void cprof_log_formatted_(const char *category,
									      const char *format, ...)
{
	char message[1024];
	int saved_errno = errno;
	va_list arguments;
	va_start(arguments, format);
	if (vsnprintf(message, sizeof message, format, arguments) >= 0)
		cprof_log(category, message);
	va_end(arguments);
	errno = saved_errno;
}

/* cprof_logf(category, format, ...): formats, and looks at its arguments, only while a trace is taken. */
#define cprof_logf(category, ...) \
	(cprof_trace_enabled() ? cprof_log_formatted_(category, __VA_ARGS__) : (void)0)

/*
 * Asks for the flight recorder's window to be saved: 0, and the file follows.  -ENOSYS:
 * cprof is not there; -ENODATA: no flight recorder runs (CPROF_TRACE=flight).
 */
static inline int cprof_flight_snapshot(void)
{
	cprof_request_fn_ request = cprof_find_flight_snapshot_();
	return request ? request() : -ENOSYS;
}

/* ---- profiles -------------------------------------------------------------------------- */

/*
 * Labels tell apart samples of the same code: what this thread, and threads that it
 * starts, use of CPU time and memory and how long they wait is shown by tenant, by kind of
 * request and the like (`go tool pprof -tagfocus`, -tags).  A block in use keeps the labels
 * that it was allocated with.  They work whether or not a trace is taken; a push looks up
 * a table, about as long as a malloc takes.
 *
 *     struct cprof_labels before = cprof_labels_push("tenant", name);
 *     ...
 *     cprof_labels_pop(before);
 *
 * The table holds every set that ever was, so values should not be without number: tens of
 * thousands of sets are fine, request ids are not.  What finds no room, and what goes
 * beyond 16 labels, is not added (counted, and said in the profiles).  Keys are cut at 128
 * bytes, values at 512.
 */

/* Adds a label to the thread's; of equal keys the last one counts.  Returns those before. */
static inline struct cprof_labels cprof_labels_push(const char *key, const char *value)
{
	struct cprof_labels before = {0};
	cprof_labels_push_fn_ push = cprof_find_labels_push_();
	if (push)
		before.set = push(key, value);
	return before;
}

/* Replaces the thread's labels, by those before a push or by another thread's.  Returns what was. */
static inline struct cprof_labels cprof_labels_switch(struct cprof_labels labels)
{
	struct cprof_labels before = {0};
	cprof_labels_switch_fn_ switch_to = cprof_find_labels_switch_();
	if (switch_to)
		before.set = switch_to(labels.set);
	return before;
}

/* The same where nobody asks what was: the end of a push, given what that returned. */
static inline void cprof_labels_pop(struct cprof_labels before)
{
	(void)cprof_labels_switch(before);
}

/* The thread's labels, to be handed on with work. */
static inline struct cprof_labels cprof_labels_current(void)
{
	struct cprof_labels labels = {0};
	cprof_labels_current_fn_ current = cprof_find_labels_current_();
	if (current)
		labels.set = current();
	return labels;
}

/* Asks for a heap snapshot, as SIGUSR1 does: 0, and the file follows.  -ENOSYS: cprof is not there, or off. */
static inline int cprof_snapshot(void)
{
	cprof_request_fn_ request = cprof_find_snapshot_();
	return request ? request() : -ENOSYS;
}

#ifdef __cplusplus
} /* extern "C" */

namespace cprof
{

/* cprof_task_begin() and cprof_task_end() as a scope, which may be left on another thread. */
class task
{
      public:
	explicit task(const char *type) : task_(cprof_task_begin(type))
	{
	}
	task(const char *type, cprof_task parent) : task_(cprof_task_begin_in(type, parent))
	{
	}
	task(task &&other) noexcept : task_(other.task_)
	{
		other.task_ = cprof_task{0, 0, 0};
	}
	task(const task &) = delete;
	task &operator=(const task &) = delete;
	task &operator=(task &&) = delete;
	~task()
	{
		cprof_task_end(task_);
	}
	/* Leaves it to another thread, to which this object is moved. */
	void leave()
	{
		cprof_task_leave(task_);
	}
	/* To hand on to another thread; good as long as the task is not ended. */
	cprof_task get() const
	{
		return task_;
	}

      private:
	cprof_task task_;
};

/* Another thread's task as this one's for a scope. */
class task_switch
{
      public:
	explicit task_switch(cprof_task task) : before_(cprof_task_switch(task))
	{
	}
	task_switch(const task_switch &) = delete;
	task_switch &operator=(const task_switch &) = delete;
	~task_switch()
	{
		(void)cprof_task_switch(before_);
	}

      private:
	cprof_task before_;
};

class region
{
      public:
	explicit region(const char *type) : region_(cprof_region_begin(type))
	{
	}
	region(const region &) = delete;
	region &operator=(const region &) = delete;
	~region()
	{
		cprof_region_end(region_);
	}

      private:
	cprof_region region_;
};

/* Labels for a scope: one more, or another thread's in place of one's own. */
class labels
{
      public:
	labels(const char *key, const char *value) : before_(cprof_labels_push(key, value))
	{
	}
	explicit labels(cprof_labels others) : before_(cprof_labels_switch(others))
	{
	}
	labels(const labels &) = delete;
	labels &operator=(const labels &) = delete;
	~labels()
	{
		cprof_labels_pop(before_);
	}

      private:
	cprof_labels before_;
};

} /* namespace cprof */
#endif

#endif
