#!/bin/bash
# SPDX-License-Identifier: MIT
#
# All integration tests, and what is in tests/soak/, again and again in random order and with
# random moments, for so long; then a report: each script's runs, failures and time.  A script that runs when the
# time is over has a minute more, then it is cut off, which is no verdict; SIGINT or SIGTERM ends the time at once.
# The long scripts stop after SHARE seconds, about twice what each of all would have, so that all have their turn.
#
#     BUILD=dir tests/soak.sh SECONDS [NAME...]
#
# NAME: only scripts whose name contains one of them.  A script gets SEED, from which its random
# moments follow; the report ends with what failed, and the command that runs it again with the same seed.  The logs
# stay in BUILD/tests/soak, the report too, in report.txt; `make reliability-readme` reads them.
set -uo pipefail
: "${BUILD:?the absolute build directory}"
cd "$(dirname "$0")/.." || exit 2

duration=${1:?seconds}
shift
LIMIT_SECONDS=3000
GRACE_SECONDS=60
logs=$BUILD/tests/soak
rm -rf "$logs"
mkdir -p "$logs"
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin

is_wanted()
{
	local name
	(($# > 1)) || return 0
	for name in "${@:2}"; do
		[[ $1 != *"$name"* ]] || return 0
	done
	return 1
}

scripts=()
for script in tests/integration/test_*.sh tests/soak/*.sh; do
	if is_wanted "$(basename "$script" .sh)" "$@"; then scripts+=("$script"); fi
done
((${#scripts[@]})) || exit 2
export SHARE=${SHARE:-$((10 + 2 * duration / ${#scripts[@]}))}

declare -A runs=() failures=() seconds=() checks=() remarks=()
until=$((SECONDS + duration))
failed=()
rounds=0
began=$(date -u '+%Y-%m-%d %H:%M:%S UTC')

# With these ignored the shell starts what runs beside it.
as_usual=(env --default-signal=INT --default-signal=QUIT)
running=
trap 'until=0; [[ -z $running ]] || kill -TERM "$running" 2>/dev/null' INT TERM

# has_failed STATUS LOG: one that was cut off has only if it said so before.
has_failed()
{
	case $1 in
	0 | 77) false ;;
	124 | 137 | 143) ((SECONDS < until)) || grep -a '^FAIL' "$2" | grep -qv '^FAIL  ended at' ;;
	esac
}

# run SCRIPT SEED LOG
run()
{
	local name start=$SECONDS status limit=$((until - SECONDS + GRACE_SECONDS))
	name=$(basename "$1" .sh)
	((limit < LIMIT_SECONDS)) || limit=$LIMIT_SECONDS
	TMP=$(mktemp -d "${TMPDIR:-/tmp}/cprof-soak.XXXXXX")
	"${as_usual[@]}" TMP="$TMP" SEED="$2" timeout -k 10 $limit bash "$1" >"$3" 2>&1 </dev/null &
	running=$!
	while # a signal ends the wait, not the script at once
		status=0
		wait $running || status=$?
		kill -0 $running 2>/dev/null
	do :; done
	running=
	chmod -R u+rwx "$TMP" 2>/dev/null
	rm -rf "$TMP"
	runs[$name]=$((${runs[$name]:-0} + 1))
	seconds[$name]=$((${seconds[$name]:-0} + SECONDS - start))
	checks[$name]=$((${checks[$name]:-0} + $(grep -c '^ok' "$3" || true)))
	if has_failed $status "$3"; then
		failures[$name]=$((${failures[$name]:-0} + 1))
		failed+=("$1 $2 $3")
		echo "FAIL  $name, seed $2, status $status: $(grep -a '^FAIL' "$3" | head -n 3 | cut -c 1-200 | paste -sd '|')"
	elif ((status == 77)); then
		remarks[$name]='  skipped'
	elif ((status != 0)); then
		remarks[$name]='  cut off at the end'
	fi
}

report()
{
	local name script seed log entry never=0
	printf '%-28s %6s %8s %8s %8s\n' script runs failed checks seconds
	for name in $(printf '%s\n' "${!runs[@]}" | sort); do
		printf '%-28s %6d %8d %8d %8d%s\n' "$name" "${runs[$name]}" "${failures[$name]:-0}" "${checks[$name]}" "${seconds[$name]}" \
			"${remarks[$name]:-}"
	done
	for script in "${scripts[@]}"; do [[ -n ${runs[$(basename "$script" .sh)]:-} ]] || never=$((never + 1)); done
	echo
	echo "began $began, Linux $(uname -r), glibc $(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2), $(nproc) processors, $("$BUILD/cprof-collector" --version)"
	echo "$rounds rounds of ${#scripts[@]} scripts begun; $never scripts never had their turn"
	for entry in "${failed[@]}"; do
		read -r script seed log <<<"$entry"
		echo "failed: $log"
		echo "  again: BUILD='$BUILD' TMP=\$(mktemp -d) SHARE=$SHARE SEED=$seed bash $script"
	done
	echo "soak: $SECONDS of $duration s, ${#failed[@]} failures"
}

while ((SECONDS < until)); do
	rounds=$((rounds + 1))
	mapfile -t round < <(printf '%s\n' "${scripts[@]}" | shuf)
	for script in "${round[@]}"; do
		((SECONDS < until)) || break
		seed=$((RANDOM * 32768 + RANDOM))
		run "$script" $seed "$logs/$(basename "$script" .sh).$seed.log"
	done
done
report | tee "$logs/report.txt"
((${#failed[@]} == 0))
