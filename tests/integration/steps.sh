# SPDX-License-Identifier: MIT
#
# http_steps under cprof, which does what it is told, one step at a time.
#
# Context: bash, sourced after lib.sh.

# start_steps VARIABLE=VALUE...: the program, told by `tell`.  Its stderr goes to $TMP/steps.err.
start_steps()
{
	coproc STEPS { LIMIT=250 profiled "$@" "$VICTIMS/http_steps" 2>"$TMP/steps.err"; }
	steps_pid=$STEPS_PID
	tell "alloc 1 1"
}

# tell STEP: until it is done.
tell()
{
	local answer
	echo "$1" >&"${STEPS[1]}"
	read -r -t 60 answer <&"${STEPS[0]}" && [[ $answer == "done" ]] || fail "the program did not do: $1"
}

# stop_steps: until its files are written.
stop_steps()
{
	echo quit >&"${STEPS[1]}"
	wait "$steps_pid" || true
	expect "settles" settle
}
