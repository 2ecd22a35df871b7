/* SPDX-License-Identifier: MIT */
/*
 * The depth of a line is the number of spaces before it.  What follows the place is a
 * count if it begins with a digit, as no function's name does.
 *
 * Context: command line; see pgo_read_llvm.h.
 */
#include "pgo_read_llvm.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 200

/* Splits "name:number" at its last colon.  False if it is none. */
static bool split_number(char *text, uint64_t *out_number)
{
	char *colon = strrchr(text, ':'), *end;
	if (!colon || colon == text || !isdigit((unsigned char)colon[1]))
		return false;
	*out_number = strtoull(colon + 1, &end, 10);
	*colon = '\0';
	return *end == '\0';
}

static bool read_function(struct pgo_tree *tree, char *line, struct pgo_node **out_node)
{
	uint64_t head, total;
	if (!split_number(line, &head) || !split_number(line, &total))
		return false;
	*out_node = pgo_tree_function(tree, line);
	(*out_node)->head = head;
	return true;
}

/* "count target:count ..." */
static bool read_body(struct pgo_node *node, struct pgo_place place, char *text)
{
	char *end;
	uint64_t count = strtoull(text, &end, 10);
	struct pgo_body *body = pgo_node_body(node, place);
	body->count = count;
	for (char *word = strtok_r(end, " ", &end); word; word = strtok_r(NULL, " ", &end)) {
		if (!split_number(word, &count))
			return false;
		pgo_body_add_target(body, word, count);
	}
	return true;
}

/* "line[.discriminator]: ", and what follows it. */
static char *read_place(char *text, struct pgo_place *out_place)
{
	char *end;
	*out_place = (struct pgo_place){.line = (uint32_t)strtoul(text, &end, 10)};
	if (end == text)
		return NULL;
	if (*end == '.')
		out_place->discriminator = (uint32_t)strtoul(end + 1, &end, 10);
	return end[0] == ':' && end[1] == ' ' ? end + 2 : NULL;
}

/* `path` holds the functions around the next line, by depth; `*depth` is how many there are. */
static bool read_line(struct pgo_tree *tree, char *line, struct pgo_node **path, size_t *depth)
{
	size_t spaces = strspn(line, " ");
	struct pgo_place place;
	if (spaces > *depth || spaces + 1 >= DEPTH_MAX)
		return false;
	if (spaces == 0) {
		*depth = 1;
		return read_function(tree, line, &path[0]);
	}
	*depth = spaces;
	char *rest = read_place(line + spaces, &place);
	if (!rest)
		return false;
	if (isdigit((unsigned char)*rest))
		return read_body(path[spaces - 1], place, rest);
	uint64_t total;
	if (!split_number(rest, &total))
		return false;
	path[spaces] = pgo_node_inlinee(path[spaces - 1], place, rest);
	*depth = spaces + 1;
	return true;
}

int pgo_read_llvm(struct pgo_tree *tree, FILE *from, unsigned long *out_line)
{
	struct pgo_node *path[DEPTH_MAX];
	char *line = NULL;
	size_t capacity = 0, depth = 0;
	unsigned long number = 0;
	int error = 0;
	for (ssize_t length; !error && (length = getline(&line, &capacity, from)) > 0;) {
		number++;
		if (line[length - 1] == '\n')
			line[--length] = '\0';
		/* An attribute of the function ("!CFGChecksum: ...") says nothing here. */
		size_t spaces = strspn(line, " ");
		if (line[spaces] == '\0' || line[spaces] == '#' || line[spaces] == '!')
			continue;
		if (strlen(line) != (size_t)length || !read_line(tree, line, path, &depth))
			error = -EBADMSG;
	}
	free(line);
	*out_line = number;
	return error;
}
