/* SPDX-License-Identifier: MIT */
/* Metrics of several processes in one text. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#include "metrics_merge.h"

static struct text_buffer text;

static void finish(void)
{
	text_buffer_free(&text);
}

TestSuite(metrics_merge, .fini = finish);

Test(metrics_merge, puts_samples_of_a_name_together)
{
	const struct metrics_part parts[] = {
		{(char *)"pid=\"1\"",
		 (char *)"# HELP a A.\n# TYPE a counter\na 1\n# HELP c C.\n# TYPE c gauge\nc{x=\"y\"} 3\n"
			 "c{x=\"z\"} 4\n"},
		{(char *)"pid=\"2\"",
		 (char *)"# HELP a A.\n# TYPE a counter\na 2\n# HELP b B.\n# TYPE b gauge\nb 5\n"
			 "# HELP c C.\n# TYPE c gauge\nc{x=\"y\"} 6\n"},
		{(char *)"pid=\"3\"", (char *)""},
	};
	metrics_merge(parts, 3, &text);
	cr_expect(eq(str, text.bytes,
		     "# HELP a A.\n# TYPE a counter\na{pid=\"1\"} 1\na{pid=\"2\"} 2\n"
		     "# HELP c C.\n# TYPE c gauge\nc{pid=\"1\",x=\"y\"} 3\nc{pid=\"1\",x=\"z\"} 4\n"
		     "c{pid=\"2\",x=\"y\"} 6\n"
		     "# HELP b B.\n# TYPE b gauge\nb{pid=\"2\"} 5\n"));
}

Test(metrics_merge, names_are_not_taken_for_longer_ones)
{
	const struct metrics_part parts[] = {
		{(char *)"p=\"1\"", (char *)"# HELP ab X.\n# TYPE ab gauge\nab 1\n"},
		{(char *)"p=\"2\"", (char *)"# HELP a X.\n# TYPE a gauge\na 2\n"},
	};
	metrics_merge(parts, 2, &text);
	cr_expect(eq(
		str, text.bytes,
		"# HELP ab X.\n# TYPE ab gauge\nab{p=\"1\"} 1\n# HELP a X.\n# TYPE a gauge\na{p=\"2\"} 2\n"));
}

Test(metrics_merge, labels_hold_any_name)
{
	char *labels = metrics_merge_labels(7, "a\"b\\c\n\xc3\xa9");
	cr_expect(eq(str, labels, "pid=\"7\",process=\"a\\\"b\\\\c?\xc3\xa9\""));
	free(labels);
	labels = metrics_merge_labels(7, "\xff");
	cr_expect(eq(str, labels, "pid=\"7\",process=\"?\""));
	free(labels);
}
