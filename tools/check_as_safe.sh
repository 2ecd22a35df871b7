#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The objects of preload/ whose first comment says `Context: any` run in signal handlers
# and inside malloc.  Linked together, they may leave nothing undefined but what
# preload/as_safe.allow lists with a reason.  Blind to calls through pointers: those to
# the next malloc are kept in one table (preload/real.c).
#
#     tools/check_as_safe.sh BUILD/preload
set -euo pipefail
objects=$(realpath "$1")
cd "$(dirname "$0")/.."

# Whether the first comment after the SPDX line says `Context: any`.
runs_anywhere()
{
	awk 'NR > 1 && /Context: any/ { found = 1 } NR > 1 && /\*\// { exit } END { exit !found }' "$1"
}

linked=()
for source in preload/*.c; do
	if runs_anywhere "$source"; then
		linked+=("$objects/$(basename "$source" .c).o")
	elif ! awk 'NR > 1 && /Context: / { found = 1 } NR > 1 && /\*\// { exit } END { exit !found }' "$source"; then
		echo "$source: its first comment does not say in which context it runs"
		exit 1
	fi
done

joined=$(mktemp --suffix=.o)
trap 'rm -f "$joined"' EXIT
ld -r -o "$joined" "${linked[@]}"
allowed=$(sed -E 's/#.*//; s/[[:space:]]+//g; /^$/d' preload/as_safe.allow | sort -u)
undefined=$(nm -u "$joined" | awk '{ print $2 }' | sort -u)
failed=0
while read -r symbol; do
	[[ -n $symbol ]] || continue
	users=$(for object in "${linked[@]}"; do
		if nm -u "$object" | awk -v s="$symbol" '$2 == s { found = 1 } END { exit !found }'; then
			basename "$object" .o
		fi
	done)
	echo "$symbol is not in preload/as_safe.allow; used by: $(tr '\n' ' ' <<<"$users")"
	failed=1
done < <(comm -13 <(echo "$allowed") <(echo "$undefined"))
exit $failed
