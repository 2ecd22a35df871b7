/* SPDX-License-Identifier: MIT */
/*
 * A sample profile as compilers want it: for each function the counts of its places,
 * and at places where another function was inlined, that one's, and so on.  A place is
 * a line relative to the function's first, and a discriminator that tells the blocks
 * of one line apart.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_TREE_H
#define TOOLS_PGO_TREE_H

#include <stddef.h>
#include <stdint.h>

struct pgo_place {
	uint32_t line; /* 16 bits */
	uint32_t discriminator;
};

/* As strcmp() does. */
int pgo_place_compare(struct pgo_place a, struct pgo_place b);

/* A function that an indirect call went to. */
struct pgo_target {
	char *name;
	uint64_t count;
};

struct pgo_body {
	struct pgo_place place;
	uint64_t count;
	struct pgo_target *targets; /* sorted by name */
	size_t target_count, target_capacity;
};

struct pgo_inlinee {
	struct pgo_place place;
	struct pgo_node *node;
};

struct pgo_node {
	char *name;              /* linkage name */
	uint64_t head;           /* how often it was entered; 0 for what is inlined */
	struct pgo_body *bodies; /* sorted by place */
	size_t body_count, body_capacity;
	struct pgo_inlinee *inlinees; /* sorted by place, then by name */
	size_t inlinee_count, inlinee_capacity;
};

/* A zeroed one is empty and valid. */
struct pgo_tree {
	struct pgo_node **functions; /* sorted by name */
	size_t function_count, function_capacity;
};

/* Each of these makes what is not there yet; names are copied. */
struct pgo_node *pgo_tree_function(struct pgo_tree *tree, const char *name);
struct pgo_node *pgo_node_inlinee(struct pgo_node *node, struct pgo_place place, const char *name);
/* This one does not: NULL. */
struct pgo_node *pgo_node_find_inlinee(const struct pgo_node *node, struct pgo_place place, const char *name);
/* The pointer is valid until the next body is made. */
struct pgo_body *pgo_node_body(struct pgo_node *node, struct pgo_place place);

/* Adds to the count of a target; or sees to it that it has so many. */
void pgo_body_add_target(struct pgo_body *body, const char *name, uint64_t count);
void pgo_body_raise_target(struct pgo_body *body, const char *name, uint64_t count);

/* The sum over a function's places and all that is inlined in it. */
uint64_t pgo_node_total(const struct pgo_node *node);

/* Takes a function out, by index. */
void pgo_tree_remove(struct pgo_tree *tree, size_t index);
void pgo_node_remove_inlinee(struct pgo_node *node, size_t index);

void pgo_tree_fini(struct pgo_tree *tree);

#endif
