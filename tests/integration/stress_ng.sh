# SPDX-License-Identifier: MIT
#
# stress-ng, which verifies its own work, as a witness: plain and under cprof with everything on.
#
# Context: bash, sourced after hostile.sh by the test and the soak.

# Its verdict: the status, and the kinds of lines that say that something failed or was skipped.
stress_verdict()
{
	echo "status $2 $(sed -nE 's/^stress-ng: (fail|skip(ped)?): *\[[0-9]+\] *//p' "$1.out" "$1.err" |
		sed -E 's/[0-9]+/N/g' | sort -u | head -5 | xargs)"
}

# witnessed STRESSOR [OPTION...]: one line.
witnessed()
{
	local name=$1 plain seen file count=0 bad=
	shift
	is_asked_for "$name" || return 0
	local options=(--"$name" 2 --verify --timeout "${STRESS_SECONDS:-1}" --oom-avoid "$@")
	plain=$(hostile_run "" "$TMP/plain" stress-ng "${options[@]}")
	plain=$(stress_verdict "$TMP/plain" "$plain")
	fresh_out
	seen=$(hostile_run "$CPROF_LIB" "$TMP/seen" CPROF_OUT="$OUT" "${EVERYTHING[@]}" stress-ng "${options[@]}")
	seen=$(stress_verdict "$TMP/seen" "$seen")
	LIMIT=120 settle || bad+="; the collector does not end"
	for file in "$OUT"/*.pb.gz; do
		[[ -e $file ]] || continue
		count=$((count + 1))
		# Of thousands of short children some will do.
		((count > 40)) || "$PPROFQ" "$file" check >/dev/null 2>&1 || bad+="; not valid: $(basename "$file")"
	done
	((count)) || bad+="; no profile"
	if [[ $plain == "$seen" && -z $bad ]]; then
		pass "$(printf 'stress-ng %-12s %s, %d profiles  same' "$name" "$seen" "$count")"
	else
		fail "stress-ng $name: plain $plain; cprof $seen$bad"
		grep -hE 'fail|error|cprof' "$TMP/seen.out" "$TMP/seen.err" | head -5 | sed 's/^/      | /'
	fi
}
