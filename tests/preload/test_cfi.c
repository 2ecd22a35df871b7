/* SPDX-License-Identifier: MIT */
/*
 * Call frame information made by hand: what each instruction does to the rules, which pc
 * belongs to which function, and that nothing malformed leads out of its segment (the
 * bytes lie between two pages that cannot be read).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "cfi.h"
#include "cprof_shm.h"

#define PAGE 4096u
#define CODE UINT64_C(0x1000) /* functions start here, counted from the section */

/* A section under construction: .eh_frame_hdr first, CIE, then FDEs.  Ends where a page ends. */
static struct {
	uint8_t *page;
	uint8_t *start;
	uint8_t bytes[2048];
	uint32_t length;
	uint32_t cie;
	uint32_t functions;
} section;

static void put(const void *bytes, uint32_t length)
{
	cr_assert(section.length + length <= sizeof section.bytes);
	memcpy(section.bytes + section.length, bytes, length);
	section.length += length;
}

static void put_u32(uint32_t value)
{
	put(&value, sizeof value);
}

static void set_u32(uint32_t place, uint32_t value)
{
	memcpy(section.bytes + place, &value, sizeof value);
}

#define FUNCTIONS_MAX 4
#define TABLE_PLACE 12

static void begin(const char *augmentation, const char *augmentation_data, uint32_t augmentation_bytes)
{
	section.length = 0;
	section.functions = 0;
	put("\x01\x1b\x03\x3b", 4); /* pcrel sdata4, udata4, datarel sdata4 */
	put_u32(0);
	put_u32(0);
	section.length = TABLE_PLACE + FUNCTIONS_MAX * 8;
	section.cie = section.length;
	put_u32(0);
	put_u32(0); /* a CIE */
	put("\x01", 1);
	put(augmentation, (uint32_t)strlen(augmentation) + 1);
	put("\x01\x78\x10", 3); /* code 1, data -8, return address in 16 */
	if (*augmentation == 'z') {
		uint8_t length = (uint8_t)augmentation_bytes;
		put(&length, 1);
		put(augmentation_data, augmentation_bytes);
	}
	put("\x0c\x07\x08\x90\x01", 5); /* CFA = rsp + 8, return address at CFA - 8 */
	set_u32(section.cie, section.length - section.cie - 4);
}

/* A function of 0x100 bytes at CODE + 0x200 * its number. */
static void put_function(const char *program, uint32_t bytes)
{
	uint32_t fde = section.length, number = section.functions++;
	uint32_t function = (uint32_t)CODE + 0x200 * number;
	put_u32(0);
	put_u32(section.length - section.cie);
	put_u32(function - section.length);
	put_u32(0x100);
	put("", 1); /* no augmentation data */
	put(program, bytes);
	set_u32(fde, section.length - fde - 4);
	set_u32(TABLE_PLACE + number * 8, function);
	set_u32(TABLE_PLACE + number * 8 + 4, fde);
	set_u32(8, section.functions);
}
#define PUT_FUNCTION(program) put_function(program, sizeof(program) - 1)

/* Moves the bytes to the very end of the readable page. */
static void place_section(uint32_t length)
{
	if (!section.page) {
		section.page = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		section.page += PAGE;
		mprotect(section.page, PAGE, PROT_READ | PROT_WRITE);
	}
	memset(section.page, 0, PAGE);
	section.start = section.page + PAGE - length;
	memcpy(section.start, section.bytes, length);
}

static int open_table(struct cfi_table *out_table)
{
	place_section(section.length);
	return cfi_open((uint64_t)section.start, (uint64_t)section.page, (uint64_t)section.page + PAGE,
			out_table);
}

static struct cfi_row row_at(uint64_t offset)
{
	struct cfi_table table;
	struct cfi_row row;
	cr_assert_eq(open_table(&table), 0);
	cr_assert_eq(cfi_find_row(&table, (uint64_t)section.start + offset, &row), 0);
	return row;
}

Test(cfi, prologue_moves_from_stack_to_frame_pointer)
{
	begin("zR", "\x1b", 1);
	/* push %rbp (1 byte), mov %rsp,%rbp (3), push %rbx (1) */
	PUT_FUNCTION("\x41\x0e\x10\x86\x02\x43\x0d\x06\x41\x83\x03");
	struct cfi_row row = row_at(CODE);
	cr_assert_eq(row.cfa_register, 7);
	cr_assert_eq(row.cfa_value, 8);
	cr_assert_eq(row.rule[CFI_RA], CFI_AT_CFA);
	cr_assert_eq(row.value[CFI_RA], -8);
	cr_assert_eq(row.rule[CFI_FP], CFI_SAME);
	row = row_at(CODE + 1);
	cr_assert_eq(row.cfa_value, 16);
	cr_assert_eq(row.rule[CFI_FP], CFI_AT_CFA);
	cr_assert_eq(row.value[CFI_FP], -16);
	row = row_at(CODE + 4);
	cr_assert_eq(row.cfa_register, 6);
	cr_assert_eq(row.cfa_value, 16);
	cr_assert_eq(row.rule[CFI_BX], CFI_SAME);
	row = row_at(CODE + 0xff);
	cr_assert_eq(row.rule[CFI_BX], CFI_AT_CFA);
	cr_assert_eq(row.value[CFI_BX], -24);
}

Test(cfi, remembered_state_comes_back_behind_an_early_return)
{
	begin("zR", "\x1b", 1);
	/* +1: CFA + 16, rbp saved; +0x10: remember, CFA + 8, rbp restored; +0x11: as before */
	PUT_FUNCTION("\x41\x0e\x10\x86\x02\x4f\x0a\x0e\x08\xc6\x41\x0b");
	cr_assert_eq(row_at(CODE + 0xf).cfa_value, 16);
	cr_assert_eq(row_at(CODE + 0x10).cfa_value, 8);
	cr_assert_eq(row_at(CODE + 0x10).rule[CFI_FP], CFI_SAME);
	cr_assert_eq(row_at(CODE + 0x11).cfa_value, 16);
	cr_assert_eq(row_at(CODE + 0x11).rule[CFI_FP], CFI_AT_CFA);
}

Test(cfi, wide_forms_mean_the_same)
{
	begin("zR", "\x1b", 1);
	PUT_FUNCTION("\x02\x10\x05\x06\x02"         /* advance_loc1 16, offset_extended rbp 2 */
		     "\x03\x10\x00\x11\x03\x7d"     /* advance_loc2 16, offset_extended_sf rbx -3 -> +24 */
		     "\x04\x10\x00\x00\x00\x06\x06" /* advance_loc4 16, restore_extended rbp */
		     "\x41\x12\x07\x7e"             /* def_cfa_sf rsp -2 -> 16 */
		     "\x41\x13\x7d"                 /* def_cfa_offset_sf -3 -> 24 */
		     "\x41\x14\x06\x02"             /* val_offset rbp 2 */
		     "\x41\x09\x10\x01"             /* register rip in rdx */
		     "\x41\x07\x03\x08\x06"         /* undefined rbx, same_value rbp */
		     "\x2e\x10\x41\x2f\x06\x02");   /* args_size, negative_offset_extended rbp 2 */
	cr_assert_eq(row_at(CODE + 16).value[CFI_FP], -16);
	cr_assert_eq(row_at(CODE + 32).value[CFI_BX], 24);
	cr_assert_eq(row_at(CODE + 47).rule[CFI_FP], CFI_AT_CFA);
	cr_assert_eq(row_at(CODE + 48).rule[CFI_FP], CFI_SAME);
	cr_assert_eq(row_at(CODE + 49).cfa_value, 16);
	cr_assert_eq(row_at(CODE + 50).cfa_value, 24);
	cr_assert_eq(row_at(CODE + 51).rule[CFI_FP], CFI_CFA_PLUS);
	cr_assert_eq(row_at(CODE + 52).rule[CFI_RA], CFI_IN_REGISTER);
	cr_assert_eq(row_at(CODE + 52).value[CFI_RA], 1);
	cr_assert_eq(row_at(CODE + 53).rule[CFI_BX], CFI_UNDEFINED);
	cr_assert_eq(row_at(CODE + 53).rule[CFI_FP], CFI_SAME);
	cr_assert_eq(row_at(CODE + 54).value[CFI_FP], 16);
}

Test(cfi, registers_that_are_not_followed_change_nothing)
{
	begin("zR", "\x1b", 1);
	PUT_FUNCTION("\x8c\x02\x8d\x03\x8e\x04\x8f\x05\x09\x05\x0a\x10\x0c\x02\x77\x08\xcc\x41\x0e\x30");
	struct cfi_row row = row_at(CODE + 1);
	cr_assert_eq(row.cfa_value, 48);
	cr_assert_eq(row.rule[CFI_FP], CFI_SAME);
	cr_assert_eq(row.rule[CFI_BX], CFI_SAME);
}

Test(cfi, expressions_are_found_where_the_row_says)
{
	begin("zR", "\x1b", 1);
	PUT_FUNCTION("\x0f\x03\x76\x78\x06\x10\x06\x02\x76\x00\x16\x07\x02\x77\x10");
	struct cfi_table table;
	struct cfi_row row;
	struct dwarf_cursor expression;
	cr_assert_eq(open_table(&table), 0);
	cr_assert_eq(cfi_find_row(&table, (uint64_t)section.start + CODE, &row), 0);
	cr_assert(row.cfa_is_expression);
	cfi_expression(&table, row.cfa_value, &expression);
	cr_assert_eq(expression.end - expression.at, 3);
	cr_assert_eq(memcmp(expression.at, "\x76\x78\x06", 3), 0);
	cr_assert_eq(row.rule[CFI_FP], CFI_AT_EXPRESSION);
	cfi_expression(&table, row.value[CFI_FP], &expression);
	cr_assert_eq(memcmp(expression.at, "\x76\x00", 2), 0);
	cr_assert_eq(row.rule[CFI_SP], CFI_IS_EXPRESSION);
}

Test(cfi, augmentations_of_exceptions_and_signal_frames_are_understood)
{
	begin("zPLR", "\x9b\x11\x22\x33\x44\x1b\x1b", 7);
	PUT_FUNCTION("\x41\x0e\x20");
	cr_assert_eq(row_at(CODE + 1).cfa_value, 32);
	cr_assert_not(row_at(CODE).is_signal_frame);
	begin("zRS", "\x1b", 1);
	PUT_FUNCTION("\x00");
	cr_assert(row_at(CODE).is_signal_frame);
	begin("zR!", "\x1b\x55\x66", 3); /* unknown letters are skipped by the length */
	PUT_FUNCTION("\x41\x0e\x20");
	cr_assert_eq(row_at(CODE + 1).cfa_value, 32);
}

Test(cfi, undefined_return_address_marks_the_outermost_frame)
{
	begin("zR", "\x1b", 1);
	PUT_FUNCTION("\x07\x10");
	cr_assert_eq(row_at(CODE).rule[CFI_RA], CFI_UNDEFINED);
}

Test(cfi, every_pc_finds_its_function_and_gaps_find_none)
{
	struct cfi_table table;
	struct cfi_row row;
	begin("zR", "\x1b", 1);
	PUT_FUNCTION("\x0e\x10");
	PUT_FUNCTION("\x0e\x18");
	PUT_FUNCTION("\x0e\x20");
	PUT_FUNCTION("\x0e\x28");
	cr_assert_eq(open_table(&table), 0);
	uint64_t code = (uint64_t)section.start + CODE;
	for (uint64_t at = 0; at < 0x800; at++) {
		int want = at % 0x200 < 0x100 ? 0 : -ENOENT;
		cr_assert_eq(cfi_find_row(&table, code + at, &row), want);
		if (want == 0)
			cr_assert_eq(row.cfa_value, (int32_t)(16 + 8 * (at / 0x200)));
	}
	cr_assert_eq(cfi_find_row(&table, code - 1, &row), -ENOENT);
	cr_assert_eq(cfi_find_row(&table, 0, &row), -ENOENT);
	cr_assert_eq(cfi_find_row(&table, UINT64_MAX, &row), -ENOENT);
}

Test(cfi, malformed_headers_and_entries_are_refused)
{
	struct cfi_table table;
	struct cfi_row row;
	begin("zR", "\x1b", 1);
	PUT_FUNCTION("\x3f"); /* no such instruction */
	cr_assert_eq(open_table(&table), 0);
	cr_assert_eq(cfi_find_row(&table, (uint64_t)section.start + CODE, &row), -EINVAL);
	begin("zR", "\x1b", 1);
	PUT_FUNCTION("\x0b"); /* nothing was remembered */
	cr_assert_eq(open_table(&table), 0);
	cr_assert_eq(cfi_find_row(&table, (uint64_t)section.start + CODE, &row), -EINVAL);
	begin("zR", "\x1b", 1);
	PUT_FUNCTION("\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a"); /* too much is */
	cr_assert_eq(open_table(&table), 0);
	cr_assert_eq(cfi_find_row(&table, (uint64_t)section.start + CODE, &row), -EINVAL);
	section.bytes[0] = 2;
	cr_assert_eq(open_table(&table), -EINVAL);
	section.bytes[0] = 1;
	section.bytes[3] = 0xff;
	cr_assert_eq(open_table(&table), -ENOENT);
	section.bytes[3] = 0x3b;
	set_u32(8, 1 << 30);
	cr_assert_eq(open_table(&table), -EINVAL);
	set_u32(8, 0);
	cr_assert_eq(open_table(&table), -ENOENT);
}

/* Looks up every kind of pc; whatever comes out, nothing faults. */
static void look_around(void)
{
	struct cfi_table table;
	struct cfi_row row;
	if (cfi_open((uint64_t)section.start, (uint64_t)section.page, (uint64_t)section.page + PAGE,
		     &table) != 0)
		return;
	for (uint64_t at = 0; at < 0x700; at += 7)
		(void)cfi_find_row(&table, (uint64_t)section.start + CODE + at, &row);
}

static void make_rich_section(void)
{
	begin("zPLR", "\x9b\x11\x22\x33\x44\x1b\x1b", 7);
	PUT_FUNCTION("\x41\x0e\x10\x86\x02\x43\x0d\x06\x41\x83\x03\x0a\x0c\x07\x08\x41\x0b");
	PUT_FUNCTION("\x0f\x03\x76\x78\x06\x10\x06\x02\x76\x00\x16\x07\x02\x77\x10");
	PUT_FUNCTION("\x02\x10\x05\x06\x02\x03\x10\x00\x11\x03\x7d\x04\x10\x00\x00\x00\x06\x06");
}

Test(cfi, a_section_cut_anywhere_never_leads_out_of_it)
{
	make_rich_section();
	for (uint32_t length = 1; length <= section.length; length++) {
		place_section(length);
		look_around();
	}
}

Test(cfi, a_corrupt_section_never_leads_out_of_it)
{
	make_rich_section();
	for (uint64_t round = 0; round < 20000; round++) {
		place_section(section.length);
		for (uint64_t i = 0; i < 1 + round % 5; i++) {
			uint64_t random = cprof_mix64(round * 16 + i + 1);
			section.start[random % section.length] = (uint8_t)(random >> 40);
		}
		look_around();
	}
}
