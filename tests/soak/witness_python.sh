#!/bin/bash
# SPDX-License-Identifier: MIT
# Modules of CPython's own test suite: each test has the same result as without cprof.  MODULES of them at
# random; with PART=2/8 each eighth one from the second on, so that eight runs are all of them; ONLY=test_json:
# these, or ONLY='test_re/*Ext*': those of its tests.  A module that does not pass within PLAIN_LIMIT seconds without cprof
# says nothing about it.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"

RANDOM=${SEED:-4711}
PLAIN_LIMIT=${PLAIN_LIMIT:-90}
python=/usr/bin/python3
mapfile -t modules < <("$python" -m test --list-tests 2>/dev/null || true)
((${#modules[@]} > 100)) || skip_test "python3 has no tests here"
# One that takes longer than that, in parts.
mapfile -t modules < <(printf '%s\n' "${modules[@]}" | grep -vx test_multiprocessing_spawn
	printf 'test_multiprocessing_spawn/%s\n' '*WithThreads*' '*WithProcessesTest[A-O]*' '*WithProcessesTest[P-Z]*' \
		'*WithManagerTest[A-O]*' '*WithManagerTestP*' '*WithManagerTest[Q-Z]*' '*.Test*')
# Single tests that look at what a profiler has to change, and that the README's limits name.
without=(
	-i test_setsigdef # ends by SIGUSR1's default action, which is a snapshot here
	-i '*VSOCK*' # wait for ever in some virtual machines
)
# What its own tests do not expect to be set.
unset ${!PYTHON*}

# results LOG: each test's verdict.  Its name and its verdict may have other lines between them.
results()
{
	LC_ALL=C awk '
		/^test[A-Za-z0-9_]* \(/ { name = $1 " " $2 }
		name != "" && match($0, /(ok|FAIL|ERROR|expected failure|unexpected success|skipped .*)$/) {
			verdict = substr($0, RSTART)
			sub(/ .*/, "", verdict)
			print name, verdict
			name = ""
		}
		/^Ran [0-9]+ test/ { print "Ran", $2 }' "$1" | sort
}

# profiles_wrong: what is wrong with them; of hundreds of short children some will do.
profiles_wrong()
{
	local file count=0
	for file in "$OUT"/*.pb.gz; do
		((count++ < 30)) && [[ -e $file ]] || continue
		"$PPROFQ" "$file" check >/dev/null 2>&1 || echo "; not valid: $(basename "$file")"
	done
}

chosen=()
if [[ -n ${ONLY:-} ]]; then
	read -ra chosen <<<"$ONLY"
elif [[ -n ${PART:-} ]]; then
	for ((i = ${PART%/*} - 1; i < ${#modules[@]}; i += ${PART#*/})); do chosen+=("${modules[i]}"); done
else
	for ((i = 0; i < ${MODULES:-12}; i++)); do chosen+=("${modules[RANDOM % ${#modules[@]}]}"); done
fi
for module in "${chosen[@]}"; do
	has_time || break
	command=("$python" -m test -v "${without[@]}" "${module%%/*}")
	[[ $module != */* ]] || command+=(-m "${module#*/}")
	plain=$(LIMIT=$PLAIN_LIMIT hostile_run "" "$TMP/plain" "${command[@]}")
	if ((plain != 0)); then
		skip_check "CPython $module: status $plain without cprof"
		continue
	fi
	fresh_out
	seen=$(LIMIT=$((2 * PLAIN_LIMIT)) hostile_run "$CPROF_LIB" "$TMP/seen" CPROF_OUT="$OUT" "${EVERYTHING[@]}" "${command[@]}")
	wrong=
	LIMIT=120 settle || wrong+="; the collector does not end"
	wrong+=$(profiles_wrong)
	diff <(results "$TMP/plain.out") <(results "$TMP/seen.out") >"$TMP/difference" || wrong+="; other results"
	((seen == 0)) || wrong+="; status $seen"
	if [[ -z $wrong ]]; then
		pass "$(printf 'CPython %-28s plain %-3s  cprof %-3s  %5d tests  same' "$module" "$plain" "$seen" "$(results "$TMP/seen.out" | awk '$1 == "Ran" { n += $2 } END { print n + 0 }')")"
	else
		fail "CPython $module: ${wrong#; }"
		grep -aE '^(FAIL|ERROR):' "$TMP/seen.out" "$TMP/seen.err" | sort -u | head -5 | sed 's/^/      | /'
		head -20 "$TMP/difference" | sed 's/^/      | /'
		[[ -z ${KEEP:-} ]] || cp "$TMP"/plain.* "$TMP"/seen.* "$TMP/difference" "$KEEP"
	fi
done
((checks_made)) || skip_test "none of these modules passes without cprof"
finish
