# SPDX-License-Identifier: MIT
#
# What the integration tests share.  A test is a bash script that sources this file,
# runs programs plain and under cprof, says what it found with pass/fail/expect_*,
# and ends with `finish`: every check of a script runs, the status tells whether all
# held.  Checks state facts of the profiles; no check compares a duration, except
# where a program that hangs is the failure.
#
# From tests/run.sh: BUILD (absolute build directory) and TMP (a fresh directory).
# Context: bash, sourced.

: "${BUILD:?the build directory}" "${TMP:?a scratch directory}"

CPROF_LIB=$BUILD/libcprof.so
CPROF=$BUILD/cprof
PPROFQ=$BUILD/tests/pprofq
VICTIMS=$BUILD/tests/victims
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUT=$TMP/out

for variable in $(compgen -e | grep '^CPROF_' || true); do
	[[ $variable == CPROF_LIB || $variable == CPROF ]] || unset "$variable"
done
unset LD_PRELOAD LD_LIBRARY_PATH MALLOC_CONF MAKEFLAGS MFLAGS MAKELEVEL variable
export LC_ALL=C
# Nothing that earlier runs have kept: a directory that anybody may write to is not used.  Go keeps its own.
export GOCACHE=${GOCACHE:-${XDG_CACHE_HOME:-${HOME:-$TMP}/.cache}/go-build} XDG_CACHE_HOME=$TMP/no-cache
mkdir -p "$XDG_CACHE_HOME/cprof"
chmod 777 "$XDG_CACHE_HOME/cprof"
cd "$TMP"
mkdir -p "$OUT"

# A sanitized pprofq: it ends without freeing, which is no finding.
if ldd "$PPROFQ" 2>/dev/null | grep libasan >/dev/null; then
	printf '#!/bin/sh\nASAN_OPTIONS=detect_leaks=0 exec "%s" "$@"\n' "$PPROFQ" >"$TMP/pprofq"
	chmod +x "$TMP/pprofq"
	PPROFQ=$TMP/pprofq
fi

checks_failed=0
checks_made=0

# What ends a script early, by `set -e`, is said.
set -o errtrace
trap '[[ $- != *e* || $BASHPID != $$ ]] || echo "FAIL  ended at $(basename "${BASH_SOURCE[0]}"):$LINENO: $BASH_COMMAND"' ERR

pass()
{
	checks_made=$((checks_made + 1))
	echo "ok    $*"
}

fail()
{
	checks_made=$((checks_made + 1))
	checks_failed=$((checks_failed + 1))
	echo "FAIL  $*"
}

# tally WHAT COUNT: it was tried so often, and held; the sum over all logs is in the README.
tally()
{
	echo "tally $1: $2"
}

# has_time [BEGAN PARTS]: whether SHARE, the seconds that the soak gives each of its long scripts, or one of PARTS
# of it that BEGAN then, is not over; without it there is always time.
has_time()
{
	((${SHARE:-0} == 0 || SECONDS - ${1:-0} < SHARE / ${2:-1}))
}

# skip_test REASON: the whole script cannot run here.
skip_test()
{
	echo "skip  $*"
	exit 77
}

# has_commands NAME...: all of them are installed (`command -v` is content with one).
has_commands()
{
	local name
	for name in "$@"; do
		command -v "$name" >/dev/null || return 1
	done
}

# skip_check WHAT: one check cannot be made here.
skip_check()
{
	echo "skip  $*"
}

finish()
{
	echo "$checks_made checks, $checks_failed failed"
	if ((checks_made > 0 && checks_failed == 0)); then exit 0; fi
	exit 1
}

# expect WHAT COMMAND...: the command succeeds.
expect()
{
	local what=$1
	shift
	if "$@" >"$TMP/expect.log" 2>&1; then
		pass "$what"
	else
		fail "$what: $*"
		head -20 "$TMP/expect.log" | sed 's/^/      | /'
	fi
}

# expect_equal WHAT WANT GOT
expect_equal()
{
	if [[ $2 == "$3" ]]; then
		pass "$1"
	else
		fail "$1: want '${2:0:400}', got '${3:0:400}'"
	fi
}

# expect_range WHAT LOW VALUE HIGH: numbers, bounds included.
expect_range()
{
	if awk -v l="$2" -v v="$3" -v h="$4" 'BEGIN { exit !(v != "" && v + 0 == v && l <= v && v <= h) }'; then
		pass "$1 ($3)"
	else
		fail "$1: $3 is not within $2..$4"
	fi
}

# expect_steady WHAT LOW VALUE HIGH: what was sampled in a short time, where nobody else may take the CPU.
expect_steady()
{
	if ((${#STEADY[@]})); then
		expect_range "$@"
	else
		skip_check "$1: others may have had the CPU at the kernel's ticks"
	fi
}

# expect_share WHAT SAMPLES OF P [LATE]: SAMPLES is binomial(OF, P) to 4 standard deviations,
# sigma = sqrt(OF * P * (1 - P)); one sample more for the rounding to whole samples, and LATE more
# for those that may have been taken later than they were due.
expect_share()
{
	local verdict
	verdict=$(awk -v k="$2" -v n="$3" -v p="$4" -v late="${5:-0}" 'BEGIN {
		sigma = sqrt(n * p * (1 - p)); d = k - n * p; if (d < 0) d = -d
		printf "%s %d of %d samples, expected %.1f, sigma %.2f", (n > 0 && d <= 4 * sigma + 1 + late) ? "in" : "out", k, n, n * p, sigma }')
	if [[ $verdict == in* ]]; then
		pass "$1 (${verdict#in })"
	else
		fail "$1: ${verdict#out }"
	fi
}

# bounded COMMAND...: with a limit for hangs; status 124 or 137 if it was needed.
# (kept in this shell's process group, so that job control is as in real use)
bounded()
{
	timeout --foreground -k 5 "${LIMIT:-120}" "$@"
}

# steady_cpu: from here on no other program takes the CPU from those that `profiled` runs, where that is allowed.
# The kernel looks at a thread's CPU timer only when its tick finds this thread running.  One that is always
# preempted before the tick is not sampled while that lasts, and its time is charged later, in one lump.
STEADY=()
# FIGURES in a file with "preempted N": late_ms says how much time that may have been, at a tick of 10 ms at most.
steady_cpu()
{
	if chrt --rr 1 true 2>/dev/null; then
		STEADY=(chrt --rr 1)
	else
		echo "no real-time priority here: CPU samples are as good as the machine is idle"
	fi
}

# steady_least N: so many samples at least, 0 where others may take the CPU.
steady_least()
{
	((${#STEADY[@]})) && echo "$1" || echo 0
}

late_ms()
{
	((${#STEADY[@]})) && echo 0 || echo $((10 * $(truth "$1" preempted)))
}

# profiled [VARIABLE=VALUE...] COMMAND...: under the preload, files to $OUT, which are waited for however long they take.
profiled()
{
	bounded "${STEADY[@]}" env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_EXIT_WAIT=50s "$@"
}

# status_of COMMAND...: prints the exit status alone; the command's output is in $TMP/stdout and $TMP/stderr.
status_of()
{
	local status=0
	"$@" >"$TMP/stdout" 2>"$TMP/stderr" || status=$?
	echo $status
}

# fresh_out: an empty $OUT for the next program.
fresh_out()
{
	rm -rf "$OUT"
	mkdir -p "$OUT"
}

# wait_until SECONDS COMMAND...: polls; a bound, not a measurement.
wait_until()
{
	local polls=$(($1 * 20))
	shift
	while ((polls-- > 0)); do
		if "$@" >/dev/null 2>&1; then
			return 0
		fi
		sleep 0.05
	done
	return 1
}

# our_processes PATTERN [DIR]: pids of the processes that are called so and whose files go below DIR, default $TMP.
our_processes()
{
	local at=${2:-$TMP} pid
	for pid in $(ps -eo pid=,comm= | awk -v pattern="$1" '$2 ~ pattern { print $1 }'); do
		if grep -qz "^CPROF_OUT=$at" "/proc/$pid/environ" 2>/dev/null; then
			echo "$pid"
		fi
	done
}

# our_collectors [DIR]: the collectors, their guards and keepers.
our_collectors()
{
	our_processes '^cprof-(collect|supervis|keep)' "$@"
}

# our_workers [DIR]: those of them that collect.
our_workers()
{
	our_processes '^cprof-collector' "$@"
}

# One that is going may be seen, and gone when it is told to.
kill_our_workers()
{
	local pid
	for pid in $(our_workers); do
		kill -KILL "$pid" 2>/dev/null || true
	done
}

no_collectors()
{
	[[ -z $(our_collectors) ]]
}

have_collectors()
{
	[[ -n $(our_collectors) ]]
}

# free_ports: the first of four TCP ports in a row that are free, others for each test that runs now.
free_ports()
{
	local port=$((12000 + $$ % 5000 * 4)) used
	used=$(awk 'FNR > 1 { sub(/.*:/, "", $2); print $2 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
	while grep -qE "$(printf '^(%04X|%04X|%04X|%04X)$' $port $((port + 1)) $((port + 2)) $((port + 3)))" <<<"$used"; do
		port=$((port < 31992 ? port + 4 : 12000))
	done
	echo $port
}

# settle: until the collectors of this test are gone, so that all files are there.
settle()
{
	wait_until 20 no_collectors
}

# first_profile DIR: waits for it.  A program without samples does not wait for its files: when it is over its
# collector may not have begun, so that `settle` finds nobody.
first_profile()
{
	compgen -G "$1/*.pb.gz" >/dev/null || { wait_until 20 compgen -G "$1/*.pb.gz" && settle; } || true
}

# recover_kept DIR: raw data that lie there become profiles.
recover_kept()
{
	local segment
	for segment in "$1"/.*.cprof; do
		[[ ! -e $segment ]] || (cd "$1" && bounded "$CPROF" recover "$segment" >>"$TMP/recover.log" 2>&1 && rm -f "$segment")
	done
}

# profile NAME KIND: the path of the one final profile of this name, or of no file at all.
profile()
{
	local found
	found=$(compgen -G "$OUT/$1.*.$2.pb.gz" || true)
	if [[ -z $found || $found == *$'\n'* ]]; then
		echo "$OUT/no-single-profile-$2-of-$1"
	else
		echo "$found"
	fi
}

# has_profile NAME KIND: there is exactly one.
has_profile()
{
	[[ -e $(profile "$1" "$2") ]] || {
		echo "not one $1.*.$2.pb.gz in $OUT: $(ls -A "$OUT" 2>/dev/null | tr '\n' ' ')"
		return 1
	}
}

# profiles_of NAME KIND: all of them, one a line.
profiles_of()
{
	compgen -G "$OUT/$1.*.$2.pb.gz" || true
}

# query PROFILE WHAT...: pprofq; -1 where there is no figure to be had.
query()
{
	"$PPROFQ" "$@" 2>/dev/null || case $2 in
	total | leaf | has) echo -1 ;;
	esac
}

# expect_profile NAME KIND WHAT: there is exactly one, and it is valid.
expect_profile()
{
	if has_profile "$1" "$2" >"$TMP/expect.log"; then
		expect "${3:-$1}: $2 profile valid" "$PPROFQ" "$(profile "$1" "$2")" check
	else
		fail "${3:-$1}: $(<"$TMP/expect.log")"
	fi
}

# expect_all_valid WHAT [DIR]: every profile in the directory is valid, and nothing unfinished lies there.
expect_all_valid()
{
	local directory=${2:-$OUT} file bad=0 seen=0 rest
	first_profile "$directory"
	for file in "$directory"/*.pb.gz; do
		[[ -e $file ]] || continue
		seen=$((seen + 1))
		if ! "$PPROFQ" "$file" check >"$TMP/valid.log" 2>&1; then
			bad=$((bad + 1))
			echo "      | $(basename "$file"): $(head -3 "$TMP/valid.log" | tr '\n' ' ')"
		fi
	done
	if ((seen > 0 && bad == 0)); then
		pass "$1: all $seen profiles valid"
	else
		fail "$1: $bad of $seen profiles not valid"
	fi
	rest=$(find "$directory" -maxdepth 1 -type f ! -name '*.pb.gz' -printf '%f ')
	expect_equal "$1: nothing but profiles left behind" "" "$rest"
}

# expect_sane_pprof WHAT PROFILE: go tool pprof reads it and shows its figures.
expect_sane_pprof()
{
	expect "$1: go tool pprof -top" pprof -top "$2"
}

# The tool once, instead of the go command's start each time.
pprof()
{
	if [[ -z ${pprof_path:-} ]]; then
		pprof_path=$(go tool -n pprof 2>/dev/null | awk '{ print $1 }' || true)
	fi
	if [[ -x ${pprof_path:-} ]]; then
		PPROF_TMPDIR=$TMP PPROF_BINARY_PATH=/nonexistent "$pprof_path" "$@"
	else
		PPROF_TMPDIR=$TMP PPROF_BINARY_PATH=/nonexistent go tool pprof "$@"
	fi
}

# truth FILE NAME [COLUMN]: a figure that a victim printed as "NAME figure...".
truth()
{
	awk -v name="$2" -v column="${3:-1}" '$1 == name { print $(column + 1); exit }' "$1"
}
