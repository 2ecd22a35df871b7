#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs tests one after another and counts.  A *.sh is an integration test: a bash script
# that gets BUILD (the absolute build directory) and TMP (a fresh directory), and exits 0
# (pass), 77 (cannot run here) or otherwise (fail).  Everything else is a Criterion
# program, whose tests are counted one by one.  One line for each file; of a failure the
# end of its log.  The last line is the sum: "N passed, N failed, N skipped".
#
#     BUILD=dir tests/run.sh [--filter NAME] FILE...
#
# A file may take 300 seconds; an integration test that needs more says `# timeout: N`
# in its first ten lines.
set -uo pipefail
: "${BUILD:?the absolute build directory}"
cd "$(dirname "$0")/.." || exit 2

filter=
if [[ ${1:-} == --filter ]]; then
	filter=$2
	shift 2
fi

command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
logs=$BUILD/tests/logs
mkdir -p "$logs"
passed=0
failed=0
skipped=0
failures=()

# report VERDICT NAME SECONDS [REMARK]
report()
{
	printf '%-4s  %-40s %4d s  %s\n' "$1" "$2" "$3" "${4:-}"
}

# show_tail NAME LOG
show_tail()
{
	failures+=("$1")
	tail -n 40 "$2" | sed 's/^/      | /'
}

# The sanitizers' findings inside programs whose stderr nobody reads (the collector's).
sanitizer_reports()
{
	find "$TMP" -maxdepth 1 -name 'sanitizer.*' -size +0c 2>/dev/null
}

run_unit()
{
	local program=$1 name log start=$SECONDS status=0 synthesis
	name=${program#"$BUILD"/tests/}
	log=$logs/${name//\//-}.log
	LSAN_OPTIONS=suppressions=$PWD/tests/support/lsan.supp:print_suppressions=0 \
		timeout -k 10 300 "$program" >"$log" 2>&1 </dev/null || status=$?
	synthesis=$(sed 's/\x1b\[[0-9;]*m//g' "$log" |
		sed -nE 's/.*Synthesis: Tested: ([0-9]+) \| Passing: ([0-9]+) \| Failing: ([0-9]+) \| Crashing: ([0-9]+).*/\1 \2/p' |
		tail -n 1)
	local tested=${synthesis% *} passing=${synthesis#* }
	if [[ -z $synthesis ]]; then
		failed=$((failed + 1))
		report FAIL "$name" $((SECONDS - start)) "ended without a result, status $status"
		show_tail "$name" "$log"
	elif ((status == 0 && tested == passing)); then
		passed=$((passed + passing))
		report ok "$name" $((SECONDS - start)) "$passing tests"
	else
		passed=$((passed + passing))
		failed=$((failed + (tested > passing ? tested - passing : 1)))
		report FAIL "$name" $((SECONDS - start)) "$passing of $tested tests passed, status $status"
		show_tail "$name" "$log"
	fi
}

run_integration()
{
	local script=$1 name log start=$SECONDS status=0 limit
	name=integration/$(basename "$script" .sh)
	log=$logs/${name//\//-}.log
	limit=$(sed -nE '1,10s/^# timeout: *([0-9]+).*/\1/p' "$script")
	TMP=$(mktemp -d "${TMPDIR:-/tmp}/cprof-test.XXXXXX")
	env TMP="$TMP" ASAN_OPTIONS="log_path=$TMP/sanitizer" \
		UBSAN_OPTIONS="log_path=$TMP/sanitizer:print_stacktrace=1" timeout -k 10 "${limit:-300}" bash "$script" >"$log" 2>&1 </dev/null || status=$?
	local report_file
	for report_file in $(sanitizer_reports); do
		cat "$report_file" >>"$log"
		status=99
	done
	case $status in
	0)
		passed=$((passed + 1))
		report ok "$name" $((SECONDS - start))
		;;
	77)
		skipped=$((skipped + 1))
		report skip "$name" $((SECONDS - start)) "$(grep '^skip' "$log" | tail -n 1)"
		;;
	*)
		failed=$((failed + 1))
		if ((status == 124 || status == 137)); then
			report FAIL "$name" $((SECONDS - start)) "took longer than ${limit:-300} s"
		else
			report FAIL "$name" $((SECONDS - start)) "status $status"
		fi
		grep -a '^FAIL' "$log" | head -n 20 | sed 's/^/      | /'
		show_tail "$name" "$log"
		;;
	esac
	chmod -R u+rwx "$TMP" 2>/dev/null
	rm -rf "$TMP"
}

for file; do
	[[ -z $filter || $(basename "$file" .sh) == *"$filter"* ]] || continue
	case $file in
	*.sh) run_integration "$file" ;;
	*) run_unit "$(realpath "$file")" ;;
	esac
done

if ((${#failures[@]})); then
	echo "failed: ${failures[*]}"
fi
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
