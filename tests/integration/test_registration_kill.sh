#!/bin/bash
# SPDX-License-Identifier: MIT
# The collector's processes are killed while they take a registration in, at each step of it, from accept() on: the
# process that has sent it and is gone is not lost.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/faults.sh"

hostile_run "" "$TMP/plain" "$HOSTILE/fork_storm" 1 >"$TMP/plain.status"
killed=0
for call in accept4:{1,3} recvmsg:{2..6} sendmsg:{3..6}; do
	faulty collector "$call=KILL" "$HOSTILE/fork_storm" 1
	settle || fault_wrong+="; the collector does not end"
	[[ -z $fault_name ]] || killed=$((killed + 1))
	have=$(held heap alloc_objects hostile_allocates)
	((have == $(owed "$TMP/fault.out"))) || fault_wrong+="; $have blocks of $(owed "$TMP/fault.out")"
	if [[ -z $fault_wrong ]]; then
		pass "killed after $call"
	else
		fail "killed after $call: $fault_wrong"
	fi
done
((checks_failed)) || tally "kill -9: the collector while it takes a process in" "$killed"
expect_range "kills" 4 "$killed" 11

# Whose children a killed worker had is nothing that a program learns, even if orphans become its own.
cat >"$TMP/reaps.py" <<'PY'
import ctypes, glob, os, signal, sys, time

if sys.argv[1:] != ["again"]:
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.execve(sys.executable, [sys.executable, sys.argv[0], "again"], dict(os.environ, LD_PRELOAD=os.environ["PRELOAD"]))

def workers():
    for comm in glob.glob("/proc/[0-9]*/comm"):
        at = os.path.dirname(comm)
        try:
            if open(comm).read() == "cprof-collector\n" and os.environ["CPROF_OUT"] in open(at + "/environ").read():
                yield int(os.path.basename(at))
        except OSError:
            pass

def wait_for_other(earlier):
    while not (found := set(workers()) - earlier):
        time.sleep(0.02)
    return found

first = wait_for_other(set())
for pid in first:
    os.kill(pid, signal.SIGKILL)
wait_for_other(first)
try:
    print("waited for", os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("no child")
PY
fresh_out
PRELOAD=$CPROF_LIB CPROF_OUT=$OUT bounded python3 "$TMP/reaps.py" >"$TMP/reaps.out" 2>&1 || fail "the program that reaps: status $?"
expect_equal "the worker's children are not the program's" "no child" "$(grep -v '^cprof: ' "$TMP/reaps.out")"
expect "settles" settle
finish
