#!/bin/bash
# SPDX-License-Identifier: MIT
# What is wrong around the program costs profiles and one line, never the program.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# unharmed WHAT LINES [VARIABLE=VALUE...]: the program's output and status are its own, and stderr has
# LINES lines (a number, or a range "a-b"), each of them cprof's.
unharmed()
{
	local what=$1 lines=$2 status=0
	shift 2
	bounded env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_HEAP_RATE=1 "$@" "$VICTIMS/steady" 100 7 >"$TMP/stdout" 2>"$TMP/stderr" || status=$?
	settle || true # what the collector says may come late
	expect_equal "$what: exit status" 7 "$status"
	expect_equal "$what: output" "done" "$(<"$TMP/stdout")"
	expect_range "$what: lines on stderr" "${lines%-*}" "$(wc -l <"$TMP/stderr")" "${lines#*-}"
	expect_equal "$what: each line is cprof's" "" "$(grep -v '^cprof' "$TMP/stderr" || true)"
}

# whole DIR: no file under a final name is half written.
whole()
{
	local file
	for file in "$1"/*.pb.gz; do
		[[ -e $file ]] || continue
		expect "$what: $(basename "$file") is whole" "$PPROFQ" "$file" check
	done
	expect_equal "$what: no temporary file is left" "" "$(find "$1" -maxdepth 1 -type f ! -name '*.pb.gz' ! -name '.*.cprof' -printf '%f ' 2>/dev/null)"
}

sums() { for type in alloc_objects alloc_space inuse_objects inuse_space; do query "$1" has steady_allocates $type; done | xargs; }

# recovered DIR: the segment kept there gives exact profiles.
recovered()
{
	local segment
	segment=$(find "$1" -name '.steady.*.cprof')
	if [[ -z $segment ]]; then
		fail "$what: no segment file in $1: $(find "$1" -printf '%f ')"
		return
	fi
	(cd "$1" && expect "$what: cprof recover" bounded "$CPROF" recover "$segment")
	expect_equal "$what: recovered heap profile exact" "1000 100000 600 60000" "$(sums "$(find "$1" -name 'steady.*.heap.pb.gz')")"
	whole "$1"
}

# ---- a trace as nobody can take it ----
what="words for a trace that nobody knows"
unharmed "$what" 3 CPROF_TRACE=always CPROF_FLIGHT_AGE=soon CPROF_FLIGHT_BYTES=1K
for variable in CPROF_TRACE=always CPROF_FLIGHT_AGE=soon CPROF_FLIGHT_BYTES=1K; do
	expect "$what: $variable" grep -q "$variable: accepted is " "$TMP/stderr"
done
what="a flight recorder larger than the segment"
unharmed "$what" 1 CPROF_TRACE=flight CPROF_FLIGHT_BYTES=100M CPROF_MEM=16M
expect "$what: what there is" grep -q "recorder of 1024K: CPROF_FLIGHT_BYTES" "$TMP/stderr"

# ---- where the files should go ----
what="out below a file"
touch "$TMP/file"
unharmed "$what" 1 CPROF_OUT="$TMP/file/below"
expect "$what: the line names the directory" grep -q "$TMP/file/below" "$TMP/stderr"
what="out where nothing can be made"
unharmed "$what" 1 CPROF_OUT=/proc/self/nowhere
what="out where nothing can be made, with a trace"
unharmed "$what" 1 CPROF_OUT=/proc/self/nowhere CPROF_TRACE=full
if [[ $(id -u) == 0 ]]; then
	what="out not writable"
	mkdir -p "$TMP/locked" && chmod 555 "$TMP/locked"
	chmod 755 "$TMP" 2>/dev/null || true
	status=0
	bounded setpriv --reuid 65534 --regid 65534 --clear-groups env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$TMP/locked" \
		"$VICTIMS/steady" 100 7 >"$TMP/stdout" 2>"$TMP/stderr" || status=$?
	if ((status == 126 || status == 127)); then
		skip_check "$what: the victims cannot be reached by another user"
	else
		expect_equal "$what: exit status" 7 "$status"
		expect_equal "$what: one line" 1 "$(wc -l <"$TMP/stderr")"
		expect "$what: it names the directory" grep -q "$TMP/locked" "$TMP/stderr"
	fi
	expect_equal "$what: nothing there" "" "$(ls -A "$TMP/locked")"
fi

# ---- full disk ----
small=$TMP/small
mkdir -p "$small"
if [[ $(id -u) == 0 ]] && mount -t tmpfs -o size=64k tmpfs "$small" 2>/dev/null; then
	trap 'umount "$small" 2>/dev/null || true' EXIT
	what="full disk"
	dd if=/dev/zero of="$small/filler" bs=4096 count=100 2>/dev/null || true
	unharmed "$what" 1-2 CPROF_OUT="$small"
	rm "$small/filler"
	whole "$small"
	what="nearly full disk"
	rm -f "$small"/* "$small"/.[!.]*
	dd if=/dev/zero of="$small/filler" bs=1024 count=60 2>/dev/null || true
	unharmed "$what" 0-2 CPROF_OUT="$small"
	rm "$small/filler"
	whole "$small"
	what="full disk for the segment itself"
	rm -f "$small"/* "$small"/.[!.]*
	unharmed "$what" 0-3 CPROF_OUT="$small" CPROF_SEGMENT=file
	rm -f "$small"/.[!.]*
	whole "$small"
	umount "$small"
	trap - EXIT
else
	skip_check "full disk: cannot mount a tmpfs"
fi

# ---- no collector, or one that dies ----
fresh_out
what="missing collector"
unharmed "$what" 1 CPROF_COLLECTOR=/nonexistent
recovered "$OUT"
fresh_out
what="collector that is no program"
unharmed "$what" 1 CPROF_COLLECTOR="$TMP/file"
recovered "$OUT"
fresh_out
what="collector that ends at once"
unharmed "$what" 0-2 CPROF_COLLECTOR=/bin/false
whole "$OUT"
what="library without its collector beside it"
fresh_out
mkdir -p "$TMP/alone" && cp "$CPROF_LIB" "$TMP/alone"
unharmed "$what" 1 LD_PRELOAD="$TMP/alone/libcprof.so"
recovered "$OUT"

mkfifo "$TMP/hold"
# dying WHO: a program at work loses its collector's processes.
dying()
{
	local status=0 pid shell_pid
	fresh_out
	what="collector killed: $1"
	profiled CPROF_HEAP_RATE=1 "$VICTIMS/steady" 300 7 wait >"$TMP/stdout" 2>"$TMP/stderr" <"$TMP/hold" &
	shell_pid=$!
	exec 9>"$TMP/hold"
	wait_until 10 grep -q ready "$TMP/stdout"
	wait_until 10 have_collectors
	case $1 in
	worker) pid=$(our_collectors | sort -n | awk '{ last = $1 } END { print last }') ;;
	supervisor) pid=$(our_collectors | sort -n | awk 'NR == 1') ;;
	both) pid=$(our_collectors) ;;
	esac
	# shellcheck disable=SC2086
	kill -9 $pid
	sleep 0.5
	exec 9>&-
	wait "$shell_pid" || status=$?
	settle || true
	expect_equal "$what: exit status" 7 "$status"
	expect_range "$what: lines on stderr" 0 "$(wc -l <"$TMP/stderr")" 1
	if [[ $1 == worker || -n $(compgen -G "$OUT/steady.*.heap.pb.gz") ]]; then
		expect_equal "$what: heap profile exact all the same" "1000 100000 600 60000" "$(sums "$(profile steady heap)")"
		whole "$OUT"
	else
		expect_equal "$what: one line says that nothing is written, and how to get it" 1 "$(grep -c recover "$TMP/stderr" || true)"
		recovered "$OUT"
	fi
}
dying worker
dying supervisor
dying both

# ---- garbage in the variables ----
fresh_out
for pair in CPROF_CPU_HZ=fast CPROF_CPU_HZ=-5 CPROF_CPU_HZ=99999999999999999999 CPROF_HEAP_RATE=12Q CPROF_HEAP_RATE= \
	CPROF_SIGNAL=KILL CPROF_SIGNAL=SIGFOO CPROF_FOLLOW=maybe CPROF_MEM=1 CPROF_MEM=lots CPROF_SEGMENT=tape \
	CPROF_EXIT_WAIT=soon CPROF_LOG=loud CPROF_DEBUGINFOD=2; do
	what="garbage $pair"
	variable=${pair%%=*} value=${pair#*=}
	unharmed "$what" 1 "$pair"
	expect "$what: the line names the variable" grep -q "$variable" "$TMP/stderr"
	expect "$what: the line names the value" grep -qF -- "$value" "$TMP/stderr"
	expect "$what: the line says what is accepted" grep -qi 'accepted\|expected' "$TMP/stderr"
done
what="unknown variable"
unharmed "$what" 1 CPROF_HAEP_RATE=1
expect "$what: it is named" grep -q CPROF_HAEP_RATE "$TMP/stderr"
what="long value"
unharmed "$what" 1 CPROF_OUT="/$(printf 'x%.0s' {1..5000})"
what="broken session"
unharmed "$what" 0-1 CPROF_SESSION=rubbish
what="session of nobody"
unharmed "$what" 0-1 CPROF_OUT="$TMP/nobody" CPROF_SESSION="$(printf 'a%.0s' {1..32}):$(printf 'b%.0s' {1..32}):1"
expect_equal "all with garbage: the defaults were used, so profiles are there" "yes" \
	"$( (($(profiles_of steady heap | wc -l) >= 14)) && echo yes || profiles_of steady heap | wc -l)"
expect_all_valid "all with garbage"
# A child does not repeat what the first process has said.
profiled CPROF_CPU_HZ=fast sh -c '/bin/true; /bin/true' 2>"$TMP/stderr" || true
expect_equal "a tree says it once" 1 "$(wc -l <"$TMP/stderr")"

# ---- corrupt files to recover ----
fresh_out
bounded env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_HEAP_RATE=1 CPROF_MEM=4M CPROF_COLLECTOR=/nonexistent \
	"$VICTIMS/steady" 100 >/dev/null 2>&1 || true
good=$(find "$OUT" -name '.steady.*.cprof')
# refused_or_valid WHAT FILE: no crash; if it fails, by one line; what it writes is valid.
refused_or_valid()
{
	local status=0 file
	what="recover $1"
	rm -rf "$TMP/recover" && mkdir "$TMP/recover"
	cp --sparse=always "$2" "$TMP/recover/.steady.99.cprof"
	(cd "$TMP/recover" && bounded "$CPROF" recover "$TMP/recover/.steady.99.cprof" >"$TMP/stdout" 2>"$TMP/stderr") || status=$?
	if ((status > 2)); then
		fail "$what: status $status: $(head -2 "$TMP/stderr")"
	elif ((status > 0)); then
		expect_equal "$what: refused in one line" 1 "$(wc -l <"$TMP/stderr")"
		expect_equal "$what: no file written" "" "$(find "$TMP/recover" -name '*.pb.gz')"
	else
		whole "$TMP/recover"
	fi
	[[ -z ${3:-} ]] || expect_equal "$what: is refused" "$3" "$status"
}
if [[ -n $good ]]; then
	: >"$TMP/empty"
	refused_or_valid "an empty file" "$TMP/empty" 1
	head -c 5000000 /dev/urandom >"$TMP/random"
	refused_or_valid "random bytes" "$TMP/random" 1
	head -c 3000000 /dev/zero >"$TMP/zero"
	refused_or_valid "zeroes" "$TMP/zero" 1
	refused_or_valid "a program" "$BUILD/tests/pprofq" 1
	for size in 1 4096 100000 2000000; do
		head -c $size "$good" >"$TMP/cut"
		refused_or_valid "cut to $size bytes" "$TMP/cut"
	done
	refused_or_valid "a good one" "$good" 0
	RANDOM=${SEED:-99}
	for ((round = 1; round <= ${ROUNDS:-12}; round++)); do
		has_time || break
		cp --sparse=always "$good" "$TMP/flipped"
		# Hits the parts that hold something: each filled 4 KiB page loses 8 bytes.
		python3 - "$TMP/flipped" $RANDOM <<-'PYTHON'
			import os, random, sys
			random.seed(int(sys.argv[2]))
			fd = os.open(sys.argv[1], os.O_RDWR)
			at, size = 0, os.fstat(fd).st_size
			while at < size:
			    try:
			        at = os.lseek(fd, at, os.SEEK_DATA)
			    except OSError:
			        break
			    page = at // 4096 * 4096
			    if page > 0 or random.random() < 0.5:
			        os.pwrite(fd, random.randbytes(8) if random.random() < 0.7 else b"\xff" * 8, page + random.randrange(0, 4088))
			    at = page + 4096
		PYTHON
		refused_or_valid "damaged at random, round $round" "$TMP/flipped"
	done
else
	fail "no segment file to damage"
fi
expect_equal "recover of a file that is not there" 1 "$(status_of "$CPROF" recover "$TMP/not-there")"
expect_equal "recover of a file that is not there: one line" 1 "$(wc -l <"$TMP/stderr")"
finish
