#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs that set, block, wait for and leave SIGPROF and other signals in less common ways see what they see without cprof.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

for way in vfork-resets vfork-blocks blocked-fork jump signalfd sigtimedwait sigpending ticks sigset-default sysv \
	thread-mask handler-mask siginterrupt signal atfork-mask own-call; do
	expect_equal "$way: plain" 3 "$(status_of bounded "$VICTIMS/signal_ways" "$way")"
	cp "$TMP/stdout" "$TMP/plain"
	for rate in 250 0; do
		fresh_out
		expect_equal "$way, $rate Hz: exit status" 3 "$(status_of profiled CPROF_CPU_HZ=$rate "$VICTIMS/signal_ways" "$way")"
		expect "$way, $rate Hz: same output" diff "$TMP/plain" "$TMP/stdout"
		expect_equal "$way, $rate Hz: nothing said" "" "$(<"$TMP/stderr")"
		expect "$way, $rate Hz: settles" settle
	done
done

# SIG_DFL set by System V's call leaves the profile what it is: 300 ms.
fresh_out
profiled CPROF_CPU_HZ=250 "$VICTIMS/signal_ways" sigset-default >/dev/null 2>&1 || true
expect_profile signal_ways cpu "sigset-default"
expect_range "sigset-default: sampled all the same, ms of 300" 260 \
	"$(($(query "$(profile signal_ways cpu)" has way_sigset_default cpu) / 1000000))" 330

# CPython: its vfork child resets the handlers of all signals.
if command -v python3 >/dev/null; then
	cat >"$TMP/vfork.py" <<'PYTHON'
import os, signal, subprocess
count = 0
def handler(number, frame):
    global count
    count += 1
signal.signal(signal.SIGPROF, handler)
subprocess.run(["true"], close_fds=False)
os.kill(os.getpid(), signal.SIGPROF)
print("handled", count)
PYTHON
	fresh_out
	expect_equal "python: exit status" 0 "$(status_of profiled python3 "$TMP/vfork.py")"
	expect_equal "python: output" "handled 1" "$(<"$TMP/stdout")"
else
	skip_check "python: not installed"
fi
finish
