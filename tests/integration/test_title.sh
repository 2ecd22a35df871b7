#!/bin/bash
# SPDX-License-Identifier: MIT
# A program may write its title over its arguments and environment, from the first of them to the last entry of environ.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# titled WHAT ENV-ARGUMENTS...: from a directory where the library has a relative name too
relative=$(realpath --relative-to="$OUT" "$CPROF_LIB")
titled()
{
	local what=$1
	shift
	fresh_out
	cd "$OUT"
	expect_equal "$what: exit status" 3 "$(status_of bounded env "$@" "$VICTIMS/title_writer" first second)"
	cd "$TMP"
	expect_equal "$what: output" "room on the stack title title home kept" "$(xargs <"$TMP/stdout")"
	expect_equal "$what: nothing said" "" "$(<"$TMP/stderr")"
	[[ "$*" == *LD_PRELOAD* ]] || return 0
	expect "$what: cpu profile" wait_until 20 has_profile title_writer cpu
}

titled "plain" -i HOME=/
titled "usual" LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT"
titled "library last" -i HOME=/ CPROF_OUT="$OUT" LD_PRELOAD="$CPROF_LIB"
titled "library first" -i LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" HOME=/
titled "relative, last" -i HOME=/ CPROF_OUT="$OUT" LD_PRELOAD="$relative"
titled "relative, first" -i LD_PRELOAD="$relative" CPROF_OUT=. HOME=/
expect "settles" settle
finish
