#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs that are each one way to hurt a preloaded profiler: the same results as without it.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/hostile.sh"

ulimit -c 0

# ---- beginning and end
hostile early-constructor "$HOSTILE/early_constructor"
hostile malloc-in-dlsym "$HOSTILE/malloc_in_dlsym"
for way in return thread _exit; do
	hostile "exit-race-$way" "$HOSTILE/exit_race" $way
done

# ---- threads
hostile threads-churn "$HOSTILE/threads_many" churn 2000
hostile threads-at-once "$HOSTILE/threads_many" at-once 400
hostile threads-cancelled "$HOSTILE/cancel_everywhere"
hostile threads-signalled "$HOSTILE/thread_signals"
hostile threads-own-stacks "$HOSTILE/own_stacks"
hostile threads-stray "$HOSTILE/stray_threads" "$HOSTILE/libpiece.so"
hostile threads-ends "$HOSTILE/thread_ends"

# ---- control flow
hostile jumps "$HOSTILE/jumps"
hostile exceptions "$HOSTILE/exceptions"
hostile coroutines "$HOSTILE/coroutines"
hostile stack-overflow "$HOSTILE/stack_overflow"
hostile split-stack "$HOSTILE/split_stack"
hostile faults-as-tools "$HOSTILE/faults_as_tools"
hostile errno-kept "$HOSTILE/errno_kept"

# ---- signals
hostile signals-own "$HOSTILE/signals_own"
hostile interrupted-calls "$HOSTILE/interrupted_calls"

# ---- processes
hostile fork-storm "$HOSTILE/fork_storm" 12
hostile fork-bomb "$HOSTILE/fork_bomb" 200 40
hostile spawn-all-ways "$HOSTILE/spawn_all_ways" 2
hostile daemonises "$HOSTILE/daemonises"
hostile exec-chain "$HOSTILE/exec_chain" 12
hostile reaper "$HOSTILE/reaper"
hostile tracer "$HOSTILE/tracer"
hostile stopped "$HOSTILE/stopped"
hostile lost-places "$HOSTILE/lost_places"

# ---- rights and limits
for what in setuid dumpable chroot namespaces mount-namespace no-new-privileges; do
	hostile "drops-$what" "$HOSTILE/drops_rights" $what
done
hostile sandbox-one "$HOSTILE/sandbox" one
hostile sandbox-all "$HOSTILE/sandbox" all
hostile sandbox-tight-one "$HOSTILE/sandbox" tight-one
hostile sandbox-tight-all "$HOSTILE/sandbox" tight-all
hostile sandbox-tight-one-later "$HOSTILE/sandbox" tight-one-later
hostile sandbox-tight-all-later "$HOSTILE/sandbox" tight-all-later
for what in nofile fsize sigpending nproc cpu data core; do
	hostile "limit-$what" "$HOSTILE/limits" $what
done
hostile no-descriptors "$HOSTILE/no_descriptors"

# ---- memory and libraries
hostile no-memory "$HOSTILE/no_memory"
hostile allocators-mixed "$HOSTILE/allocators_mixed"
hostile many-stacks CPROF_MEM=4M "$HOSTILE/many_stacks" 30000
hostile loads-unloads "$HOSTILE/loads_unloads" "$HOSTILE/libpiece.so" 25
hostile finds-by-runpath "$HOSTILE/finds_by_runpath" "$HOSTILE/libfinder.so" "$HOSTILE/libpiece.so"
hostile static-children "$HOSTILE/starts_strangers" "$HOSTILE/static_child" "$HOSTILE/static_pie_child"
finish
