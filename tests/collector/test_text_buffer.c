/* SPDX-License-Identifier: MIT */
/* Growing texts. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "text_buffer.h"

static struct text_buffer text;

static void end(void)
{
	text_buffer_free(&text);
}

TestSuite(text_buffer, .fini = end);

Test(text_buffer, an_empty_text_is_a_text)
{
	char *taken = text_buffer_take(&text);
	cr_assert(taken);
	cr_expect_str_eq(taken, "");
	free(taken);
}

Test(text_buffer, grows_piece_by_piece)
{
	char piece[300];
	memset(piece, 'x', sizeof piece);
	for (int i = 0; i < 1000; i++)
		text_buffer_add(&text, piece, sizeof piece);
	cr_expect_eq(text.size, 300000);
	cr_expect_eq(strlen(text.bytes), 300000);
}

Test(text_buffer, formats_short_and_long)
{
	char piece[1000];
	memset(piece, 'x', sizeof piece);
	text_buffer_format(&text, "%d-", 7);
	text_buffer_format(&text, "%.*s", (int)sizeof piece, piece);
	cr_expect_eq(text.size, 1002);
	cr_expect(strncmp(text.bytes, "7-xxx", 5) == 0);
}

Test(text_buffer, escapes)
{
	text_buffer_html(&text, "<a href=\"x\">&'\n");
	cr_expect_str_eq(text.bytes, "&lt;a href=&#34;x&#34;&gt;&amp;&#39;?");
	text_buffer_free(&text);
	text_buffer_quoted(&text, "a\"b\\c\td");
	cr_expect_str_eq(text.bytes, "\"a\\\"b\\\\c\\x09d\"");
}

Test(text_buffer, a_failure_is_remembered)
{
	text_buffer_string(&text, "x");
	text_buffer_add(&text, "y", TEXT_BUFFER_BYTES_MAX);
	text_buffer_string(&text, "z");
	cr_expect(text.is_failed);
	cr_expect(!text_buffer_take(&text));
	cr_expect(!text.is_failed, "empty again");
}
