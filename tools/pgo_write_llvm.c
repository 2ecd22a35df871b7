/* SPDX-License-Identifier: MIT */
/*
 * LLVM's text form (llvm/ProfileData/SampleProfReader.h):
 *
 *     name:total:head
 *      line[.discriminator]: count [target:count ...]
 *      line[.discriminator]: inlined function:total
 *       line[.discriminator]: count
 *
 * Each level of inlining is one space deeper.
 *
 * Context: command line; see pgo_write.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "pgo_write.h"

static void write_place(struct pgo_place place, int depth, FILE *to)
{
	fprintf(to, "%*s%" PRIu32, depth, "", place.line);
	if (place.discriminator)
		fprintf(to, ".%" PRIu32, place.discriminator);
	fputs(": ", to);
}

static void write_node(const struct pgo_node *node, int depth, FILE *to)
{
	for (size_t i = 0; i < node->body_count; i++) {
		const struct pgo_body *body = &node->bodies[i];
		write_place(body->place, depth, to);
		fprintf(to, "%" PRIu64, body->count);
		for (size_t j = 0; j < body->target_count; j++)
			fprintf(to, " %s:%" PRIu64, body->targets[j].name, body->targets[j].count);
		fputc('\n', to);
	}
	for (size_t i = 0; i < node->inlinee_count; i++) {
		const struct pgo_inlinee *inlinee = &node->inlinees[i];
		write_place(inlinee->place, depth, to);
		fprintf(to, "%s:%" PRIu64 "\n", inlinee->node->name, pgo_node_total(inlinee->node));
		write_node(inlinee->node, depth + 1, to);
	}
}

struct ranked {
	const struct pgo_node *node;
	uint64_t total;
};

/* The hottest first, as LLVM's own writer does. */
static int by_total(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;
	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	return strcmp(a->node->name, b->node->name);
}

int pgo_write_llvm(const struct pgo_tree *tree, FILE *to)
{
	struct ranked *ranked = allocated(calloc(tree->function_count + 1, sizeof *ranked));
	for (size_t i = 0; i < tree->function_count; i++)
		ranked[i] = (struct ranked){tree->functions[i], pgo_node_total(tree->functions[i])};
	qsort(ranked, tree->function_count, sizeof *ranked, by_total);
	for (size_t i = 0; i < tree->function_count; i++) {
		fprintf(to, "%s:%" PRIu64 ":%" PRIu64 "\n", ranked[i].node->name, ranked[i].total,
			ranked[i].node->head);
		write_node(ranked[i].node, 1, to);
	}
	free(ranked);
	return fflush(to) == 0 && !ferror(to) ? 0 : -EIO;
}
