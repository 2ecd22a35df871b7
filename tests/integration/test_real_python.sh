#!/bin/bash
# SPDX-License-Identifier: MIT
# Debian's python3 runs its own tests of threads, child processes, signals and fork: each test has
# the same result as without cprof.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

python=/usr/bin/python3
"$python" -c 'import test.test_fork1, test.test_subprocess' 2>/dev/null || skip_test "python3 with its test suite is not installed"
modules=(test_threading test_subprocess test_signal test_fork1)

# run NAME MODULE COMMAND...: in the background, its own directory, the log in NAME.MODULE.log
run()
{
	local log=$TMP/$1.$2.log directory=$TMP/$1.$2
	mkdir -p "$directory"
	(
		cd "$directory"
		status=0
		LIMIT=200 bounded env TMPDIR="$directory" "${@:3}" "$python" -m test -v "$2" >"$log" 2>&1 || status=$?
		echo "status $status" >>"$log"
	) &
}

# The tests with their verdicts; some print something of their own in between, which is cut.
results()
{
	grep -aE '^test_[a-z0-9_]+ \(|^Ran |^status|(ok|FAIL|ERROR)$|^(OK|FAILED)( |$)' "$1" |
		sed -E 's/ in [0-9.]+s$//; s/ \.\.\. (ok|FAIL|ERROR|skipped .*)$/ \1/; t; s/^(test_.*\)) \.\.\. .*/\1/; s/^[^t].* (ok|FAIL|ERROR)$/\1/' | sort
}

# They sleep most of the time: all at once.
for module in "${modules[@]}"; do
	run plain "$module"
	run seen "$module" LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT"
done
wait
for module in "${modules[@]}"; do
	results "$TMP/plain.$module.log" >"$TMP/plain"
	results "$TMP/seen.$module.log" >"$TMP/seen"
	if ! grep -q '^status 0$' "$TMP/plain"; then
		skip_check "$module fails here without cprof"
		continue
	fi
	expect "$module: each test has the same result" diff "$TMP/plain" "$TMP/seen"
	expect "$module: passes" grep -q '^status 0$' "$TMP/seen"
	expect_range "$module: results compared" 4 "$(wc -l <"$TMP/seen")" 10000
done
expect "settles" settle
expect_all_valid "python3"
named=0
for file in "$OUT"/python3.*.cpu.pb.gz; do
	(($(query "$file" has _PyEval_EvalFrameDefault samples) == 0)) || named=$((named + 1))
done
expect_range "cpu profiles with named functions" 4 "$named" 10000
finish
