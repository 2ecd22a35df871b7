#!/bin/bash
# SPDX-License-Identifier: MIT
# Waits known by construction: at rate 1 each call site has its exact count, and the time that the
# program's own clock says, to 2 %.
#
# The program reads its clock around the call, so a right profile never says more.  It says less
# by what passes between the two clocks: a preemption at worst, and what a library spins and yields
# before it waits.  On a busy machine that can be much; so the best of three runs counts.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu # so that little passes between the program's clock and ours

# sum FILE TYPE PATTERN: over the stacks, "leaf;...;root", that match.
sum()
{
	"$PPROFQ" "$1" stacks "$2" 2>/dev/null |
		awk -v pattern="$3" '{ value = $1; sub(/^[^ ]+ /, "") } $0 ~ pattern { sum += value } END { printf "%d\n", sum }'
}

# at SITE: a pattern for its frame, which in Rust has a path before it and may have a closure behind.
at()
{
	echo "(;|::)$1(::[^;]*)?;"
}

# at_leaf LEAF SITE
at_leaf()
{
	if [[ $between == direct ]]; then
		echo "^$1;$2;"
	else
		echo "^$1;(.*)?$(at "$2")"
	fi
}

# about WHAT LOW VALUE HIGH: a complaint if VALUE is not within 98 % of LOW and HIGH.
about()
{
	awk -v what="$1" -v l="$2" -v v="$3" -v h="$4" 'BEGIN { if (!(l * 0.98 <= v && v <= h)) print what ": " v " is not within 98 % of " l " and " h }'
}

# Delays, one complaint a line.
delays_are_off()
{
	local word site leaf count low high
	while read -r word site leaf count low high; do
		case $word in
		wait) about "delay at $site" "$low" "$(sum "$block" delay "$(at_leaf "$leaf" "$site")")" "$low" ;;
		charge) about "charged to $site" "$low" "$(sum "$mutex" delay "$(at_leaf "$leaf" "$site")")" "$high" ;;
		charges) charges_are_off "$site $leaf $count $low $high" ;;
		esac
	done <"$TMP/stdout"
}

# charges_are_off "SITE... WAITS NANOSECONDS"
charges_are_off()
{
	local fields number sites
	read -ra fields <<<"$1"
	number=${#fields[@]}
	sites=$(IFS='|' && echo "${fields[*]:0:number-2}")
	about "charged to $sites" "${fields[number - 1]}" "$(sum "$mutex" delay ";($sites);")" "${fields[number - 1]}"
}

counts()
{
	local word site leaf count rest fields number sites
	while read -r word site leaf count rest; do
		case $word in
		wait)
			expect_equal "$what: waits at $site, leaf $leaf" "$count" "$(sum "$block" contentions "$(at_leaf "$leaf" "$site")")"
			expect_equal "$what: $site has no other leaf" "$count" "$(sum "$block" contentions "$(at "$site")")"
			;;
		charge) expect_equal "$what: waits charged to $site" "$count" "$(sum "$mutex" contentions "$(at_leaf "$leaf" "$site")")" ;;
		charges)
			read -ra fields <<<"$site $leaf $count $rest"
			number=${#fields[@]}
			sites=$(IFS='|' && echo "${fields[*]:0:number-2}")
			expect_equal "$what: waits charged to $sites" "${fields[number - 2]}" "$(sum "$mutex" contentions ";($sites);")"
			;;
		esac
	done <"$TMP/stdout"
}

# measured VICTIM BETWEEN WAITS: at rate 1.  BETWEEN: `direct` if the site calls the leaf, `library` if by way of a library.
measured()
{
	local off again
	what=$1
	between=$2
	run_once "$what"
	counts
	expect_range "$what: sites" "$3" "$(grep -c '^wait ' "$TMP/stdout" || true)" "$3"
	expect_equal "$what: no frame of cprof" "" "$("$PPROFQ" "$block" frames | grep -i cprof || true)"
	expect_equal "$what: nothing lost, so no visible comment" "" \
		"$({ query "$block" comments; query "$mutex" comments; } | grep -v '^#' || true)"
	off=$(delays_are_off)
	for again in again "a third time"; do
		[[ -n $off ]] || break
		run_once "$what, $again"
		off=$(delays_are_off)
	done
	if [[ -n $off && ${#STEADY[@]} == 0 ]]; then
		skip_check "$what: others may have had the CPU between its clock and ours"
	else
		expect_equal "$what: delays within 2 % of its own clock" "" "$off"
	fi
}

run_once()
{
	fresh_out
	expect_equal "$1: exit status" 0 "$(status_of profiled CPROF_BLOCK_RATE=1 "$VICTIMS/$what")"
	expect_equal "$1: nothing on stderr" "" "$(<"$TMP/stderr")"
	expect_profile "$what" block "$1"
	expect_profile "$what" mutex "$1"
	block=$(profile "$what" block) mutex=$(profile "$what" mutex)
}

measured contention_sites direct 26
expect_equal "no wait, no record" "0 0 0 0" \
	"$(for file in "$block" "$mutex"; do for type in contentions delay; do query "$file" has never_waits $type; done; done | xargs)"
for site in waits_for_token waits_for_token_timed waits_for_sem waits_for_thread waits_at_barrier \
	waits_for_cnd waits_for_futex; do
	expect_equal "no lock, so nothing in the mutex profile: $site" 0 "$(query "$mutex" has $site delay)"
done
expect_equal "block: as Go writes it" "contentions/count delay/nanoseconds period contentions/count 1" \
	"$("$PPROFQ" "$block" types | xargs)"
expect_equal "mutex: as Go writes it" "contentions/count delay/nanoseconds period contentions/count 1" \
	"$("$PPROFQ" "$mutex" types | xargs)"
expect_sane_pprof "block" "$block"
expect_sane_pprof "mutex" "$mutex"
measured contention_cxx library 12
if [[ -x $VICTIMS/contention_rust ]]; then
	measured contention_rust library 7
else
	skip_check "no rustc"
fi

# Alone, the fraction turns on the mutex profile only, with the same figures.
fresh_out
what=contention_sites
expect_equal "mutex alone: exit status" 0 "$(status_of profiled CPROF_MUTEX_FRACTION=1 "$VICTIMS/$what")"
expect "mutex alone: no block profile" test ! -e "$(profile $what block)"
mutex=$(profile $what mutex)
grep -v '^wait ' "$TMP/stdout" >"$TMP/charges" && mv "$TMP/charges" "$TMP/stdout"
what="mutex alone"
between=direct
counts
finish
