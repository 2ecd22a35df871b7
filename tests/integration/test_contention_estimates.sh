#!/bin/bash
# SPDX-License-Identifier: MIT
# With a block rate of 100 us and a mutex fraction of 10 the estimates of count and delay are as good as
# theory says: 100 call sites with short and long waits mixed are 100 runs of one experiment.
#
# The victim says the variances of its own waits.  The sum over all sites is within 4 standard errors.
# The sum of the squared errors, each in units of its own, has the mean 100 and, as these errors are
# close to normal, the standard deviation 15: it is below 160.  A delay may besides be 2 % less
# than the program's own clock says, which is read around the call.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu # so that little passes between the program's clock and ours

# Reads the files truth, contentions and delay; prints what is out of bounds, and the figures to stderr.
# shellcheck disable=SC2016
judge='
function judge_sums(what, truth, variance, estimate, slack) {
	error = 4 * sqrt(variance)
	if (!(truth * (1 - slack) - error <= estimate && estimate <= truth + error))
		print what ": " estimate ", truth " truth ", 4 standard errors " error
}
FILENAME == "truth" && $1 == "site" {
	sites++
	count[$2] = $3; ns[$2] = $4; count_variance[$2] = $5; ns_variance[$2] = $6
}
FILENAME == "contentions" { add(got_count) }
FILENAME == "delay" { add(got_ns) }
function add(got,   frames, i, n) {
	n = split($2, frames, ";")
	for (i = 1; i <= n; i++) {
		if (frames[i] == "mix_passes_on")
			frames[i] = "mix_releases"
		if (frames[i] in count) {
			got[frames[i]] += $1
			return
		}
	}
}
END {
	for (s in count) {
		c += count[s]; cv += count_variance[s]; gc += got_count[s]
		n += ns[s]; nv += ns_variance[s]; gn += got_ns[s]
		if (count_variance[s] == 0)
			continue
		squares += (got_count[s] - count[s]) ^ 2 / count_variance[s]
		ns_squares += (got_ns[s] - ns[s]) ^ 2 / ns_variance[s]
	}
	judge_sums("waits", c, cv, gc, 0)
	judge_sums("delay", n, nv, gn, 0.02)
	if (sites != wanted)
		print sites " sites"
	if (sites > 1 && !(squares < 160))
		print "squared errors of waits: " squares
	if (sites > 1 && !(ns_squares < 160))
		print "squared errors of delay: " ns_squares
	printf "      %d sites: waits %d of %d, 4 sigma %.0f; delay %.0f of %.0f, 4 sigma %.0f; squares %.0f %.0f\n", \
		sites, gc, c, 4 * sqrt(cv), gn, n, 4 * sqrt(nv), squares, ns_squares >"/dev/stderr"
}'

# estimates_are_off KIND SITES MODE RATE "SEED [RATE]" VARIABLE=VALUE...
estimates_are_off()
{
	local file
	fresh_out
	# shellcheck disable=SC2086
	profiled "${@:6}" CPROF_CPU_HZ=0 CPROF_HEAP_RATE=0 "$VICTIMS/contention_mix" "$3" "$4" $5 >"$TMP/truth" || echo "status $?"
	file=$(profile contention_mix "$1")
	"$PPROFQ" "$file" stacks contentions >"$TMP/contentions" || true
	"$PPROFQ" "$file" stacks delay >"$TMP/delay" || true
	(cd "$TMP" && awk -v wanted="$2" "$judge" truth contentions delay)
}

for seed in 1 2; do
	expect_equal "block at 100 us, seed $seed" "" "$(estimates_are_off block 100 block 100000 $seed CPROF_BLOCK_RATE=100us)"
	expect_all_valid "block at 100 us, seed $seed"
done
# The same waits at rate 1 have no error at all in their count.
expect_equal "block at rate 1: only the clock differs" "" \
	"$(estimates_are_off block 100 block 100000 3 CPROF_BLOCK_RATE=1 | grep -v '^squared errors' || true)"
expect_equal "block at rate 1: counts exact" "13200" "$(query "$(profile contention_mix block)" total contentions)"
for seed in 1 2 3; do
	expect_equal "mutex fraction 10, seed $seed" "" "$(estimates_are_off mutex 1 mutex 10 $seed CPROF_MUTEX_FRACTION=10)"
	expect_all_valid "mutex fraction 10, seed $seed"
done
expect_equal "mutex fraction 1: counts exact" "" "$(estimates_are_off mutex 1 mutex 1 4 CPROF_MUTEX_FRACTION=1)"
expect_equal "mutex fraction 1: each release once" "4000" "$(query "$(profile contention_mix mutex)" total contentions)"
# Both at once: what releases are charged with is sampled by the block rate first.
expect_equal "block at 100 us, mutex fraction 5: the releases" "" \
	"$(estimates_are_off mutex 1 mutex 5 "5 100000" CPROF_BLOCK_RATE=100us CPROF_MUTEX_FRACTION=5)"
finish
