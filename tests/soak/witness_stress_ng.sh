#!/bin/bash
# SPDX-License-Identifier: MIT
# stress-ng's stressors of what cprof touches, each for some seconds.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/stress_ng.sh"

command -v stress-ng >/dev/null || skip_test "stress-ng is not installed"
STRESS_SECONDS=${STRESS_SECONDS:-3}
words='cpu malloc memcpy mmap mremap bigheap brk stack fault vm pthread mutex futex sem sem-sysv fork
	forkheavy vfork vforkmany clone exec spawn daemon zombie wait session signal sigabrt sigchld sigfd
	sigfpe sigio signest sigpending sigpipe sigq sigrt sigsegv sigsuspend sigtrap kill timer timerfd
	itimer hrtimers nanosleep sleep poll dynlib context longjmp funccall tsearch ptrace seccomp prctl
	rlimit resources userfaultfd membarrier rseq schedpolicy switch yield dup close eventfd pipe pidfd'
read -ra stressors <<<"${words//[$'\n\t']/ }"
mapfile -t stressors < <(printf '%s\n' "${stressors[@]}" | sort -R --random-source=<(yes "${SEED:-4711}"))
for stressor in "${stressors[@]}"; do
	has_time || break
	witnessed $stressor
done
finish
