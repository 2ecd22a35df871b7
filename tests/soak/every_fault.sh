#!/bin/bash
# SPDX-License-Identifier: MIT
# Each system call of cprof's own fails once, for every one that is reached, in several programs; with PART=2/8
# each eighth one from the second on.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/faults.sh"

# In the soak's share there is time for some.
[[ -z ${SHARE:-} ]] || PART=${PART:-$((1 + SEED % 16))/16}
PART=${PART:-1/1}
first=${PART%/*}
step=${PART#*/}
each_fault library "$first" "$step" "$HOSTILE/fork_storm" 1
each_fault collector "$first" "$step" "$HOSTILE/fork_storm" 1
each_fault library "$first" "$step" "$HOSTILE/exec_chain" 5
each_fault library "$first" "$step" "$HOSTILE/loads_unloads" "$HOSTILE/libpiece.so" 1
each_fault library "$first" "$step" "$VICTIMS/steady" 50 3
finish
