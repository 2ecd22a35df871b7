# SPDX-License-Identifier: MIT
#
# Runs a program plain and under cprof with everything on, and gives a verdict: one line
# for each.  The status, the lines (in any order: threads and processes may print them) and
# stderr must be the same; every profile must be valid and nothing else left behind; what
# the program says it owes (see victims/hostile/hostile.h) must be in the profiles.
#
# Context: bash, sourced after lib.sh by the hostile tests and the soak.

HOSTILE=$VICTIMS/hostile
# A command that the program is run by, not itself under cprof.
AROUND=()
EVERYTHING=(CPROF_CPU_HZ=250 CPROF_HEAP_RATE=1 CPROF_BLOCK_RATE=1 CPROF_MUTEX_FRACTION=1)

# is_asked_for NAME: ONLY, where it is set, names all that are.
is_asked_for()
{
	[[ -z ${ONLY:-} || " $ONLY " == *" $1 "* ]]
}

# hostile_run PRELOAD OUTPUT COMMAND...: in a fresh directory; the status is printed, the rest in OUTPUT.{out,err}.
hostile_run()
{
	local preload=$1 output=$2 status=0
	shift 2
	rm -rf "$TMP/scene"
	mkdir -p "$TMP/scene"
	(
		cd "$TMP/scene" || exit 99
		exec timeout --foreground -k 5 "${LIMIT:-90}" "${AROUND[@]}" env ${preload:+"LD_PRELOAD=$preload"} "$@"
	) >"$output.out" 2>"$output.err" </dev/null || status=$?
	echo $status
}

# hostile_seen COMMAND...: under cprof, files to an empty $OUT, the rest in $TMP/seen.{out,err}; the status is printed.
hostile_seen()
{
	fresh_out
	hostile_run "${BEFORE:+$BEFORE:}$CPROF_LIB${AFTER:+:$AFTER}" "$TMP/seen" CPROF_OUT="$OUT" "${EVERYTHING[@]}" "$@"
}

# owed FILE: the sum of its "owes N" lines.
owed()
{
	awk '$1 == "owes" { sum += $2 } END { print sum + 0 }' "$1"
}

# held KIND TYPE FUNCTION: the sum over all profiles of the kind.
held()
{
	local file sum=0
	for file in "$OUT"/*."$1".pb.gz "$OUT"/*."$1".[0-9]*.pb.gz; do
		[[ -e $file ]] && sum=$((sum + $(query "$file" has "$3" "$2")))
	done
	echo $sum
}

# burns_unseen: the program says that it used CPU time, and no profile holds a sample of it.
burns_unseen()
{
	[[ $MISSING != *cpu* ]] && grep -q '^burnt$' "$TMP/seen.out" && (($(held cpu samples hostile_burns) == 0))
}

# What may differ where nothing else is possible: cprof's lines on stderr that match ALLOWED are left out, and kinds in
# MISSING ("heap", "cpu") owe nothing.
ALLOWED=
MISSING=

# hostile NAME [VARIABLE=VALUE...] COMMAND...: one line.  BEFORE or AFTER is a library that is preloaded plain and
# before or after ours.
hostile()
{
	local name=$1 plain seen file line bad=() count=0 owes have run=1
	shift
	is_asked_for "$name" || return 0
	local others=${BEFORE:-}${AFTER:-}
	plain=$(hostile_run "$others" "$TMP/plain" "$@")
	if ((plain == 77)); then
		skip_check "$name: cannot run here"
		return
	fi
	seen=$(hostile_seen "$@")
	((plain == 124 || plain == 137)) && bad+=("hangs without cprof")
	((seen == 124 || seen == 137)) && bad+=("hangs")
	settle || bad+=("the collector does not end")
	first_profile "$OUT"
	[[ $plain == "$seen" ]] || bad+=("status $seen")
	diff <(sort "$TMP/plain.out") <(sort "$TMP/seen.out") >"$TMP/difference" || bad+=("other lines")
	diff "$TMP/plain.err" <(grep -vE "^cprof: ${ALLOWED:-nothing$}" "$TMP/seen.err") >>"$TMP/difference" || bad+=("other lines on stderr")
	for file in "$OUT"/*.pb.gz; do
		[[ -e $file ]] || continue
		count=$((count + 1))
		"$PPROFQ" "$file" check >"$TMP/valid.log" 2>&1 || bad+=("$(basename "$file"): $(head -1 "$TMP/valid.log")")
	done
	((count)) || bad+=("no profile")
	file=$(find "$OUT" -type f ! -name '*.pb.gz' -printf '%f ')
	[[ -z $file ]] || bad+=("left behind: $file")
	owes=$(owed "$TMP/seen.out")
	have=$(held heap alloc_objects hostile_allocates)
	[[ $MISSING == *heap* ]] && owes=0
	((owes == have)) || bad+=("$have blocks in the profiles of $owes")
	# The kernel looks at a thread's timer only when its tick finds that thread running.  Threads that share
	# a CPU can take turns in step with the tick: 60 ms then pass unseen in up to 8 of 100 runs (120 runs of
	# three to four spinning threads on two CPUs), so that six runs in a row do in less than one of 10^6.
	for run in 2 3 4 5 6; do
		burns_unseen || break
		hostile_seen "$@" >/dev/null && settle
	done
	burns_unseen && bad+=("no sample of its CPU time in $run runs")
	line=$(printf '%-28s plain %-3s  cprof %-3s  %3d profiles  %5d blocks' "$name" "$plain" "$seen" "$count" "$have")
	if ((${#bad[@]} == 0)); then
		pass "$line  same"
	else
		fail "$line  $(IFS=';'; echo "${bad[*]}")"
		[[ ! -s $TMP/difference ]] || head -20 "$TMP/difference" | sed 's/^/      | /'
	fi
}
