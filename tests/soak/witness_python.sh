#!/bin/bash
# SPDX-License-Identifier: MIT
# Modules of CPython's own test suite: each test has the same result as without cprof.  MODULES of them at
# random; with PART=2/8 each eighth one from the second on, so that eight runs are all of them.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"

RANDOM=${SEED:-4711}
python=/usr/bin/python3
suite=$("$python" -c 'import os, test; print(os.path.dirname(test.__file__))' 2>/dev/null) || skip_test "python3 has no tests here"
# Those about the network, graphics, and the debugger, and those that take minutes.
mapfile -t modules < <(cd "$suite" && ls -d test_*.py | sed 's/\.py$//' | grep -vE \
	'test_(gdb|idle|tk|ttk|curses|turtle|ssl|socket|ftplib|smtp|imap|pop|nntp|urllib|http|xmlrpc|asyn|venv|ensurepip|tools|regrtest|zipfile|lib2to3|multiprocessing|concurrent|capi|pydoc|zoneinfo|tokenize|distutils|peg|unicode|decimal|compileall|tarfile|bigmem|largefile|mailbox)')

# results LOG: the verdict on each test.
results()
{
	grep -aE '^test_[a-zA-Z0-9_]+ \(|^Ran |(ok|FAIL|ERROR)$|^(OK|FAILED)( |$)' "$1" |
		sed -E 's/ in [0-9.]+s$//; s/ \.\.\. (ok|FAIL|ERROR|skipped .*)$/ \1/; t; s/^(test_.*\)) \.\.\. .*/\1/; s/^[^t].* (ok|FAIL|ERROR)$/\1/' | sort
}

chosen=()
if [[ -n ${PART:-} ]]; then
	for ((i = ${PART%/*} - 1; i < ${#modules[@]}; i += ${PART#*/})); do chosen+=("${modules[i]}"); done
else
	for ((i = 0; i < ${MODULES:-12}; i++)); do chosen+=("${modules[RANDOM % ${#modules[@]}]}"); done
fi
for module in "${chosen[@]}"; do
	plain=$(LIMIT=120 hostile_run "" "$TMP/plain" "$python" -m test -v "$module")
	((plain == 0)) || continue # nor does it pass without cprof
	fresh_out
	seen=$(LIMIT=240 hostile_run "$CPROF_LIB" "$TMP/seen" CPROF_OUT="$OUT" "${EVERYTHING[@]}" "$python" -m test -v "$module")
	settle || fail "$module: the collector does not end"
	if ((seen != 0)) || ! diff <(results "$TMP/plain.out") <(results "$TMP/seen.out") >"$TMP/difference"; then
		fail "$module: status $seen"
		grep -aE '^(FAIL|ERROR):' "$TMP/seen.out" "$TMP/seen.err" | head -5 | sed 's/^/      | /'
		head -10 "$TMP/difference" | sed 's/^/      | /'
	else
		pass "$module: $(grep -acE ' \.\.\. ok$' "$TMP/seen.out" || true) tests as without"
	fi
done
finish
