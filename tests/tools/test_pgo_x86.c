/* SPDX-License-Identifier: MIT */
/*
 * Instructions as assemblers write them, with the lengths and targets that objdump gives
 * them.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_compiler.h"
#include "pgo_x86.h"

#define AT UINT64_C(0x401000)

static const struct known {
	const char *text;
	const char *bytes; /* of this instruction alone */
	size_t length;
	enum pgo_flow flow;
	int64_t distance; /* of the target from the next instruction */
} known[] = {
	{"nop", "\x90", 1, PGO_FLOW_NEXT, 0},
	{"push rbp", "\x55", 1, PGO_FLOW_NEXT, 0},
	{"mov rbp, rsp", "\x48\x89\xe5", 3, PGO_FLOW_NEXT, 0},
	{"mov rax, [rip+x]", "\x48\x8b\x05\x01\x02\x03\x04", 7, PGO_FLOW_NEXT, 0},
	{"mov eax, [rsp+8]", "\x8b\x44\x24\x08", 4, PGO_FLOW_NEXT, 0},
	{"mov eax, [rax*8+x]", "\x8b\x04\xc5\x00\x10\x00\x00", 7, PGO_FLOW_NEXT, 0},
	{"mov eax, [rbp-128]", "\x8b\x45\x80", 3, PGO_FLOW_NEXT, 0},
	{"mov eax, [rbx+x]", "\x8b\x83\x00\x01\x00\x00", 6, PGO_FLOW_NEXT, 0},
	{"movabs rax, x", "\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08", 10, PGO_FLOW_NEXT, 0},
	{"mov ax, x", "\x66\xb8\x01\x02", 4, PGO_FLOW_NEXT, 0},
	{"movabs al, [x]", "\xa0\x01\x02\x03\x04\x05\x06\x07\x08", 9, PGO_FLOW_NEXT, 0},
	{"test dword [rdi], x", "\xf7\x07\x01\x00\x00\x00", 6, PGO_FLOW_NEXT, 0},
	{"not dword [rdi]", "\xf7\x17", 2, PGO_FLOW_NEXT, 0},
	{"test byte [rdi], 1", "\xf6\x07\x01", 3, PGO_FLOW_NEXT, 0},
	{"imul eax, ecx, x", "\x69\xc1\x00\x01\x00\x00", 6, PGO_FLOW_NEXT, 0},
	{"shl eax, 3", "\xc1\xe0\x03", 3, PGO_FLOW_NEXT, 0},
	{"lock cmpxchg [rdi], esi", "\xf0\x0f\xb1\x37", 4, PGO_FLOW_NEXT, 0},
	{"nop [rax+rax+0]", "\x66\x0f\x1f\x84\x00\x00\x00\x00\x00", 9, PGO_FLOW_NEXT, 0},
	{"endbr64", "\xf3\x0f\x1e\xfa", 4, PGO_FLOW_NEXT, 0},
	{"pshufd xmm0, xmm1, 1", "\x66\x0f\x70\xc1\x01", 5, PGO_FLOW_NEXT, 0},
	{"pshufb xmm0, xmm1", "\x66\x0f\x38\x00\xc1", 5, PGO_FLOW_NEXT, 0},
	{"palignr xmm0, xmm1, 1", "\x66\x0f\x3a\x0f\xc1\x01", 6, PGO_FLOW_NEXT, 0},
	{"vaddps ymm0, ymm1, ymm2", "\xc5\xf4\x58\xc2", 4, PGO_FLOW_NEXT, 0},
	{"vzeroupper", "\xc5\xf8\x77", 3, PGO_FLOW_NEXT, 0},
	{"vpermq ymm0, ymm1, 1", "\xc4\xe3\xfd\x00\xc1\x01", 6, PGO_FLOW_NEXT, 0},
	{"mulx rax, rbx, rcx", "\xc4\xe2\xe3\xf6\xc1", 5, PGO_FLOW_NEXT, 0},
	{"vmovdqu64 zmm0, [rsi+64]", "\x62\xf1\xfe\x48\x6f\x46\x01", 7, PGO_FLOW_NEXT, 0},
	{"pop rax by ModRM", "\x8f\xc0", 2, PGO_FLOW_NEXT, 0},
	{"blcfill eax, ecx (XOP)", "\x8f\xe9\x78\x01\xc9", 5, PGO_FLOW_NEXT, 0},
	{"syscall", "\x0f\x05", 2, PGO_FLOW_NEXT, 0},
	{"call x", "\xe8\x00\x01\x00\x00", 5, PGO_FLOW_CALL, 0x100},
	{"data16 rex.W call x", "\x66\x66\x48\xe8\x00\x01\x00\x00", 8, PGO_FLOW_CALL, 0x100},
	{"call rax", "\xff\xd0", 2, PGO_FLOW_CALL_INDIRECT, 0},
	{"call r12", "\x41\xff\xd4", 3, PGO_FLOW_CALL_INDIRECT, 0},
	{"call [rax+16]", "\xff\x50\x10", 3, PGO_FLOW_CALL_INDIRECT, 0},
	{"jmp short", "\xeb\xfe", 2, PGO_FLOW_JUMP, -2},
	{"jmp x", "\xe9\x00\xff\xff\xff", 5, PGO_FLOW_JUMP, -0x100},
	{"notrack jmp rax", "\x3e\xff\xe0", 3, PGO_FLOW_END, 0},
	{"inc [rax]", "\xff\x00", 2, PGO_FLOW_NEXT, 0},
	{"jne short", "\x75\x10", 2, PGO_FLOW_BRANCH, 0x10},
	{"jne x", "\x0f\x85\x00\x01\x00\x00", 6, PGO_FLOW_BRANCH, 0x100},
	{"jrcxz", "\xe3\x02", 2, PGO_FLOW_BRANCH, 2},
	{"ret", "\xc3", 1, PGO_FLOW_END, 0},
	{"repz ret", "\xf3\xc3", 2, PGO_FLOW_END, 0},
	{"ud2", "\x0f\x0b", 2, PGO_FLOW_END, 0},
	{"enter", "\xc8\x01\x00\x00", 4, PGO_FLOW_NEXT, 0},
};

Test(pgo_x86, knows_lengths_and_targets)
{
	for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
		struct pgo_instruction got = {0};
		cr_expect(pgo_x86_decode((const uint8_t *)known[i].bytes, known[i].length, AT, &got), "%s",
			  known[i].text);
		cr_expect_eq(got.length, known[i].length, "%s: %d bytes", known[i].text, got.length);
		cr_expect_eq(got.flow, known[i].flow, "%s: flow %d", known[i].text, got.flow);
		cr_expect_eq(got.address, AT);
		bool has_target = got.flow == PGO_FLOW_CALL || got.flow == PGO_FLOW_JUMP ||
				  got.flow == PGO_FLOW_BRANCH;
		if (has_target)
			cr_expect_eq(got.target, AT + known[i].length + (uint64_t)known[i].distance, "%s",
				     known[i].text);
	}
}

static unsigned cost(const char *bytes)
{
	struct pgo_instruction got = {0};
	cr_assert(pgo_x86_decode((const uint8_t *)bytes, 8, AT, &got));
	return got.cost;
}

Test(pgo_x86, knows_what_is_slow_by_nature)
{
	unsigned division = cost("\x48\xf7\xf1\x90\x90\x90\x90\x90"); /* div rcx */
	cr_expect_gt(division, 4);
	cr_expect_eq(cost("\x41\xf7\xf8\x90\x90\x90\x90\x90"), division, "idiv r8d");
	cr_expect_eq(cost("\xf0\x0f\xb1\x37\x90\x90\x90\x90"), division, "lock cmpxchg [rdi], esi");
	cr_expect_eq(cost("\x87\x07\x90\x90\x90\x90\x90\x90"), division, "xchg [rdi], eax");
	cr_expect_gt(cost("\xf2\x0f\x5e\xc1\x90\x90\x90\x90"), 1, "divsd xmm0, xmm1");
	cr_expect_eq(cost("\xf7\xe1\x90\x90\x90\x90\x90\x90"), 1, "mul ecx");
	cr_expect_eq(cost("\xf7\xc1\x01\x00\x00\x00\x90\x90"), 1, "test ecx, 1");
	cr_expect_eq(cost("\x87\xc1\x90\x90\x90\x90\x90\x90"), 1, "xchg ecx, eax");
	cr_expect_eq(cost("\x48\x89\xe5\x90\x90\x90\x90\x90"), 1, "mov rbp, rsp");
}

Test(pgo_x86, needs_all_of_an_instruction)
{
	for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
		for (size_t size = 0; size < known[i].length; size++) {
			/* Exactly so many bytes, for a sanitizer to watch. */
			uint8_t *bytes = malloc(size ? size : 1);
			struct pgo_instruction got;
			memcpy(bytes, known[i].bytes, size);
			bool is_read = pgo_x86_decode(bytes, size, AT, &got);
			cr_expect(!is_read || got.length <= size, "%s", known[i].text);
			free(bytes);
		}
}

Test(pgo_x86, refuses_what_is_no_instruction)
{
	static const char *const none[] = {"\x06", "\x0e", "\x60", "\x82\xc0\x01", "\x0f\x04", "\xd6"};
	struct pgo_instruction got;
	for (size_t i = 0; i < ARRAY_LENGTH(none); i++)
		cr_expect_not(pgo_x86_decode((const uint8_t *)none[i], strlen(none[i]), AT, &got), "%zu", i);
	uint8_t prefixes[64];
	memset(prefixes, 0x66, sizeof prefixes);
	cr_expect_not(pgo_x86_decode(prefixes, sizeof prefixes, AT, &got));
}
