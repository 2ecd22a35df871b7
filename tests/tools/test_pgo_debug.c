/* SPDX-License-Identifier: MIT */
/*
 * Discriminators, packed here as LLVM's description says (llvm/Support/Discriminator.h).
 *
 * Context: tests.
 */
#include <criterion/criterion.h>

#include "pgo_debug.h"

/* LLVM's encoding, the other way round. */
static uint32_t pack_component(uint32_t value, unsigned *out_bits)
{
	*out_bits = value == 0 ? 1 : value > 0x1f ? 14 : 7;
	if (value == 0)
		return 1;
	return (value > 0x1f ? (value & 0xfe0) << 1 | (value & 0x1f) | 0x20 : value) << 1;
}

static uint32_t pack(uint32_t base, uint32_t copies)
{
	unsigned bits, ignored;
	uint32_t packed = pack_component(base, &bits);
	return packed | pack_component(copies, &ignored) << bits;
}

Test(pgo_debug, unpacks_discriminators)
{
	cr_expect_eq(pgo_discriminator_base(0), 0);
	cr_expect_eq(pgo_discriminator_copies(0), 1);
	cr_expect_eq(pgo_discriminator_base(2), 1);
	cr_expect_eq(pgo_discriminator_copies(2), 1);
	for (uint32_t base = 0; base < 0x1000; base += 7)
		for (uint32_t copies = 2; copies < 0x1000; copies = copies * 3 / 2 + 1) {
			uint32_t packed = pack(base, copies);
			cr_expect_eq(pgo_discriminator_base(packed), base, "%x", packed);
			cr_expect_eq(pgo_discriminator_copies(packed), copies, "%x", packed);
		}
}
