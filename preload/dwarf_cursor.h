/* SPDX-License-Identifier: MIT */
/*
 * A bounds-checked reader of DWARF's encodings.  The error is sticky: after a read
 * past the end every read yields 0, so a parser checks `failed` once, at its end.
 *
 * The bytes are read where they lie, as the encodings relative to the place of the
 * value (DW_EH_PE_pcrel) demand.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_DWARF_CURSOR_H
#define PRELOAD_DWARF_CURSOR_H

#include "cprof_compiler.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct dwarf_cursor {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

/* DW_EH_PE_*: how a pointer in .eh_frame is written (Linux Standard Base, 10.5). */
#define DWARF_PE_OMIT 0xffu
#define DWARF_PE_FORM_MASK 0x0fu
#define DWARF_PE_ABSPTR 0x00u
#define DWARF_PE_ULEB128 0x01u
#define DWARF_PE_UDATA2 0x02u
#define DWARF_PE_UDATA4 0x03u
#define DWARF_PE_UDATA8 0x04u
#define DWARF_PE_SLEB128 0x09u
#define DWARF_PE_SDATA2 0x0au
#define DWARF_PE_SDATA4 0x0bu
#define DWARF_PE_SDATA8 0x0cu
#define DWARF_PE_BASE_MASK 0x70u
#define DWARF_PE_PCREL 0x10u
#define DWARF_PE_DATAREL 0x30u
#define DWARF_PE_INDIRECT 0x80u

static inline struct dwarf_cursor dwarf_cursor_of(const uint8_t *at, const uint8_t *end)
{
	return (struct dwarf_cursor){.at = at, .end = end, .failed = at > end};
}

static inline uint64_t dwarf_fail(struct dwarf_cursor *c)
{
	c->at = c->end;
	c->failed = true;
	return 0;
}

static inline bool dwarf_has(const struct dwarf_cursor *c, uint64_t bytes)
{
	return !c->failed && bytes <= (uint64_t)(c->end - c->at);
}

static inline void dwarf_skip(struct dwarf_cursor *c, uint64_t bytes)
{
	if (unlikely(!dwarf_has(c, bytes)))
		dwarf_fail(c);
	else
		c->at += bytes;
}

#define DWARF_DEFINE_READ(name, type)                       \
	static inline type name(struct dwarf_cursor *c)     \
	{                                                   \
		type value;                                 \
		if (unlikely(!dwarf_has(c, sizeof(value)))) \
			return (type)dwarf_fail(c);         \
		memcpy(&value, c->at, sizeof(value));       \
		c->at += sizeof(value);                     \
		return value;                               \
	}
DWARF_DEFINE_READ(dwarf_u8, uint8_t)
DWARF_DEFINE_READ(dwarf_u16, uint16_t)
DWARF_DEFINE_READ(dwarf_u32, uint32_t)
DWARF_DEFINE_READ(dwarf_u64, uint64_t)
#undef DWARF_DEFINE_READ

/* Bits beyond the 64th are dropped, as every consumer does. */
static inline uint64_t dwarf_uleb(struct dwarf_cursor *c)
{
	uint64_t value = 0;
	for (uint32_t shift = 0;; shift += 7) {
		uint8_t byte = dwarf_u8(c);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
}

static inline int64_t dwarf_sleb(struct dwarf_cursor *c)
{
	uint64_t value = 0;
	for (uint32_t shift = 0;;) {
		uint8_t byte = dwarf_u8(c);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
		if (byte & 0x80)
			continue;
		if (shift < 64 && (byte & 0x40))
			value |= ~UINT64_C(0) << shift;
		return (int64_t)value;
	}
}

/*
 * A pointer in the given encoding.  `data_base` is what DW_EH_PE_datarel counts from.
 * Indirect pointers (only personality routines use them) are not followed.
 */
static inline uint64_t dwarf_pointer(struct dwarf_cursor *c, uint8_t encoding, uint64_t data_base)
{
	uint64_t base = 0;
	switch (encoding & DWARF_PE_BASE_MASK) {
	case 0:
		break;
	case DWARF_PE_PCREL:
		base = (uint64_t)(uintptr_t)c->at;
		break;
	case DWARF_PE_DATAREL:
		base = data_base;
		break;
	default:
		return dwarf_fail(c);
	}
	switch (encoding & DWARF_PE_FORM_MASK) {
	case DWARF_PE_SDATA4:
		return base + (uint64_t)(int64_t)(int32_t)dwarf_u32(c);
	case DWARF_PE_UDATA4:
		return base + dwarf_u32(c);
	case DWARF_PE_ABSPTR:
	case DWARF_PE_UDATA8:
	case DWARF_PE_SDATA8:
		return base + dwarf_u64(c);
	case DWARF_PE_UDATA2:
		return base + dwarf_u16(c);
	case DWARF_PE_SDATA2:
		return base + (uint64_t)(int64_t)(int16_t)dwarf_u16(c);
	case DWARF_PE_ULEB128:
		return base + dwarf_uleb(c);
	case DWARF_PE_SLEB128:
		return base + (uint64_t)dwarf_sleb(c);
	default:
		return dwarf_fail(c);
	}
}

#endif
