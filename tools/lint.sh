#!/bin/bash
# SPDX-License-Identifier: MIT
#
# All checks that read the sources or the finished library instead of running a test.
# Every check runs, so that one round shows everything; the last lines name those that
# failed, each with its first finding, and the sum.
#
#     BUILD=dir tools/lint.sh [CHECK...]
#
# CHECK: format tidy cppcheck shell python layers exports as_safe (default: all).
set -uo pipefail
: "${BUILD:?the absolute build directory}"
cd "$(dirname "$0")/.." || exit 2

# Victims are left alone: their layout may be what a test looks at.
mapfile -t c_files < <(find include preload collector tools tests -name '*.[ch]' ! -path '*/victims/*' | sort)
mapfile -t scripts < <(grep -rlE '^#!/bin/(ba)?sh' --include='*.sh' --include=run tools tests .ci | sort)

in_room()
{
	printf '%s\n' "${c_files[@]}" | grep -E "^$1/[^/]*\.c$"
}

# tidy CHECKS FLAGS...: the findings in the files on stdin, without the paths that lead to them.
tidy()
{
	local checks=$1 files findings status=0
	shift
	mapfile -t files
	((${#files[@]})) || return 0
	# shellcheck disable=SC2016 # for the inner shell to expand
	findings=$(printf '%s\0' "${files[@]}" |
		xargs -0 -P 2 -n 4 sh -c 'checks=$0 flags=$1; shift
			clang-tidy --quiet --checks="$checks" "$@" -- $flags' \
			"$checks" "-std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wno-unknown-attributes $*" 2>/dev/null) || status=1
	grep -E ' (error|warning): ' <<<"$findings" | sort -u
	return $status
}

check_format()
{
	# The first place in each file is enough: `make format` mends them all.
	clang-format --dry-run -Werror --ferror-limit=1 "${c_files[@]}"
}

# The analyzer does not see that a raw system call (inline assembly) writes through its arguments.
check_tidy()
{
	local status=0 blind=-clang-analyzer-core.uninitialized.\*
	blind+=,-clang-analyzer-core.UndefinedBinaryOperatorResult,-clang-analyzer-core.CallAndMessage
	# Only the programs around preload/ have threads.
	tidy "concurrency-mt-unsafe,$blind" -fPIC -Iinclude -Ipreload < <(in_room preload) || status=1
	tidy '' -Iinclude -Icollector -I"$BUILD/gen" < <(in_room collector) || status=1
	tidy '' -Iinclude -Icollector -Itools -I"$BUILD/gen" < <(in_room tools) || status=1
	# Both sides have headers of the same name: each file says whose it means, or means first.
	tidy '' -Iinclude -Icollector < <(in_room tools/bench | xargs grep -l '^// cflags: -Icollector') || status=1
	tidy '' -Iinclude -Ipreload -Icollector < <(in_room tools/bench | xargs grep -L '^// cflags: -Icollector') || status=1
	return $status
}

# Headers of the system are not its business.  gcc defines the shift of a negative number.  What execl()
# makes of its list lives on the stack, as in libc: it may be called where nothing can be allocated.
# A benchmark moves its frames about.
check_cppcheck()
{
	cppcheck --quiet --error-exitcode=1 --std=c11 --platform=unix64 --inline-suppr -j 2 \
		--enable=warning,performance,portability --max-configs=4 \
		--suppress=missingIncludeSystem --suppress=shiftTooManyBitsSigned \
		--suppress=allocaCalled:preload/interpose_exec.c \
		--suppress=allocaCalled:tools/bench/malloc.c -Iinclude \
		preload collector tools
}

check_shell()
{
	# SC2011: the names that `ls` lists for the tests are our own.
	shellcheck --severity=warning --exclude=SC2011 --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
}

check_python()
{
	python3 - tools/bench/*.py <<-'CHECK'
		import ast, sys
		for path in sys.argv[1:]:
		    with open(path, encoding="utf-8") as source:
		        tree = ast.parse(source.read(), path)
		    bound = {a.asname or a.name.split(".")[0] for node in ast.walk(tree)
		             if isinstance(node, (ast.Import, ast.ImportFrom)) for a in node.names}
		    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
		    if bound - used:
		        sys.exit(f"{path}: imported and not used: {', '.join(sorted(bound - used))}")
	CHECK
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
((${#checks[@]})) || checks=(format shell python layers exports as_safe cppcheck tidy)
passed=0
failed=0
failures=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for check in "${checks[@]}"; do
	start=$SECONDS
	if "check_$check" >"$log" 2>&1; then
		passed=$((passed + 1))
		printf 'ok    %-10s %3d s\n' "$check" $((SECONDS - start))
	else
		failed=$((failed + 1))
		failures+=("failed $check: $(grep -m 1 . "$log")")
		printf 'FAIL  %-10s %3d s\n' "$check" $((SECONDS - start))
		sed 's/^/      | /' "$log" | head -n 200
	fi
done
((failed == 0)) || printf '%s\n' "${failures[@]}"
echo "$passed checks passed, $failed failed"
((failed == 0))
