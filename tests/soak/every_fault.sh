#!/bin/bash
# SPDX-License-Identifier: MIT
# Each system call of cprof's own fails once, for every one that is reached, in several programs.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/faults.sh"

each_fault library 1 1 "$HOSTILE/fork_storm" 1
each_fault library 1 1 "$HOSTILE/exec_chain" 5
each_fault library 1 1 "$HOSTILE/loads_unloads" "$HOSTILE/libpiece.so" 1
each_fault library 1 1 "$VICTIMS/steady" 50 3
each_fault collector 1 1 "$HOSTILE/fork_storm" 1
finish
