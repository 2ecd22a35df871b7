#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs tests, some at a time, and counts.  A *.sh is an integration test: a bash script
# that gets BUILD (the absolute build directory) and TMP (a fresh directory), and exits 0
# (pass), 77 (cannot run here) or otherwise (fail).  Everything else is a Criterion
# program, whose tests are counted one by one.  One line for each file, in the order
# given; of a failure the end of its log.  The last lines name what failed, and why, each
# as "failed NAME: REASON"; the very last is the sum: "N passed, N failed, N skipped".
#
#     BUILD=dir [JOBS=N] [AGAIN=1] tests/run.sh [--filter NAME] FILE...
#
# JOBS is how many run at a time: by default as many as there are processors.
# AGAIN: a file that failed runs once more, when no other does, and only that counts; a
# line "again NAME: REASON" says why it did: machines that others use are never quiet.
# In its first ten lines an integration test may say `# alone`: it runs when no other
# does, after all of these; and `# timeout: N`, if it needs more than 300 seconds.
set -uo pipefail
: "${BUILD:?the absolute build directory}"
cd "$(dirname "$0")/.." || exit 2

filter=
if [[ ${1:-} == --filter ]]; then
	filter=$2
	shift 2
fi

command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
jobs=${JOBS:-$(nproc)}
logs=$BUILD/tests/logs
mkdir -p "$logs"
# Of file number N: N.out is what is to be shown, N.sum its "PASSED FAILED SKIPPED",
# N.reasons why it failed, a line each.
results=$(mktemp -d "${TMPDIR:-/tmp}/cprof-results.XXXXXX")
trap 'rm -rf "$results"' EXIT
# The shell starts what is to run beside it with these ignored.
as_usual=(env --default-signal=INT --default-signal=QUIT)

# stop: ends the tests that run; they are in process groups of their own.
stop()
{
	local job
	trap - INT TERM
	for job in $(jobs -p); do
		xargs -r kill -TERM <"/proc/$job/task/$job/children"
	done 2>/dev/null
	wait
	exit 130
}
trap stop INT TERM

# has_note NOTE FILE: an integration test says so in its first ten lines.
has_note()
{
	[[ $2 == *.sh ]] && sed 10q "$2" | grep -q "^# $1"
}

# report VERDICT NAME SECONDS [REMARK]
report()
{
	printf '%-4s  %-40s %4d s  %s\n' "$1" "$2" "$3" "${4:-}"
}

# failure NAME LOG PATTERN REMARK: shows the log's end, and notes the remark and the lines that match as the reasons.
failure()
{
	tail -n 40 "$2" | sed 's/^/      | /'
	{
		echo "$4"
		grep -aE "$3" "$2" | head -n 5 | cut -c 1-300
	} | sed "s|^|failed $1: |" >"$results/$number.reasons"
}

# The sanitizers' findings inside programs whose stderr nobody reads (the collector's).
sanitizer_reports()
{
	find "$TMP" -maxdepth 1 -name 'sanitizer.*' -size +0c 2>/dev/null
}

run_unit()
{
	local program=$1 name log start=$SECONDS status=0 synthesis remark
	name=${program#"$BUILD"/tests/}
	log=$logs/${name//\//-}.log
	"${as_usual[@]}" LSAN_OPTIONS="suppressions=$PWD/tests/support/lsan.supp:print_suppressions=0" \
		timeout -k 10 300 "$program" >"$log" 2>&1 </dev/null || status=$?
	synthesis=$(sed 's/\x1b\[[0-9;]*m//g' "$log" |
		sed -nE 's/.*Synthesis: Tested: ([0-9]+) \| Passing: ([0-9]+) \| Failing: ([0-9]+) \| Crashing: ([0-9]+).*/\1 \2/p' |
		tail -n 1)
	local tested=${synthesis% *} passing=${synthesis#* } failing
	if [[ -n $synthesis ]] && ((status == 0 && tested == passing)); then
		report ok "$name" $((SECONDS - start)) "$passing tests"
		echo "$passing 0 0" >"$results/$number.sum"
		return
	fi
	if [[ -z $synthesis ]]; then
		remark="ended without a result, status $status"
		failing=1
		passing=0
	else
		remark="$passing of $tested tests passed, status $status"
		failing=$((tested > passing ? tested - passing : 1))
	fi
	report FAIL "$name" $((SECONDS - start)) "$remark"
	failure "$name" "$log" '\[.*(----|FAIL).*\]|ERROR: |WARNING: ThreadSanitizer|runtime error' "$remark"
	echo "$passing $failing 0" >"$results/$number.sum"
}

run_integration()
{
	local script=$1 name log start=$SECONDS status=0 limit remark
	name=integration/$(basename "$script" .sh)
	log=$logs/${name//\//-}.log
	limit=$(sed -nE '1,10s/^# timeout: *([0-9]+).*/\1/p' "$script")
	TMP=$(mktemp -d "${TMPDIR:-/tmp}/cprof-test.XXXXXX")
	"${as_usual[@]}" TMP="$TMP" ASAN_OPTIONS="log_path=$TMP/sanitizer" \
		UBSAN_OPTIONS="log_path=$TMP/sanitizer:print_stacktrace=1" \
		timeout -k 10 "${limit:-300}" bash "$script" >"$log" 2>&1 </dev/null || status=$?
	local report_file
	for report_file in $(sanitizer_reports); do
		cat "$report_file" >>"$log"
		status=99
	done
	case $status in
	0)
		report ok "$name" $((SECONDS - start))
		echo 1 0 0 >"$results/$number.sum"
		;;
	77)
		report skip "$name" $((SECONDS - start)) "$(grep '^skip' "$log" | tail -n 1)"
		echo 0 0 1 >"$results/$number.sum"
		;;
	*)
		remark="status $status"
		((status != 124 && status != 137)) || remark="took longer than ${limit:-300} s"
		report FAIL "$name" $((SECONDS - start)) "$remark"
		grep -a '^FAIL' "$log" | head -n 20 | sed 's/^/      | /'
		failure "$name" "$log" '^FAIL|ERROR: |runtime error' "$remark"
		echo 0 1 0 >"$results/$number.sum"
		;;
	esac
	chmod -R u+rwx "$TMP" 2>/dev/null
	rm -rf "$TMP"
}

# run NUMBER FILE: in a process of its own.
run()
{
	local number=$1
	case $2 in
	*.sh) run_integration "$2" ;;
	*) run_unit "$(realpath "$2")" ;;
	esac >"$results/$number.out" 2>&1
}

files=()
alone=()
for file; do
	[[ -z $filter || $(basename "$file" .sh) == *"$filter"* ]] || continue
	if has_note alone "$file"; then alone+=("$file"); else files+=("$file"); fi
done
together=${#files[@]}
files+=("${alone[@]}")

# show_finished: all that have ended, up to the first that has not.
shown=0
show_finished()
{
	while ((shown < ${#files[@]})) && [[ -e $results/$shown.sum ]]; do
		cat "$results/$shown.out"
		shown=$((shown + 1))
	done
}

running=0
for ((next = 0; next < ${#files[@]}; next++)); do
	# One that is to be alone waits for all others.
	while ((running >= (next < together ? jobs : 1))); do
		wait -n
		running=$((running - 1))
		show_finished
	done
	run $next "${files[next]}" &
	running=$((running + 1))
done
wait
show_finished

for ((next = 0; next < ${#files[@]} && ${AGAIN:-0}; next++)); do
	[[ -e $results/$next.reasons ]] || continue
	sed 's/^failed/again/' "$results/$next.reasons" >>"$results/again"
	rm -f "$results/$next.reasons" "$results/$next.sum"
	run $next "${files[next]}"
	cat "$results/$next.out"
done
cat "$results/again" 2>/dev/null

# One without a verdict, because its process was killed, is a failure too.
for ((next = 0; next < ${#files[@]}; next++)); do
	if [[ ! -e $results/$next.sum ]]; then
		echo 0 1 0 >"$results/$next.sum"
		echo "failed ${files[next]}: ended without a verdict" >"$results/$next.reasons"
	fi
	cat "$results/$next.reasons" 2>/dev/null
done
cat "$results"/*.sum /dev/null |
	awk '{ passed += $1; failed += $2; skipped += $3 }
		END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 }'
