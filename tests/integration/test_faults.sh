#!/bin/bash
# SPDX-License-Identifier: MIT
# Each system call of cprof's own fails once, in the library and in the collector: the program's
# results are its own, and what became of the profiles is there or said.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/faults.sh"

each_fault library 1 1 "$HOSTILE/fork_storm" 1
finish
