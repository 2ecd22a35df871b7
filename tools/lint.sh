#!/bin/bash
# SPDX-License-Identifier: MIT
#
# All checks that read the sources or the finished library instead of running a test.
# Every check runs, so that one round shows everything; the last line is the sum.
#
#     BUILD=dir tools/lint.sh [CHECK...]
#
# CHECK: format tidy cppcheck shell layers exports as_safe (default: all).
set -uo pipefail
: "${BUILD:?the absolute build directory}"
cd "$(dirname "$0")/.." || exit 2

# The style covers C; victims in C++ are laid out as the languages' people do.
mapfile -t c_files < <(git ls-files --cached --others --exclude-standard -- '*.c' '*.h' 2>/dev/null | sort -u)
if ((${#c_files[@]} == 0)); then
	mapfile -t c_files < <(find . -path ./build -prune -o -name '*.[ch]' -print | sed 's,^\./,,' | sort)
fi
mapfile -t scripts < <(grep -rlE '^#!/bin/(ba)?sh' --include='*.sh' --include=run tools tests .ci | sort)

in_room()
{
	printf '%s\n' "${c_files[@]}" | grep -E "^$1/[^/]*\.c$"
}

# tidy_room REGEX FLAGS...
tidy_room()
{
	local room=$1 files
	shift
	mapfile -t files < <(in_room "$room")
	((${#files[@]})) || return 0
	printf '%s\0' "${files[@]}" |
		xargs -0 -P 2 -n 4 sh -c 'flags=$0; clang-tidy --quiet "$@" -- $flags 2>/dev/null' \
			"-std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra $*"
}

check_format()
{
	clang-format --dry-run -Werror "${c_files[@]}"
}

check_tidy()
{
	local status=0
	tidy_room preload -fPIC -Iinclude -Ipreload || status=1
	tidy_room collector -Iinclude -Icollector -I"$BUILD/gen" || status=1
	tidy_room tools -Iinclude -Icollector -Itools -I"$BUILD/gen" || status=1
	return $status
}

# Headers of the system are not its business; what it then cannot know is not an error.
check_cppcheck()
{
	cppcheck --quiet --error-exitcode=1 --std=c11 --platform=unix64 --inline-suppr -j 2 \
		--enable=warning,performance,portability --check-config-limit=4 \
		--suppress=missingIncludeSystem -Iinclude \
		preload collector tools "$@"
}

check_shell()
{
	shellcheck --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
}

check_layers()
{
	tools/check_layers.sh
}

check_exports()
{
	tools/check_exports.sh "$BUILD/libcprof.so"
}

check_as_safe()
{
	tools/check_as_safe.sh "$BUILD/preload"
}

checks=("$@")
((${#checks[@]})) || checks=(format shell layers exports as_safe cppcheck tidy)
passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for check in "${checks[@]}"; do
	start=$SECONDS
	if "check_$check" >"$log" 2>&1; then
		passed=$((passed + 1))
		printf 'ok    %-10s %3d s\n' "$check" $((SECONDS - start))
	else
		failed=$((failed + 1))
		printf 'FAIL  %-10s %3d s\n' "$check" $((SECONDS - start))
		sed 's/^/      | /' "$log" | head -n 200
	fi
done
echo "$passed checks passed, $failed failed"
((failed == 0))
