/* SPDX-License-Identifier: MIT */
/*
 * Sorted arrays: what is written comes out in the same order whatever order it came in,
 * and a function has few enough places that making room for one is cheap.
 *
 * Context: command line; see pgo_tree.h.
 */
#include "pgo_tree.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

int pgo_place_compare(struct pgo_place a, struct pgo_place b)
{
	if (a.line != b.line)
		return a.line < b.line ? -1 : 1;
	return a.discriminator < b.discriminator ? -1 : a.discriminator > b.discriminator;
}

struct inlinee_key {
	struct pgo_place place;
	const char *name;
};

static int compare_function(const void *key, const void *element)
{
	return strcmp(key, (*(struct pgo_node *const *)element)->name);
}

static int compare_inlinee(const void *key, const void *element)
{
	const struct inlinee_key *wanted = key;
	const struct pgo_inlinee *inlinee = element;
	int order = pgo_place_compare(wanted->place, inlinee->place);
	return order ? order : strcmp(wanted->name, inlinee->node->name);
}

static int compare_body(const void *key, const void *element)
{
	return pgo_place_compare(*(const struct pgo_place *)key, ((const struct pgo_body *)element)->place);
}

static int compare_target(const void *key, const void *element)
{
	return strcmp(key, ((const struct pgo_target *)element)->name);
}

/* The index of the first element that is not before the key; whether it is the key's. */
static bool lower_bound(const void *key, const void *array, size_t count, size_t size,
			int (*compare)(const void *key, const void *element), size_t *out_index)
{
	size_t low = 0, high = count;
	bool is_equal = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(key, (const char *)array + middle * size);
		is_equal = is_equal || order == 0;
		if (order > 0)
			low = middle + 1;
		else
			high = middle;
	}
	*out_index = low;
	return is_equal;
}

/* Opens a gap at `index` of an array that has room. */
static void open_gap(void *array, size_t index, size_t count, size_t size)
{
	char *at = (char *)array + index * size;
	memmove(at + size, at, (count - index) * size);
	memset(at, 0, size);
}

static struct pgo_node *new_node(const char *name)
{
	struct pgo_node *node = allocated(calloc(1, sizeof *node));
	node->name = allocated(strdup(name));
	return node;
}

static void free_node(struct pgo_node *node)
{
	for (size_t i = 0; i < node->body_count; i++) {
		for (size_t j = 0; j < node->bodies[i].target_count; j++)
			free(node->bodies[i].targets[j].name);
		free(node->bodies[i].targets);
	}
	for (size_t i = 0; i < node->inlinee_count; i++)
		free_node(node->inlinees[i].node);
	free(node->bodies);
	free(node->inlinees);
	free(node->name);
	free(node);
}

struct pgo_node *pgo_tree_function(struct pgo_tree *tree, const char *name)
{
	size_t index;
	if (lower_bound(name, tree->functions, tree->function_count, sizeof(struct pgo_node *),
			compare_function, &index))
		return tree->functions[index];
	tree->functions = grown(tree->functions, tree->function_count, &tree->function_capacity,
				sizeof(struct pgo_node *));
	open_gap(tree->functions, index, tree->function_count++, sizeof(struct pgo_node *));
	return tree->functions[index] = new_node(name);
}

struct pgo_node *pgo_node_inlinee(struct pgo_node *node, struct pgo_place place, const char *name)
{
	struct inlinee_key key = {place, name};
	size_t index;
	if (lower_bound(&key, node->inlinees, node->inlinee_count, sizeof *node->inlinees, compare_inlinee,
			&index))
		return node->inlinees[index].node;
	node->inlinees = grown(node->inlinees, node->inlinee_count, &node->inlinee_capacity,
			       sizeof *node->inlinees);
	open_gap(node->inlinees, index, node->inlinee_count++, sizeof *node->inlinees);
	node->inlinees[index] = (struct pgo_inlinee){place, new_node(name)};
	return node->inlinees[index].node;
}

struct pgo_node *pgo_node_find_inlinee(const struct pgo_node *node, struct pgo_place place, const char *name)
{
	struct inlinee_key key = {place, name};
	size_t index;
	return lower_bound(&key, node->inlinees, node->inlinee_count, sizeof *node->inlinees, compare_inlinee,
			   &index)
		       ? node->inlinees[index].node
		       : NULL;
}

struct pgo_body *pgo_node_body(struct pgo_node *node, struct pgo_place place)
{
	size_t index;
	if (lower_bound(&place, node->bodies, node->body_count, sizeof *node->bodies, compare_body, &index))
		return &node->bodies[index];
	node->bodies = grown(node->bodies, node->body_count, &node->body_capacity, sizeof *node->bodies);
	open_gap(node->bodies, index, node->body_count++, sizeof *node->bodies);
	node->bodies[index].place = place;
	return &node->bodies[index];
}

static struct pgo_target *target_of(struct pgo_body *body, const char *name)
{
	size_t index;
	if (!lower_bound(name, body->targets, body->target_count, sizeof *body->targets, compare_target,
			 &index)) {
		body->targets = grown(body->targets, body->target_count, &body->target_capacity,
				      sizeof *body->targets);
		open_gap(body->targets, index, body->target_count++, sizeof *body->targets);
		body->targets[index].name = allocated(strdup(name));
	}
	return &body->targets[index];
}

void pgo_body_add_target(struct pgo_body *body, const char *name, uint64_t count)
{
	target_of(body, name)->count += count;
}

void pgo_body_raise_target(struct pgo_body *body, const char *name, uint64_t count)
{
	struct pgo_target *target = target_of(body, name);
	if (target->count < count)
		target->count = count;
}

uint64_t pgo_node_total(const struct pgo_node *node)
{
	uint64_t total = 0;
	for (size_t i = 0; i < node->body_count; i++)
		total += node->bodies[i].count;
	for (size_t i = 0; i < node->inlinee_count; i++)
		total += pgo_node_total(node->inlinees[i].node);
	return total;
}

void pgo_tree_remove(struct pgo_tree *tree, size_t index)
{
	free_node(tree->functions[index]);
	tree->function_count--;
	memmove(&tree->functions[index], &tree->functions[index + 1],
		(tree->function_count - index) * sizeof(struct pgo_node *));
}

void pgo_node_remove_inlinee(struct pgo_node *node, size_t index)
{
	free_node(node->inlinees[index].node);
	node->inlinee_count--;
	memmove(&node->inlinees[index], &node->inlinees[index + 1],
		(node->inlinee_count - index) * sizeof *node->inlinees);
}

void pgo_tree_fini(struct pgo_tree *tree)
{
	for (size_t i = 0; i < tree->function_count; i++)
		free_node(tree->functions[i]);
	free(tree->functions);
	*tree = (struct pgo_tree){0};
}
