#!/bin/bash
# SPDX-License-Identifier: MIT
# cprof top: what a live process does right now, once for a pipe, again and again for a
# terminal.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

command -v python3 >/dev/null || skip_test "python3 is not installed"

mkfifo "$TMP/in"
LIMIT=200 profiled CPROF_HEAP_RATE=1 CPROF_HTTP= "$VICTIMS/http_steps" >"$TMP/done" <"$TMP/in" &
steps_pid=$!
exec {steps}>"$TMP/in"
find_pid() { pid=$(our_processes '^http_steps$' | sort -n | head -1); [[ -n $pid ]]; } # its collector is called so at first
expect "the program runs" wait_until 10 find_pid
expect "it is known" wait_until 10 "$CPROF" top "$pid"

# A program that does nothing but one thing.
echo "burn 100000000" >&"$steps"
"$CPROF" top "$pid" >"$TMP/page"
expect_equal "whom it shows" 1 "$(grep -c "^http_steps ($pid): " "$TMP/page")"
expect "CPU time goes to one function" grep -qE '^ +[0-9.]+ s/s +(9[0-9]|100)\.[0-9]%  burn_cpu$' "$TMP/page"
expect "waits are off, and how to turn them on" grep -qE '^waiting +off \(cprof set PID block_rate=1us\)$' "$TMP/page"
expect_equal "nobody allocates" 0 "$(grep -c allocate_blocks "$TMP/page" || true)"
expect_equal "no escape sequences in a pipe" 0 "$(grep -c $'\033' "$TMP/page" || true)"

# A terminal: pages until q.
cat >"$TMP/terminal.py" <<'PY'
import os, pty, select, sys

pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "top", sys.argv[2]])
pages, sent = b"", False
while True:
    try:
        if not select.select([fd], [], [], 60)[0]:
            sys.exit("silent")
        piece = os.read(fd, 65536)
    except OSError:
        break
    if not piece:
        break
    pages += piece
    if pages.count(b"CPU time") >= 2 and not sent:
        sent = True
        os.write(fd, b"q")
print(pages.count(b"\x1b[H\x1b[2J"), b"burn_cpu" in pages, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
python3 "$TMP/terminal.py" "$CPROF" "$pid" >"$TMP/terminal" || true
expect_equal "a terminal: q ends it" 0 "$(awk '{ print $3 }' "$TMP/terminal")"
expect_range "after two pages" 2 "$(awk '{ print $1 }' "$TMP/terminal")" 5
expect_equal "with the function" True "$(awk '{ print $2 }' "$TMP/terminal")"

# The program ends while it is watched.
"$CPROF" top "$pid" >"$TMP/page" 2>"$TMP/err" &
top=$!
kill -KILL "$pid"
wait "$steps_pid" || true
wait $top || true
expect "settles" settle
expect_range "one line at most" 0 "$(wc -l <"$TMP/err")" 1

one_line()
{
	local what=$1
	shift
	expect_equal "$what: status" 1 "$(status_of "$CPROF" top "$@")"
	expect_equal "$what: one line" 1 "$(wc -l <"$TMP/stderr")"
}
one_line "a process that has ended" "$pid"
one_line "one without cprof" $$
one_line "nonsense" x
one_line "no PID"
one_line "two PIDs" 1 2
expect_equal "help" 0 "$(status_of "$CPROF" top --help)"
finish
