#!/bin/bash
# SPDX-License-Identifier: MIT
# Nothing of cprof may hold a pipe open that the program inherited: a reader would hang.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# As in the README: the shell goes on at once, though a child sleeps on.
cat >"$TMP/substitute" <<'SCRIPT'
x=$(LD_PRELOAD=$1 CPROF_OUT=$2 sh -c 'sleep 30 >/dev/null 2>&1 & echo hi; echo $! >&9')
echo "$x"
SCRIPT
got=$(LIMIT=8 bounded bash "$TMP/substitute" "$CPROF_LIB" "$OUT" 9>"$TMP/sleeper" 2>&1 || echo "status $?")
expect_equal "command substitution returns" hi "$got"
expect "the child sleeps on" kill -0 "$(<"$TMP/sleeper")"
kill "$(<"$TMP/sleeper")" 2>/dev/null || true
expect "settles when the child is gone" settle

# The same with a program that does leave samples, and with stderr in the pipe as well.
fresh_out
mkfifo "$TMP/hold"
got=$(LIMIT=8 bounded env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_LOG=debug bash -c \
	'"$1" 100 0 wait <"$2" >/dev/null 2>&1 & exec 9>"$2"; echo hi; sleep 20 >/dev/null 2>&1 9>&- & echo $! >"$3"' bash \
	"$VICTIMS/steady" "$TMP/hold" "$TMP/sleeper" 2>/dev/null | tail -1 || echo "status $?")
expect_equal "pipeline ends with the first process" hi "$got"
kill "$(<"$TMP/sleeper")" 2>/dev/null || true
got=$(LIMIT=8 bounded env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" \
	sh -c 'sleep 20 >/dev/null 2>&1 & echo $! >"$1"; echo hi' sh "$TMP/sleeper" 2>&1 || echo "status $?")
expect_equal "stderr in the pipe too" hi "$got"
kill "$(<"$TMP/sleeper")" 2>/dev/null || true
expect "settles" settle
expect_all_valid "all"
finish
