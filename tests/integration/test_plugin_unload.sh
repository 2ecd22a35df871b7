#!/bin/bash
# SPDX-License-Identifier: MIT
# A C++ plugin of a C program goes when it is unloaded: its destructors run, it starts anew when loaded again.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

plugin=$VICTIMS/libcounted.so
expect_equal "plain" 0 "$(status_of bounded "$VICTIMS/dlopen_host" 0 "$plugin" "$plugin" "$plugin")"
cp "$TMP/stdout" "$TMP/plain"
expect_equal "plain: it came and went three times" "3 3 6" \
	"$(awk '/comes/ { c++ } /goes/ { g++ } /call [12]$/ { n++ } END { print c + 0, g + 0, n + 0 }' "$TMP/plain")"
for rate in 524288 1; do
	fresh_out
	expect_equal "rate $rate: exit status" 0 \
		"$(status_of profiled CPROF_HEAP_RATE=$rate "$VICTIMS/dlopen_host" 0 "$plugin" "$plugin" "$plugin")"
	expect "rate $rate: same output" diff "$TMP/plain" "$TMP/stdout"
	expect_equal "rate $rate: nothing said" "" "$(<"$TMP/stderr")"
	expect "rate $rate: settles" settle
	expect_all_valid "rate $rate"
done

# What operator new gave, in all loads; the real one was found at the first.
for wanted in "alloc_objects 6" "alloc_space 288" "inuse_objects 0"; do
	expect_equal "operator new of the plugin: $wanted" "$wanted" \
		"${wanted% *} $(query "$(profile dlopen_host heap)" stacks "${wanted% *}" |
			awk '/^[0-9]+ operator new;plugin_news;/ { s += $1 } END { print s + 0 }')"
done
finish
