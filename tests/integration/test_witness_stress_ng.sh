#!/bin/bash
# SPDX-License-Identifier: MIT
# stress-ng verifies its own work: the verdict is the same under cprof with everything on.  Here a
# few of its ways to work, more in the soak.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/stress_ng.sh"

command -v stress-ng >/dev/null || skip_test "stress-ng is not installed"
for stressor in malloc pthread clone sigsegv context itimer; do
	witnessed $stressor
done
finish
