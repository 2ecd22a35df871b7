#!/bin/bash
# SPDX-License-Identifier: MIT
# Both processes of the collector are killed while the program waits: another one takes over, or
# the data are kept; nothing that was recorded is lost, and the program does not notice.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

chmod 755 "$TMP"
collector_is_here() { ln -f "$BUILD/cprof-collector" "$TMP/cprof-collector" 2>/dev/null || cp "$BUILD/cprof-collector" "$TMP/cprof-collector"; }
collector_is_here

kill_collectors()
{
	our_collectors | xargs -r kill -9 2>/dev/null || true
	wait_until 20 no_collectors
}

# outlive [AS...] -- ARGUMENTS...: until it waits; its input is on descriptor 9.
outlive()
{
	local as=()
	while [[ $1 != -- ]]; do
		as+=("$1")
		shift
	done
	shift
	fresh_out
	chmod 777 "$OUT"
	rm -f "$TMP/input"
	mkfifo "$TMP/input"
	bounded "${as[@]}" env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_COLLECTOR="$TMP/cprof-collector" CPROF_HEAP_RATE=1 \
		CPROF_CPU_HZ=250 "$VICTIMS/outlives" "$@" <"$TMP/input" >"$TMP/stdout" 2>"$TMP/stderr" &
	program=$!
	exec 9>"$TMP/input"
	wait_until 30 grep -q ready "$TMP/stdout"
	# The collector has seen all of them.
	wait_until 20 all_are_listed "$(($1 + 1))"
}

all_are_listed() { (($("$CPROF" list 2>/dev/null | grep -c outlives) >= $1)); }

# ends WHAT: lets it end; the status.
ends()
{
	local status=0
	exec 9>&-
	wait $program || status=$?
	expect_equal "$1: exit status" 5 "$status"
	expect "$1: settles" settle
}

# blocks: of outlives_allocates() in all profiles.
blocks()
{
	local file sum=0 count
	for file in "$OUT"/outlives.*.heap.pb.gz; do
		[[ -e $file ]] || continue
		count=$(query "$file" has outlives_allocates alloc_objects)
		((count < 0)) || sum=$((sum + count))
	done
	echo $sum
}

# nothing_lost WHAT PROFILES
nothing_lost()
{
	expect_equal "$1: nothing said" "" "$(grep -v Killed "$TMP/stderr" || true)"
	expect_all_valid "$1"
	expect_equal "$1: profiles" "$2" "$(profiles_of outlives heap | wc -l)"
	expect_equal "$1: blocks in them" "$(truth "$TMP/stdout" owes)" "$(blocks)"
}

users=("")
[[ $(id -u) != 0 ]] || users+=("setpriv --reuid 65534 --regid 65534 --clear-groups")
for user in "${users[@]}"; do
	read -ra as <<<"$user"
	who=${as[0]:-self}

	outlive "${as[@]}" -- 3 0
	kill_collectors
	ends "$who, processes"
	nothing_lost "$who, processes" 4

	outlive "${as[@]}" -- 2 3
	kill_collectors
	ends "$who, threads"
	nothing_lost "$who, threads" 3

	outlive "${as[@]}" -- 1 0 60000
	kill_collectors
	exec 9>&-
	expect "$who, busy: a sample starts another collector" wait_until 60 have_collectors
	expect "$who, busy: which knows the processes" wait_until 60 all_are_listed 2
	for pid in $(pgrep -x outlives); do
		if grep -qz "^CPROF_OUT=$OUT" "/proc/$pid/environ" 2>/dev/null; then kill -9 "$pid"; fi
	done
	wait $program 2>/dev/null || true
	expect "$who, busy: settles" settle
	nothing_lost "$who, busy" 2
done

# ---- nobody can be started any more: the data are kept, whatever the limit on files
for limit in none 100000; do
	arguments=(1 2)
	[[ $limit == none ]] || arguments=(1 2 0 "$limit")
	outlive -- "${arguments[@]}"
	rm "$TMP/cprof-collector"
	kill_collectors
	ends "kept, limit $limit"
	expect_equal "kept, limit $limit: files" 2 "$(find "$OUT" -name '.outlives.*.cprof' | wc -l)"
	expect_equal "kept, limit $limit: lines about it" 2 "$(grep -c 'the data are in' "$TMP/stderr")"
	for file in "$OUT"/.outlives.*.cprof; do
		(cd "$OUT" && expect "kept, limit $limit: recovered" "$CPROF" recover "$file")
	done
	expect_equal "kept, limit $limit: blocks" "$(truth "$TMP/stdout" owes)" "$(blocks)"
	collector_is_here
done
outlive -- 0 0 0 0
rm "$TMP/cprof-collector"
kill_collectors
ends "hard limit"
expect_equal "hard limit: it says what is lost" 1 "$(grep -c 'cannot be written: File too large; the profiles are lost' "$TMP/stderr")"
expect_equal "hard limit: nothing left behind" "" "$(ls -A "$OUT")"
collector_is_here

# ---- the collector is about to end: its name is taken still, but nobody listens
# orphaned WHICH BURN_MS: up to the moment when the child may go on.
orphaned()
{
	fresh_out
	rm -f "$TMP/input"
	mkfifo "$TMP/input"
	bounded "$BUILD/tests/fault_injector" library "$1" "$TMP/report" env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_HEAP_RATE=1 \
		CPROF_CPU_HZ=250 "$VICTIMS/orphan" "$2" <"$TMP/input" >"$TMP/stdout" 2>"$TMP/stderr" &
	program=$!
	exec 9>"$TMP/input"
	wait_until 30 compgen -G "$OUT/orphan.*.heap.pb.gz"
	wait_until 30 no_collectors
	echo >&9
	exec 9>&-
}

# all_of_orphan WHAT
all_of_orphan()
{
	local file sum=0
	wait $program || true
	expect "$1: settles" settle
	expect_equal "$1: nothing said" "" "$(<"$TMP/stderr")"
	expect_all_valid "$1"
	for file in "$OUT"/orphan.*.heap.pb.gz; do sum=$((sum + $(query "$file" has orphan_allocates alloc_objects))); done
	expect_equal "$1: blocks of both" 31 "$sum"
}

# The first time is the parent's own.
orphaned bind:2-2=EADDRINUSE 0
all_of_orphan "door closed"

orphaned bind:2-27=EADDRINUSE 60000
expect "door closed for long: a sample starts another collector" wait_until 60 have_collectors
for pid in $(our_processes orphan); do kill -9 "$pid"; done
all_of_orphan "door closed for long"

# ---- a network namespace of its own, where nobody listens
if unshare -n true 2>/dev/null; then
	fresh_out
	# shellcheck disable=SC2016 # for the inner shell to expand
	profiled CPROF_HEAP_RATE=1 bash -c '"$1" 3 5; unshare -n "$1" 3 6; exit $?' bash "$VICTIMS/steady" >"$TMP/stdout" 2>"$TMP/stderr" || true
	expect "network namespace: settles" settle
	expect_equal "network namespace: nothing said" "" "$(<"$TMP/stderr")"
	expect_equal "network namespace: profiles" 2 "$(profiles_of steady heap | wc -l)"
	fresh_out
	expect_equal "moved: exit status" 0 "$(status_of profiled CPROF_HEAP_RATE=1 "$VICTIMS/hostile/drops_rights" net-namespace)"
	expect "moved: settles" settle
	expect_equal "moved: nothing said" "" "$(<"$TMP/stderr")"
	expect_all_valid "moved"
	sum=0
	for file in "$OUT"/drops_rights.*.heap.pb.gz; do sum=$((sum + $(query "$file" has hostile_allocates alloc_objects))); done
	expect_equal "moved: blocks of both" 240 "$sum"
else
	skip_check "network namespaces: not allowed here"
fi
finish
