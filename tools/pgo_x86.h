/* SPDX-License-Identifier: MIT */
/*
 * As much of the x86-64 instruction set as cutting code into basic blocks needs: how
 * long an instruction is, where it may go next, and whether it is one of the slow ones.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_X86_H
#define TOOLS_PGO_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pgo_flow {
	PGO_FLOW_NEXT,          /* goes on with the next instruction */
	PGO_FLOW_CALL,          /* calls `target` */
	PGO_FLOW_CALL_INDIRECT, /* calls what a register or memory says */
	PGO_FLOW_JUMP,          /* goes to `target` */
	PGO_FLOW_BRANCH,        /* goes to `target` or on */
	PGO_FLOW_END,           /* returns, jumps by register or memory, or traps */
};

struct pgo_instruction {
	uint64_t address;
	uint64_t target; /* of CALL, JUMP and BRANCH */
	uint8_t length;
	uint8_t cost; /* how many common instructions take as long */
	enum pgo_flow flow;
};

/*
 * Decodes the instruction at `address`, of which `size` bytes are at hand.  False if
 * it is none, or not all of it is there.
 */
bool pgo_x86_decode(const uint8_t *bytes, size_t size, uint64_t address,
		    struct pgo_instruction *out_instruction);

#endif
