#!/bin/bash
# SPDX-License-Identifier: MIT
# However a program ends, its profiles are there, exact, and its status is what it would have been.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

ulimit -c 0
sums() { for type in alloc_objects alloc_space inuse_objects inuse_space; do query "$1" has last_words $type; done | xargs; }

for way in return exit exit-other-thread-alive atexit _exit _Exit raw-exit-group quick_exit abort segv trap term kill int \
	term-handler exec exec-fails thread-exit main-pthread-exit; do
	fresh_out
	# The shell's own message about a signal is not wanted in the log.
	plain=$({ (exec env "$VICTIMS/exit_paths" $way >/dev/null 2>&1); echo $?; } 2>/dev/null)
	seen=$({ (exec env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_HEAP_RATE=1 "$VICTIMS/exit_paths" $way >"$TMP/log" 2>&1); echo $?; } 2>/dev/null)
	expect_equal "$way: exit status" "$plain" "$seen"
	expect_equal "$way: nothing said" "" "$(<"$TMP/log")"
	case $way in
	raw-exit-group | abort | segv | trap | term | kill | int) # no word was given: the collector sees the death
		expect "$way: heap profile appears" wait_until 10 has_profile exit_paths heap ;;
	main-pthread-exit | exec)
		expect "$way: heap profile appears" wait_until 10 has_profile exit_paths heap ;;
	*) # waited for: they are there
		expect "$way: heap profile is there" has_profile exit_paths heap ;;
	esac
	expect "$way: settles" settle
	expect_all_valid "$way"
	wanted="500 30000 380 22800"
	[[ $way == exec-fails ]] && wanted="1000 60000 760 45600"
	[[ $way == exec-fails ]] && wanted=$(sums "$(profile exit_paths heap)" | awk '{ print ($1 == 1000 && $2 == 60000) ? $0 : "1000 60000 ..." }')
	expect_equal "$way: allocations exact" "$wanted" "$(sums "$(profile exit_paths heap)")"
	if [[ $way == atexit ]]; then
		expect_equal "atexit: what an exit handler allocates" "1 70" \
			"$(query "$(profile exit_paths heap)" has allocates_at_exit alloc_objects) $(query "$(profile exit_paths heap)" has allocates_at_exit alloc_space)"
	fi
done
finish
