/* SPDX-License-Identifier: MIT */
/*
 * Whether a wait is recorded is drawn before it begins: it is if it takes longer than the
 * number drawn.  At the end of a wait for a lock the caller holds that, and what is done
 * then makes others wait, who sleep, and are recorded in their turn; so a wait that is
 * recorded unless it is short is walked before it begins, while the lock is somebody
 * else's.  (Four threads on two processors, each holding a lock for a fifth of its time,
 * lost a tenth of their locks to walks of 2 us.)  Others are walked when they are recorded.
 *
 * No guard is held during the wait, so a thread that is cancelled in it, or leaves it by a
 * jump, leaves nothing behind but what its slot shows, which the next wait or the thread's
 * end takes away.
 *
 * Context: any (async-signal-safe).
 */
#include "contention_wait.h"

#include <errno.h>
#include <pthread.h>

#include "process.h"
#include "real.h"
#include "record.h"
#include "segment.h"
#include "thread.h"

/*
 * So much uncharged is no mere remainder: of a release between the failed try and the join, or of
 * one that woke nobody.
 */
#define UNSEEN_NS_MIN UINT64_C(100000)

/* A wait so long hides the walk at its end. */
#define WALKED_LATE_NS UINT64_C(100000)

static const atomic_u32 off_word;

FRONT_WORD const atomic_u32 *contention_word = &off_word;

void contention_follow_segment(void)
{
	contention_word = &segment_control()->contention;
}

void contention_turn_off(void)
{
	contention_word = &off_word;
}

void contention_forget(void)
{
	lock_waiters_forget();
	contention_wake_forget();
}

struct contention_sample contention_sample(uint64_t waits, uint64_t delay_ns, uint64_t rate_ns,
					   uint64_t random)
{
	struct contention_sample sample = {.weight = waits * CPROF_WEIGHT_ONE, .value = delay_ns};
	if (delay_ns == 0)
		delay_ns = 1;
	if (delay_ns >= rate_ns)
		return sample;
	if (random % rate_ns >= delay_ns)
		return (struct contention_sample){.weight = 0, .value = 0};
	double per_sample = (double)rate_ns / (double)delay_ns;
	sample.weight = (uint64_t)((double)sample.weight * per_sample + 0.5);
	sample.value = rate_ns;
	return sample;
}

enum contention_end contention_end_of(int error)
{
	if (error == 0)
		return CONTENTION_ACQUIRED;
	if (error == EOWNERDEAD)
		return CONTENTION_INHERITED;
	return error == ETIMEDOUT ? CONTENTION_GAVE_UP : CONTENTION_NO_WAIT;
}

/* As glibc keeps it in the lock. Of a spin lock nobody knows. */
static bool is_shared(uint32_t what, const void *lock)
{
	const int kind_shared = 128; /* PTHREAD_MUTEX_PSHARED_BIT */
	if (what == CPROF_WAIT_MUTEX)
		return (((const pthread_mutex_t *)lock)->__data.__kind & kind_shared) != 0;
	return what != CPROF_WAIT_SPIN && ((const pthread_rwlock_t *)lock)->__data.__shared != 0;
}

/* How many of those who wait may go on at a release; 0: all.  A reader's lets only a writer go on. */
static uint32_t freed_by(uint32_t what, const void *lock)
{
	if (what != CPROF_WAIT_RWLOCK_READ && what != CPROF_WAIT_RWLOCK_WRITE)
		return 1;
	/* Relaxed: while the lock is held, as it is here, nobody else changes it. */
	return __atomic_load_n(&((const pthread_rwlock_t *)lock)->__data.__cur_writer, __ATOMIC_RELAXED) ? 0
													 : 1;
}

static void abandon(const struct publication *stale)
{
	contention_expect_no_wake(stale->what, (const void *)(uintptr_t)stale->object);
	if (contention_is_lock(stale->what))
		lock_waiters_abandon((const void *)(uintptr_t)stale->object, stale->since_ns);
}

void contention_thread_ends(struct cprof_thread *slot)
{
	struct publication stale;
	contention_mend(slot); /* of half a wait nobody knows the object */
	while (contention_withdraw(slot, &stale))
		abandon(&stale);
}

/* Shows the wait, without those that were left. */
static struct cprof_thread *publish(const struct guard *guard, const struct publication *publication)
{
	struct publication stale;
	if (!guard->slot)
		return NULL;
	while (unlikely(contention_take_stale(guard->slot, publication->sp, &guard->bounds, &stale)))
		abandon(&stale);
	return contention_publish(guard->slot, publication) ? guard->slot : NULL;
}

/* Takes the wait away, with those in it that were left. False: it was itself taken for one of them. */
static bool withdraw(const struct contention_wait *wait)
{
	struct publication inner;
	if (!wait->slot)
		return true;
	if (unlikely(!contention_is_shown(wait->slot, wait->start_ns, wait->regs->sp)))
		return false;
	while (contention_withdraw(wait->slot, &inner) &&
	       unlikely(inner.since_ns != wait->start_ns || inner.sp != wait->regs->sp))
		abandon(&inner);
	return true;
}

static bool is_walked_first(const struct contention_wait *wait)
{
	if (trace_is_on() && !contention_is_call(wait->what))
		return true;
	if (wait->rate_ns <= 1)
		return wait->rate_ns == 1;
	/* Waits for spin locks are shorter than a walk. */
	return contention_is_lock(wait->what) && wait->what != CPROF_WAIT_SPIN &&
	       wait->random % wait->rate_ns < WALKED_LATE_NS;
}

static void join(struct contention_wait *wait, uint32_t what, const void *lock)
{
	wait->waiters = lock_waiters_join(lock, wait->start_ns);
	if (unlikely(!wait->waiters))
		return;
	wait->releases = lock_waiters_releases(wait->waiters);
	wait->is_shared = is_shared(what, lock);
}

void contention_wait_begin_any(struct contention_wait *out_wait, enum cprof_wait what, const void *object,
			       const void *function, const struct unwind_regs *regs)
{
	struct guard guard;
	out_wait->is_watched = false;
	out_wait->is_short = false;
	if (!process_may_call() || !guard_enter(&guard))
		return;
	/* Relaxed: rates may change at any time; this wait keeps what it began with. */
	struct cprof_control *control = segment_control();
	out_wait->is_watched = true;
	out_wait->image = control->pid;
	out_wait->start_ns = real_monotonic_ns();
	out_wait->rate_ns = contention_is_call(what) ? 0 : load_relaxed(&control->block_rate_ns);
	out_wait->random = out_wait->rate_ns ? thread_random() : 0;
	out_wait->what = what;
	out_wait->object = object;
	out_wait->function = function;
	out_wait->regs = regs;
	out_wait->waiters = NULL;
	contention_expect_wake(what, object);
	if (contention_is_lock(what) && load_relaxed(&control->mutex_fraction) != 0)
		join(out_wait, what, object);
	/* What is shown is known to who releases, too. */
	const struct publication publication = contention_publication(out_wait);
	out_wait->slot = publish(&guard, &publication);
	out_wait->is_walked = is_walked_first(out_wait);
	if (out_wait->is_walked) {
		out_wait->stack = record_stack_above(&guard, function, regs);
		if (likely(out_wait->slot))
			contention_publish_stack(out_wait->slot, out_wait->stack);
	}
	guard_leave(&guard);
}

/* Waits that one release ended or made longer, as they are. */
static void record_charge(const struct guard *guard, struct lock_releaser releaser, struct lock_charge charge)
{
	if (releaser.scale && (charge.waits || charge.delay_ns))
		record_add_labelled(guard, releaser.stack, CPROF_KIND_MUTEX, releaser.labels,
				    charge.waits * CPROF_WEIGHT_ONE * releaser.scale,
				    charge.delay_ns * releaser.scale);
}

/*
 * Whether the holder released where it is not seen.  Less than the rate may be uncharged at any
 * time: see contention_release_begin().
 */
static bool is_unseen(const struct contention_wait *wait, uint64_t now)
{
	if (likely(lock_waiters_releases(wait->waiters) != wait->releases))
		return false;
	uint64_t uncharged_ns = lock_waiters_uncharged_ns(wait->waiters, now);
	return (wait->rate_ns <= 1 || uncharged_ns >= wait->rate_ns) &&
	       (wait->is_shared || uncharged_ns >= UNSEEN_NS_MIN);
}

/* To the release that ended the wait. */
static void charge_acquisition(const struct guard *guard, struct contention_wait *wait, uint64_t now)
{
	if (unlikely(is_unseen(wait, now))) {
		lock_waiters_acquire_unseen(wait->waiters, now);
		return;
	}
	struct lock_charge charge;
	struct lock_releaser releaser;
	if (lock_waiters_acquire(wait->waiters, wait->start_ns, now, &charge, &releaser))
		record_charge(guard, releaser, charge);
}

/* The stack of the wait, walked at most once. */
static uint32_t stack_of(const struct guard *guard, struct contention_wait *wait)
{
	if (!wait->is_walked)
		wait->stack = record_stack_above(guard, wait->function, wait->regs);
	wait->is_walked = true;
	return wait->stack;
}

static void trace_wait(const struct guard *guard, struct contention_wait *wait, enum contention_end end,
		       uint64_t now)
{
	uint64_t delay_ns = now > wait->start_ns ? now - wait->start_ns : 0;
	if (end == CONTENTION_NO_WAIT ||
	    (contention_is_call(wait->what) && delay_ns < CONTENTION_CALL_NS_MIN))
		return;
	trace_event(guard, &(struct trace_event){
				   .kind = CPROF_EVENT_WAIT,
				   .what = (uint32_t)wait->what,
				   .flags = end == CONTENTION_GAVE_UP ? CPROF_EVENT_GAVE_UP : 0,
				   .stack = stack_of(guard, wait),
				   .time_ns = now,
				   .a = delay_ns,
				   .b = (uint64_t)(uintptr_t)wait->object,
			   });
}

static void record_wait(const struct guard *guard, struct contention_wait *wait, uint64_t delay_ns)
{
	struct contention_sample sample = contention_sample(1, delay_ns, wait->rate_ns, wait->random);
	if (sample.weight == 0)
		return;
	record_add(guard, stack_of(guard, wait), CPROF_KIND_BLOCK, sample.weight, sample.value);
}

void contention_wait_end_any(struct contention_wait *wait, enum contention_end end)
{
	struct guard guard;
	/* A handler that ran during the wait may have forked: nothing here is the child's then. */
	if (!wait->is_watched || !process_is_recording() || segment_control()->pid != wait->image ||
	    !guard_enter(&guard))
		return;
	uint64_t now = real_monotonic_ns();
	bool is_shown = withdraw(wait);
	if (likely(is_shown))
		contention_expect_no_wake(wait->what, wait->object);
	if (likely(is_shown) && wait->waiters) {
		if (end == CONTENTION_ACQUIRED)
			charge_acquisition(&guard, wait, now);
		else if (end == CONTENTION_INHERITED)
			lock_waiters_acquire_unseen(wait->waiters, now);
		else if (end == CONTENTION_GAVE_UP)
			lock_waiters_give_up(wait->waiters, now);
		else
			lock_waiters_cancel(wait->waiters, wait->start_ns);
	}
	if (wait->rate_ns && end != CONTENTION_NO_WAIT)
		record_wait(&guard, wait, now > wait->start_ns ? now - wait->start_ns : 1);
	if (trace_is_on())
		trace_wait(&guard, wait, end, now);
	guard_leave(&guard);
}

void contention_release_begin(struct contention_release *out_release, enum cprof_wait what, const void *lock,
			      bool wakes)
{
	out_release->is_charged = false;
	out_release->is_waking = false;
	/* In a forked child that has not registered these are the parent's waiters. */
	if (!process_is_recording() || !process_may_call())
		return;
	const struct cprof_control *control = segment_control();
	uint64_t now = real_monotonic_ns();
	if (wakes && trace_is_on()) {
		out_release->is_waking = true;
		out_release->wake = (struct contention_wake){
			.what = what, .count = freed_by(what, lock), .object = lock, .time_ns = now};
	}
	uint64_t rate_ns = load_relaxed(&control->block_rate_ns); /* as in contention_wait_begin() */
	uint32_t fraction = load_relaxed(&control->mutex_fraction);
	if (!lock_waiters_release_begin(lock, now, rate_ns, &out_release->release))
		return;
	out_release->is_charged = true;
	out_release->scale = fraction <= 1 || thread_random() % fraction == 0 ? fraction : 0;
}

/* Whether the release is recorded in the profile now: what it counts for. */
static bool is_sampled(const struct contention_release *release, struct contention_sample *out_sample)
{
	const struct lock_charge *charge = &release->release.charge;
	if (!release->is_charged || release->scale == 0)
		return false;
	/* As in contention_wait_begin(). */
	uint64_t rate_ns = load_relaxed(&segment_control()->block_rate_ns);
	uint64_t random = charge->delay_ns < rate_ns ? thread_random() : 0;
	*out_sample = contention_sample(charge->waits, charge->delay_ns, rate_ns, random);
	return out_sample->weight || out_sample->value || release->release.waiters;
}

/* Tells those who get the lock whose the rest of their wait is; adds what it counted for so far. */
static void charge_release(const struct guard *guard, const struct contention_release *release,
			   const struct contention_sample *sample, uint32_t stack)
{
	struct lock_releaser releaser = {
		.stack = stack, .labels = thread_tls.labels, .scale = release->scale};
	if (sample->weight || sample->value)
		record_add(guard, stack, CPROF_KIND_MUTEX, sample->weight * releaser.scale,
			   sample->value * releaser.scale);
	record_charge(guard, releaser, lock_waiters_release_end(&release->release, releaser));
}

void contention_release_end(struct contention_release *release, bool was_released, const void *function,
			    const struct unwind_regs *regs)
{
	struct guard guard;
	struct contention_sample sample;
	if (!release->is_charged && !release->is_waking)
		return;
	if (!was_released) {
		if (release->is_charged)
			lock_waiters_release_undo(&release->release);
		return;
	}
	bool is_recorded = is_sampled(release, &sample);
	bool has_guard = (is_recorded || release->is_waking) && guard_enter(&guard);
	uint32_t stack = has_guard ? record_stack_above(&guard, function, regs) : 0;
	if (has_guard && is_recorded)
		charge_release(&guard, release, &sample, stack);
	else if (release->is_charged)
		(void)lock_waiters_release_end(&release->release, (struct lock_releaser){.scale = 0});
	if (has_guard && release->is_waking)
		contention_wake_add(&guard, &release->wake, stack);
	if (has_guard)
		guard_leave(&guard);
}
