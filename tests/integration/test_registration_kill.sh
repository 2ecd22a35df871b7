#!/bin/bash
# SPDX-License-Identifier: MIT
# The collector's processes are killed while they take a registration in, at each step of it: the
# process that has sent it and is gone is not lost.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/faults.sh"

hostile_run "" "$TMP/plain" "$HOSTILE/fork_storm" 1 >"$TMP/plain.status"
killed=0
for call in recvmsg:{2..6} sendmsg:5 readlink:2; do
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
expect_range "kills" 4 "$killed" 7
finish
