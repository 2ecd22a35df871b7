#!/bin/bash
# SPDX-License-Identifier: MIT
# stress-ng's stressors of what cprof touches, each for some seconds.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/stress_ng.sh"

command -v stress-ng >/dev/null || skip_test "stress-ng is not installed"
STRESS_SECONDS=${STRESS_SECONDS:-3}
# Neither `resources` nor `forkheavy`, which takes the same: they fill the file system of /tmp, and whatever else
# writes there meanwhile fails, with or without cprof.
words='cpu malloc memcpy mmap mremap bigheap brk stack fault vm pthread mutex futex sem sem-sysv fork
	vfork vforkmany clone exec spawn daemon zombie wait session signal sigabrt sigchld sigfd
	sigfpe sigio signest sigpending sigpipe sigq sigrt sigsegv sigsuspend sigtrap kill timer timerfd
	itimer hrtimers nanosleep sleep poll dynlib context longjmp funccall tsearch ptrace seccomp prctl
	rlimit userfaultfd membarrier rseq schedpolicy switch yield dup close eventfd pipe pidfd'
read -ra stressors <<<"${words//[$'\n\t']/ }"
mapfile -t stressors < <(printf '%s\n' "${stressors[@]}" | sort -R --random-source=<(yes "${SEED:-4711}"))
for stressor in "${stressors[@]}"; do
	has_time || break
	witnessed $stressor
done
finish
