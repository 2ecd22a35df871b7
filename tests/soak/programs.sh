#!/bin/bash
# SPDX-License-Identifier: MIT
# The hostile programs at full size.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"

LIMIT=300
hostile threads-100000 "$HOSTILE/threads_many" churn 100000
hostile threads-2000-at-once "$HOSTILE/threads_many" at-once 2000
hostile fork-bomb-5000 "$HOSTILE/fork_bomb" 5000 200
hostile fork-storm-800 "$HOSTILE/fork_storm" 200
hostile spawn-all-ways "$HOSTILE/spawn_all_ways" 40
hostile exec-chain-200 "$HOSTILE/exec_chain" 200
hostile loads-unloads-10000 "$HOSTILE/loads_unloads" "$HOSTILE/libpiece.so" 2500
finish
