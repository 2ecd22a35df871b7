#!/bin/bash
# SPDX-License-Identifier: MIT
#
# All integration tests, and what is in tests/soak/, again and again in random order and with
# random moments, for so long; then a report: each script's runs, failures and time.
#
#     BUILD=dir tests/soak.sh SECONDS [NAME...]
#
# NAME: only scripts whose name contains one of them.  A script gets SEED, from which its random
# moments follow; the report ends with what failed, and the command that runs it again with the same seed.  The logs
# stay in BUILD/tests/soak; `make reliability-readme` reads them.
set -uo pipefail
: "${BUILD:?the absolute build directory}"
cd "$(dirname "$0")/.." || exit 2

duration=${1:?seconds}
shift
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

declare -A runs=() failures=() seconds=() checks=() skips=()
until=$((SECONDS + duration))
failed=()
rounds=0
began=$(date -u '+%Y-%m-%d %H:%M:%S UTC')
total_failures=0
while ((SECONDS < until)); do
	rounds=$((rounds + 1))
	mapfile -t round < <(printf '%s\n' "${scripts[@]}" | shuf)
	for script in "${round[@]}"; do
		((SECONDS < until)) || break
		name=$(basename "$script" .sh)
		seed=$((RANDOM * 32768 + RANDOM))
		log=$logs/$name.$seed.log
		TMP=$(mktemp -d "${TMPDIR:-/tmp}/cprof-soak.XXXXXX")
		start=$SECONDS
		status=0
		env TMP="$TMP" SEED=$seed timeout -k 10 3000 bash "$script" >"$log" 2>&1 </dev/null || status=$?
		chmod -R u+rwx "$TMP" 2>/dev/null
		rm -rf "$TMP"
		runs[$name]=$((${runs[$name]:-0} + 1))
		seconds[$name]=$((${seconds[$name]:-0} + SECONDS - start))
		checks[$name]=$((${checks[$name]:-0} + $(grep -c '^ok' "$log" || true)))
		case $status in
		0) ;;
		77) skips[$name]=1 ;;
		*)
			failures[$name]=$((${failures[$name]:-0} + 1))
			total_failures=$((total_failures + 1))
			failed+=("$script $seed $log")
			echo "FAIL  $name, seed $seed, status $status: $(grep -a '^FAIL' "$log" | head -n 3 | cut -c 1-200 | paste -sd '|')"
			;;
		esac
	done
done

printf '%-28s %6s %8s %8s %8s\n' script runs failed checks seconds
for name in $(printf '%s\n' "${!runs[@]}" | sort); do
	printf '%-28s %6d %8d %8d %8d%s\n' "$name" "${runs[$name]}" "${failures[$name]:-0}" "${checks[$name]}" "${seconds[$name]}" \
		"${skips[$name]:+  skipped}"
done
never=0
for script in "${scripts[@]}"; do [[ -n ${runs[$(basename "$script" .sh)]:-} ]] || never=$((never + 1)); done
echo
echo "began $began, Linux $(uname -r), glibc $(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2), $(nproc) processors, $("$BUILD/cprof-collector" --version)"
echo "$rounds rounds of ${#scripts[@]} scripts begun; $never scripts never had their turn"
for entry in "${failed[@]}"; do
	read -r script seed log <<<"$entry"
	echo "failed: $log"
	echo "  again: BUILD='$BUILD' TMP=\$(mktemp -d) SEED=$seed bash $script"
done
echo "soak: $duration s, $total_failures failures"
((total_failures == 0))
