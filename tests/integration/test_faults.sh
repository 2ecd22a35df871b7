#!/bin/bash
# SPDX-License-Identifier: MIT
# System calls of cprof's own fail, in the library and in the collector: the program's results are
# its own, and what became of the profiles is there or said.  Here for some of the calls, in the
# soak for each.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/faults.sh"

each_fault library 2 17 "$HOSTILE/fork_storm" 1
each_fault collector 113 151 "$HOSTILE/fork_storm" 1 # behind its loading

# Whichever of its first calls of mmap fails: its allocator has nothing to say to the program's stderr.
for ((n = 1; n <= 70; n++)); do
	"$INJECTOR" collector "mmap:$n-$n=ENOMEM" "$TMP/report" "$BUILD/cprof-collector" --version </dev/null 2>&1 || true
done >"$TMP/words"
expect_range "collector: it starts although a mapping fails" 10 "$(grep -c '^cprof-collector [0-9]' "$TMP/words")" 70
expect_equal "collector: words of its allocator" 0 "$(grep -c '^<jemalloc>' "$TMP/words" || true)"

# What a container's seccomp filter or an old kernel refuses, it refuses always.
for call in memfd_create timer_create socket prctl clone prlimit64 pidfd_open process_vm_readv madvise readlinkat getrandom; do
	always_fault library $call=EPERM "$HOSTILE/fork_storm" 1
done
always_fault library close_range=ENOSYS "$HOSTILE/fork_storm" 1
always_fault library mmap=ENOMEM "$HOSTILE/fork_storm" 1
for error in openat2=ENOSYS linkat=EPERM pidfd_open=ENOSYS write=ENOSPC openat=EACCES accept4=EMFILE mkdir=EROFS; do
	always_fault collector $error "$HOSTILE/fork_storm" 1
done
finish
