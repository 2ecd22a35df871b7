# SPDX-License-Identifier: MIT
#
# Lets cprof's own system calls fail, one in each run, and looks whether the program notices.
#
# Context: bash, sourced after hostile.sh by the fault test and the soak.

INJECTOR=$BUILD/tests/fault_injector
plain_command=

# faulty SIDE WHICH COMMAND...: status to $fault_status; what is wrong, if anything, to $fault_wrong; how the
# profiles fared to $fault_outcome: profiles, segment, line, or silent.
faulty()
{
	local side=$1 which=$2 file
	shift 2
	fault_wrong=
	fresh_out
	rm -f "$TMP/report"
	fault_status=$(hostile_run "" "$TMP/fault" "$INJECTOR" "$side" "$which" "$TMP/report" \
		env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" "${EVERYTHING[@]}" "$@")
	fault_name=$(awk '$1 == "failed" { print $2 }' "$TMP/report" 2>/dev/null || true)
	[[ $fault_status == "$(<"$TMP/plain.status")" ]] || fault_wrong+="; status $fault_status"
	diff <(sort "$TMP/plain.out") <(sort "$TMP/fault.out") >"$TMP/difference" || fault_wrong+="; other lines"
	# Its own lines, and the dynamic linker's about it.
	if grep -qvE '^cprof: |/cprof-collector: error while loading|^out of memory$|^cannot allocate TLS data' "$TMP/fault.err"; then
		fault_wrong+="; on stderr: $(grep -v '^cprof: ' "$TMP/fault.err" | head -1)"
	fi
	for file in "$OUT"/*.pb.gz; do
		[[ ! -e $file ]] || "$PPROFQ" "$file" check >/dev/null 2>&1 || fault_wrong+="; not valid: $(basename "$file")"
	done
	if [[ -n $(compgen -G "$OUT/*.pb.gz" || true) ]]; then
		fault_outcome=profiles
	elif [[ -n $(compgen -G "$OUT/.*.cprof" || true) ]]; then
		fault_outcome=segment
	elif [[ -s $TMP/fault.err ]]; then
		fault_outcome=line
	else
		fault_outcome=silent
	fi
}

# each_fault SIDE FIRST STEP COMMAND...: lets the FIRST-th call fail, the FIRST+STEP-th, and so on, to the last one
# that is reached; one line for each kind of call.
each_fault()
{
	local side=$1 n=$2 step=$3 runs=0 kind
	declare -A failures=() outcomes=() wrong=()
	shift 3
	hostile_run "" "$TMP/plain" "$@" >"$TMP/plain.status"
	plain_command="$*"
	while ((n < 5000)) && has_time; do
		faulty "$side" "$n" "$@"
		[[ -n $fault_name ]] || break
		runs=$((runs + 1))
		failures[$fault_name]=$((${failures[$fault_name]:-0} + 1))
		kind=$fault_name:$fault_outcome
		outcomes[$kind]=$((${outcomes[$kind]:-0} + 1))
		[[ -z $fault_wrong ]] || wrong[$fault_name]+=" call $n$fault_wrong"
		[[ $fault_outcome != silent ]] || wrong[$fault_name]+=" call $n; nothing is said"
		n=$((n + step))
	done
	for kind in "${!failures[@]}"; do
		local text="$side: $kind fails, ${failures[$kind]} times"
		text+=" ($(for o in profiles segment line silent; do echo "$o ${outcomes[$kind:$o]:-0}"; done | xargs))"
		if [[ -z ${wrong[$kind]:-} ]]; then
			tally "a system call of the $side's fails once" "${failures[$kind]}"
			pass "$text"
		else
			fail "$text:${wrong[$kind]}"
		fi
	done
	expect_range "$side: calls that failed" 1 "$runs" 5000
}

# always_fault SIDE NAME=ERROR COMMAND...: each call of that name fails.
always_fault()
{
	local side=$1 which=$2
	shift 2
	# What each_fault found without a fault is still true of the same command.
	if [[ $plain_command != "$*" ]]; then
		hostile_run "" "$TMP/plain" "$@" >"$TMP/plain.status"
		plain_command="$*"
	fi
	faulty "$side" "$which" "$@"
	if [[ -z $fault_wrong ]]; then
		tally "each call of one kind of the $side's fails" 1
		pass "$side: $which always ($fault_outcome)"
	else
		fail "$side: $which always ($fault_outcome): $fault_wrong"
	fi
}
