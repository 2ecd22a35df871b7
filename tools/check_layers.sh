#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Dependencies flow one way: include <- preload, and include <- collector <- tools.
# Every #include "..." must name a file of the room itself or of a room below it, by its
# bare name.  preload/ shares nothing with collector/ but include/: it runs inside other
# people's programs.  A benchmark may measure any room from inside.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0

# check_room ROOM ALLOWED_ROOM...
check_room()
{
	local room=$1 file line header place found
	shift
	while IFS=: read -r file line header; do
		header=${header#*\"}
		header=${header%%\"*}
		found=
		for place in "$room" "$@"; do
			[[ $header != */* && -e $place/$header ]] && found=1
		done
		# Made from collector/profile.proto by the build.
		[[ $header == profile.pb-c.h && " $room $* " == *" collector "* ]] && found=1
		if [[ -z $found ]]; then
			echo "$file:$line: \"$header\" is in none of: $room $*"
			failed=1
		fi
	done < <(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$room"/*.[ch] /dev/null || true)
}

check_room include
check_room preload include
check_room collector include
check_room tools collector include
check_room tools/bench preload collector include
exit $failed
