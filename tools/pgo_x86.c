/* SPDX-License-Identifier: MIT */
/*
 * An instruction is prefixes, opcode, ModRM with SIB and displacement, immediate.  A
 * letter for each opcode says which of the last two it has; the vector encodings (VEX,
 * EVEX, XOP) name the opcode's map and share its letters.  After Intel's manual, volume
 * 2, appendices A and B, and AMD's, volume 3, appendix A.
 *
 * Context: command line; see pgo_x86.h.
 */
#include "pgo_x86.h"

#include <string.h>

/*
 * A letter for each opcode of the one-byte map:
 *   .  nothing            M  ModRM             x  not an opcode in 64-bit mode
 *   b  1 byte             B  ModRM, 1 byte     t  ModRM; 1 byte if it is a TEST (reg 0, 1)
 *   z  2 or 4 bytes       Z  ModRM, 2 or 4     T  ModRM; 2 or 4 if it is a TEST
 *   v  2, 4 or 8 bytes    w  2 bytes           e  3 bytes (ENTER)
 *   r  1 byte, relative   R  4 bytes, relative o  an address of 8 (or 4) bytes
 */
static const char one_byte[] = "MMMMbzxxMMMMbzx."  /* 00; 0f is seen to before */
			       "MMMMbzxxMMMMbzxx"  /* 10 */
			       "MMMMbz.xMMMMbz.x"  /* 20 */
			       "MMMMbz.xMMMMbz.x"  /* 30 */
			       "................"  /* 40: REX */
			       "................"  /* 50 */
			       "xxxM....zZbB...."  /* 60 */
			       "rrrrrrrrrrrrrrrr"  /* 70 */
			       "BZxBMMMMMMMMMMMM"  /* 80 */
			       "..........x....."  /* 90 */
			       "oooo....bz......"  /* a0 */
			       "bbbbbbbbvvvvvvvv"  /* b0 */
			       "BBw.xxBZe.w..bx."  /* c0 */
			       "MMMMxxx.MMMMMMMM"  /* d0 */
			       "rrrrbbbbRRxr...."  /* e0 */
			       "......tT......MM"; /* f0 */

/* The same for the map behind 0f. */
static const char two_byte[] = "MMMMx.....x.xM.B"  /* 00 */
			       "MMMMMMMMMMMMMMMM"  /* 10 */
			       "MMMMxxxxMMMMMMMM"  /* 20 */
			       "......x.xxxxxxxx"  /* 30; 38 and 3a are seen to before */
			       "MMMMMMMMMMMMMMMM"  /* 40 */
			       "MMMMMMMMMMMMMMMM"  /* 50 */
			       "MMMMMMMMMMMMMMMM"  /* 60 */
			       "BBBBMMM.MMMMMMMM"  /* 70 */
			       "RRRRRRRRRRRRRRRR"  /* 80 */
			       "MMMMMMMMMMMMMMMM"  /* 90 */
			       "...MBMxx...MBMMM"  /* a0 */
			       "MMMMMMMMMMBMMMMM"  /* b0 */
			       "MMBMBBBM........"  /* c0 */
			       "MMMMMMMMMMMMMMMM"  /* d0 */
			       "MMMMMMMMMMMMMMMM"  /* e0 */
			       "MMMMMMMMMMMMMMMM"; /* f0 */

#define INSTRUCTION_BYTES_MAX 15

/* Bytes taken one by one; beyond the end they are 0 and the cursor has failed. */
struct cursor {
	const uint8_t *bytes;
	size_t size;
	size_t at;
	bool is_failed;
};

static uint8_t take(struct cursor *c)
{
	if (c->at < c->size)
		return c->bytes[c->at++];
	c->is_failed = true;
	return 0;
}

static void skip(struct cursor *c, size_t count)
{
	if (count > c->size - c->at)
		c->is_failed = true;
	else
		c->at += count;
}

static int64_t take_signed(struct cursor *c, size_t count)
{
	uint64_t value = 0;
	for (size_t i = 0; i < count; i++)
		value |= (uint64_t)take(c) << (8 * i);
	unsigned unused = 64 - 8 * (unsigned)count;
	return (int64_t)(value << unused) >> unused;
}

/* What the prefixes say. */
struct prefixes {
	bool has_operand_size, has_address_size, is_wide, is_locked;
};

static uint8_t take_prefixes(struct cursor *c, struct prefixes *out)
{
	for (;;) {
		uint8_t byte = take(c);
		switch (byte) {
		case 0x66:
			out->has_operand_size = true;
			break;
		case 0x67:
			out->has_address_size = true;
			break;
		case 0xf0:
			out->is_locked = true;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0xf2:
		case 0xf3:
			break;
		default:
			/* A REX that other prefixes follow has no meaning; compilers do not write it. */
			if ((byte & 0xf0) != 0x40)
				return byte;
			out->is_wide = byte & 8;
			return take(c);
		}
	}
}

/* Skips what follows a ModRM byte. */
static void skip_operand(struct cursor *c, uint8_t modrm)
{
	unsigned mode = modrm >> 6, base = modrm & 7;
	if (mode == 3)
		return;
	if (base == 4) {
		base = take(c) & 7;
		if (mode == 0 && base == 5)
			skip(c, 4);
	} else if (mode == 0 && base == 5) {
		skip(c, 4); /* relative to the next instruction */
	}
	skip(c, mode == 1 ? 1 : mode == 2 ? 4 : 0);
}

/* The letter of an opcode in map 1 (0f), 2 (0f 38) or 3 (0f 3a). */
static char letter_of(unsigned map, uint8_t opcode)
{
	return map == 1 ? two_byte[opcode] : map == 2 ? 'M' : map == 3 ? 'B' : 'x';
}

/*
 * The opcode behind a vector prefix whose first byte was taken.  Its letter, 'x' if it
 * is none of those, or 0 if the byte is no such prefix after all.
 */
static char take_vector_opcode(struct cursor *c, uint8_t first, uint8_t *out_opcode)
{
	static const char xop[] = {'B', 'M', 'i'}; /* maps 8, 9, 10 */
	unsigned map = 1;
	switch (first) {
	case 0xc5:
		skip(c, 1);
		break;
	case 0xc4:
		map = take(c) & 0x1f;
		skip(c, 1);
		break;
	case 0x62:
		map = take(c) & 7;
		skip(c, 2);
		break;
	case 0x8f:
		/* POP, unless what would be its ModRM has a register that POP has not. */
		if (c->at >= c->size || (c->bytes[c->at] & 0x1f) < 8)
			return 0;
		map = take(c) & 0x1f;
		skip(c, 1);
		*out_opcode = take(c);
		return map <= 10 ? xop[map - 8] : 'x';
	default:
		return 0;
	}
	*out_opcode = take(c);
	/* Half precision: maps 5 and 6 have no immediates. */
	return first == 0x62 && (map == 5 || map == 6) ? 'M' : letter_of(map, *out_opcode);
}

/* Where an opcode of the one-byte map leads, but for its target. */
static enum pgo_flow flow_of(uint8_t opcode, unsigned reg)
{
	switch (opcode) {
	case 0xe8:
		return PGO_FLOW_CALL;
	case 0xe9:
	case 0xeb:
		return PGO_FLOW_JUMP;
	case 0xc2: /* ret */
	case 0xc3:
	case 0xca:
	case 0xcb:
	case 0xcc: /* int3 */
	case 0xcf: /* iret */
	case 0xf4: /* hlt */
		return PGO_FLOW_END;
	case 0xff:
		return reg == 2 || reg == 3   ? PGO_FLOW_CALL_INDIRECT
		       : reg == 4 || reg == 5 ? PGO_FLOW_END
					      : PGO_FLOW_NEXT;
	default:
		return (opcode & 0xf0) == 0x70 || (opcode >= 0xe0 && opcode <= 0xe3) ? PGO_FLOW_BRANCH
										     : PGO_FLOW_NEXT;
	}
}

/*
 * Roughly, on cores since 2010: what a few instructions take that are slow by nature, not
 * for what they find in the caches.
 */
static uint8_t cost_of(unsigned map, uint8_t opcode, uint8_t modrm, bool is_locked)
{
	bool is_division = map == 0 && (opcode == 0xf6 || opcode == 0xf7) && (modrm & 0x38) >= 0x30;
	bool is_exchange = map == 0 && (opcode == 0x86 || opcode == 0x87) && modrm < 0xc0;
	bool is_of_floats = map == 1 && (opcode == 0x51 || opcode == 0x5e); /* roots and divisions */
	return is_division || is_exchange || is_locked ? 16 : is_of_floats ? 6 : 1;
}

bool pgo_x86_decode(const uint8_t *bytes, size_t size, uint64_t address, struct pgo_instruction *out)
{
	struct cursor c = {bytes, size < INSTRUCTION_BYTES_MAX ? size : INSTRUCTION_BYTES_MAX, 0, false};
	struct prefixes prefixes = {0};
	uint8_t opcode = take_prefixes(&c, &prefixes), modrm = 0;
	unsigned map = 0;
	char letter = take_vector_opcode(&c, opcode, &opcode);
	if (letter) {
		map = 1; /* nothing there changes the flow */
	} else if (opcode == 0x0f) {
		map = 1;
		opcode = take(&c);
		if (opcode == 0x38 || opcode == 0x3a) {
			map = opcode == 0x38 ? 2 : 3;
			opcode = take(&c);
		}
		letter = letter_of(map, opcode);
	} else {
		letter = one_byte[opcode];
	}

	if (strchr("MBZtTi", letter)) {
		modrm = take(&c);
		skip_operand(&c, modrm);
	}
	unsigned reg = (modrm >> 3) & 7;
	size_t word_bytes = prefixes.has_operand_size ? 2 : 4;
	int64_t distance = 0;
	switch (letter) {
	case 'x':
		return false;
	case 'b':
	case 'B':
		skip(&c, 1);
		break;
	case 'w':
		skip(&c, 2);
		break;
	case 'e':
		skip(&c, 3);
		break;
	case 'z':
	case 'Z':
		skip(&c, word_bytes);
		break;
	case 'i':
		skip(&c, 4);
		break;
	case 'v':
		skip(&c, prefixes.is_wide ? 8 : word_bytes);
		break;
	case 'o':
		skip(&c, prefixes.has_address_size ? 4 : 8);
		break;
	case 't':
		skip(&c, reg < 2 ? 1 : 0);
		break;
	case 'T':
		skip(&c, reg < 2 ? word_bytes : 0);
		break;
	case 'r':
		distance = take_signed(&c, 1);
		break;
	case 'R':
		distance = take_signed(&c, 4);
		break;
	default:
		break;
	}
	if (c.is_failed)
		return false;

	enum pgo_flow flow = PGO_FLOW_NEXT;
	if (map == 0)
		flow = flow_of(opcode, reg);
	else if (map == 1 && letter == 'R')
		flow = PGO_FLOW_BRANCH;
	else if (map == 1 && opcode == 0x0b && letter == '.')
		flow = PGO_FLOW_END; /* ud2 */
	*out = (struct pgo_instruction){.address = address,
					.target = address + c.at + (uint64_t)distance,
					.length = (uint8_t)c.at,
					.cost = cost_of(map, opcode, modrm, prefixes.is_locked),
					.flow = flow};
	return true;
}
