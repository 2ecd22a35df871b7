# SPDX-License-Identifier: MIT
#
# Programs that are no part of this project as witnesses: the same output, status, files and processes left behind,
# plain and under cprof in each of MODES.  What is not installed is skipped; ONLY names those that are wanted.
#
# Context: bash, sourced after lib.sh and hostile.sh by what is in tests/soak/.

all=("${EVERYTHING[@]}")
export PPROFQ
read -ra MODES <<<"${MODES:-defaults everything flight full}"

# processes_left: the names of those that the program left behind.
processes_left()
{
	local at
	for at in /proc/[0-9]*; do
		! grep -qzx "WITNESS=$TMP" "$at/environ" 2>/dev/null || cat "$at/comm" 2>/dev/null || true
	done | sort
}

# run MODE OUTPUT COMMAND...: in a fresh directory; OUTPUT holds all that it left.
run()
{
	local mode=$1 output=$2 status=0 preload=$CPROF_LIB
	shift 2
	case $mode in
	plain) preload='' EVERYTHING=() ;;
	defaults) EVERYTHING=() ;;
	everything) EVERYTHING=("${all[@]}") ;;
	*) EVERYTHING=("${all[@]}" CPROF_TRACE="$mode") ;;
	esac
	fresh_out
	chmod 777 "$TMP" "$OUT"
	status=$(LIMIT=200 hostile_run "$preload" "$TMP/run" CPROF_OUT="$OUT" "${EVERYTHING[@]}" WITNESS="$TMP" "$@")
	{
		echo "status $status"
		sort "$TMP/run.out"
		echo "on stderr:"
		# Of a job that a signal ended bash says the pid.
		sed -E 's/(: line [0-9]+:) +[0-9]+ /\1 PID /' "$TMP/run.err" | sort
		echo "files:"
		(cd "$TMP/scene" && find . ! -path './any/*' -printf '%y %m %p\n' | sort)
		echo "processes:"
		processes_left
	} >"$output"
}

names=()
declare -A needs=()

# program NAME COMMAND... <<SCRIPT: bash runs the script, if all commands are there; what it leaves in any/ may differ.
program()
{
	local name=$1
	shift
	cat >"$TMP/$name.sh"
	! is_asked_for "$name" || names+=("$name")
	needs[$name]="bash $*"
}

# witness NAME MODE: one line.
witness()
{
	local name=$1 mode=$2 file wrong=
	run "$mode" "$TMP/seen" bash "$TMP/$name.sh"
	LIMIT=120 settle || wrong+="; the collector does not end"
	diff "$TMP/plain" "$TMP/seen" >"$TMP/difference" || wrong+="; other results"
	file=$(find "$OUT" -type f ! -name '*.pb.gz' ! -name '*trace' -printf '%f ')
	[[ -z $file ]] || wrong+="; left behind: $file"
	for file in $(find "$OUT" -name '*.pb.gz' | shuf -n 20); do
		"$PPROFQ" "$file" check >/dev/null 2>&1 || wrong+="; not valid: $(basename "$file")"
	done
	if [[ -z $wrong ]]; then
		pass "$(printf '%-12s %-10s %s, %5d lines  same' "$name" "$mode" "$(head -1 "$TMP/plain")" "$(wc -l <"$TMP/plain")")"
	else
		fail "$name, $mode: ${wrong#; }"
		head -20 "$TMP/difference" | sed 's/^/      | /'
	fi
}

# witness_all: in random order.
witness_all()
{
	local name mode
	for name in $(printf '%s\n' "${names[@]}" | shuf); do
		has_time || return 0
		# shellcheck disable=SC2086 # each is a word
		if ! command -v ${needs[$name]} >"$TMP/found" || (($(wc -l <"$TMP/found") < $(wc -w <<<"${needs[$name]}"))); then
			skip_check "$name: needs ${needs[$name]#bash }"
			continue
		fi
		run plain "$TMP/plain" bash "$TMP/$name.sh"
		if grep -qxE 'status (124|137)' "$TMP/plain"; then
			skip_check "$name: $(head -1 "$TMP/plain") without cprof"
			continue
		fi
		for mode in "${MODES[@]}"; do
			has_time || [[ $mode == "${MODES[0]}" ]] || return 0
			witness "$name" "$mode"
		done
	done
}
