#!/bin/bash
# SPDX-License-Identifier: MIT
#
# `cprof run`: the command's status and output, the options, signals, the summary, and
# whose files it counts as its own; and what `cprof` says to wrong command lines.
. "$(dirname "$0")/lib.sh"

# run ARGUMENT...: stdout to $TMP/stdout, stderr to $TMP/stderr, prints the status.
run()
{
	status_of bounded "$CPROF" run --out "$OUT" "$@" >"$TMP/stdout" 2>"$TMP/stderr"
}
status()
{
	local status=0
	bounded "$CPROF" "$@" >"$TMP/stdout" 2>"$TMP/stderr" || status=$?
	echo $status
}
says()
{
	grep -qE -- "$1" "$TMP/stderr"
}
lines()
{
	wc -l <"$TMP/stderr"
}

# ---- status and output are the command's
expect_equal "exit status" 7 "$(status run --out "$OUT" -- sh -c 'echo out; echo err >&2; exit 7')"
expect_equal "stdout is the command's alone" out "$(<"$TMP/stdout")"
expect "stderr has the command's" says '^err$'
expect "and the summary" says '^cprof: 2 profiles in '
fresh_out
expect_equal "killed" 137 "$(status run --out "$OUT" sh -c 'kill -9 $$')"
expect "killed: the files are there all the same" says '^cprof: 2 profiles in '
expect_all_valid "killed"
expect_equal "not found" 127 "$(status run --out "$OUT" "$TMP/no such program")"
expect_equal "not found: one line" 1 "$(lines)"
expect_equal "not executable" 126 "$(status run --out "$OUT" /etc/passwd)"
expect_equal "a command that says 127 itself" 127 "$(status run --quiet --out "$OUT" sh -c 'exit 127')"
expect_equal "quiet: not a word" 0 "$(lines)"
expect_equal "stdin reaches the command" "a b" "$(echo a b | bounded "$CPROF" run --quiet --out "$OUT" cat)"

# ---- options are variables
expect_equal "environment" "1 33 USR2 0 5s" "$(bounded "$CPROF" run --quiet --out "$OUT" --heap-rate 1 --cpu-hz=33 \
	--signal USR2 --follow 0 --exit-wait 5s -- sh -c \
	'echo $CPROF_HEAP_RATE $CPROF_CPU_HZ $CPROF_SIGNAL $CPROF_FOLLOW $CPROF_EXIT_WAIT')"
expect_equal "an inherited preload stays, behind ours" "$CPROF_LIB:/lib/x86_64-linux-gnu/libm.so.6" \
	"$(LD_PRELOAD=/lib/x86_64-linux-gnu/libm.so.6 bounded "$CPROF" run --quiet --out "$OUT" sh -c 'echo $LD_PRELOAD')"
expect_equal "options end at the command" "--out" "$(bounded "$CPROF" run --quiet --out "$OUT" echo --out)"

# ---- signals: what is sent to the tool reaches the command, and not twice
for signal in INT TERM HUP USR2; do
	expect_equal "forwards $signal" "got $signal, once" "$(python3 - "$CPROF" "$OUT" "$signal" "$TMP/ready" <<'PYTHON'
import os, signal, subprocess, sys, time
tool, out, name, ready = sys.argv[1:]
script = ("n=0; trap 'n=$((n+1))' %s; : >%s; for i in 1 2 3 4 5 6; do sleep 0.1; done;"
	  " [ $n = 1 ] && echo got %s, once || echo got %s $n times" % (name, ready, name, name))
run = subprocess.Popen([tool, "run", "--quiet", "--out", out, "bash", "-c", script], stdout=subprocess.PIPE,
		       start_new_session=True)
while not os.path.exists(ready):
	time.sleep(0.01)
os.remove(ready)
os.kill(run.pid, getattr(signal, "SIG" + name))
print(run.communicate(timeout=30)[0].decode(), end="")
PYTHON
)"
done

# ---- the summary
fresh_out
run --heap-rate 1 "$VICTIMS/heap_sites" >/dev/null || true
settle
expect "names the file" says '^  heap_sites\.[0-9]+\.heap\.pb\.gz .* allocated$'
file=$(profile heap_sites heap)
expect "counts what the profile counts" says "^allocated .* in $(query "$file" total alloc_objects) blocks$"
expect "in use likewise" says "^in use at the end .* in $(query "$file" total inuse_objects) blocks$"
expect "nothing lost" says '^nothing lost$'
expect "the profile bears the run's mark" grep -qE '^# cprof: run [0-9a-f]{16}$' <(query "$file" comments)
fresh_out
run --trace "$VICTIMS/steady" 200 >/dev/null
settle
expect "traces are listed too" says '^cprof: 2 profiles and 2 traces in '
expect "the one for Perfetto" says '^  steady\.[0-9]+\.perfetto-trace .*, for ui\.perfetto\.dev and cprof trace$'
expect "the one for Go" says '^  steady\.[0-9]+\.trace .*, for go tool trace$'
fresh_out
run --cpu-hz 250 "$VICTIMS/steady" 400 >/dev/null
expect "CPU time of the busiest function" says '^ +[0-9.]+ s +[0-9.]+%  '

# ---- its own files, not those of another run at the same time, nor older ones
fresh_out
CPROF_OUT=$OUT LD_PRELOAD=$CPROF_LIB bounded "$VICTIMS/steady" 200 >/dev/null
(bounded "$CPROF" run --quiet --out "$OUT" "$VICTIMS/steady" 800 >/dev/null) &
other=$!
expect_equal "two runs in one directory: status" 0 "$(status run --out "$OUT" sh -c "'$VICTIMS/steady' 100 >/dev/null; '$VICTIMS/steady' 100")"
wait $other
settle
mark_of()
{
	query "$1" comments | sed -nE 's/^# cprof: run ([0-9a-f]{16})$/\1/p'
}
mark=$(mark_of "$(profile sh cpu)")
own=0
others=0
for file in "$OUT"/*.pb.gz; do
	if [[ $(mark_of "$file") == "$mark" ]]; then
		own=$((own + 1))
	else
		others=$((others + 1))
	fi
done
expect_range "there are other files" 4 "$others" 6
expect "only its own are counted" says "^cprof: $own profiles in "

# ---- a tree that goes on
fresh_out
expect_equal "a tree that goes on: status" 0 "$(status run --out "$OUT" sh -c 'sleep 30 >/dev/null 2>&1 & echo $! >"$1"' sh "$TMP/sleeper")"
expect "the command's own files are there" says '^cprof: 2 profiles'
expect "and it is said" says '^1 process of the tree still running'
kill "$(<"$TMP/sleeper")"
settle

# ---- a run inside a run is a tree of its own
fresh_out
mkdir -p "$TMP/inner"
expect_equal "nested" 0 "$(status run --out "$OUT" "$CPROF" run --out "$TMP/inner" "$VICTIMS/steady" 100)"
settle
expect_equal "nested: the inner run's files are in its directory" 2 "$(find "$TMP/inner" -name 'steady.*.pb.gz' | wc -l)"
expect_equal "nested: and not in the outer one's" 0 "$(find "$OUT" -name 'steady.*.pb.gz' | wc -l)"

# ---- wrong command lines: one line that says what is accepted, status 2
for arguments in '' 'bogus' '--bogus' 'run' 'run --bogus true' 'run --out' 'recover' 'recover a b' 'recover --bogus'; do
	read -ra words <<<"$arguments"
	expect_equal "cprof $arguments: status" 2 "$(status "${words[@]}")"
	expect_equal "cprof $arguments: one line" 1 "$(lines)"
	expect "cprof $arguments: says what is accepted" says 'accepted:'
done
expect_equal "help" 0 "$(status run --help)"
expect "version" grep -qE '^cprof [0-9]+\.[0-9]+' <("$CPROF" --version)

# ---- a place that LD_PRELOAD cannot name
mkdir -p "$TMP/with blank"
cp "$CPROF" "$CPROF_LIB" "$BUILD/cprof-collector" "$TMP/with blank/"
expect_equal "library in a path with a blank" "125 1" \
	"$(s=0; "$TMP/with blank/cprof" run true 2>"$TMP/stderr" || s=$?; echo "$s $(lines)")"
finish
