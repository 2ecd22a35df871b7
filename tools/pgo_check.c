/* SPDX-License-Identifier: MIT */
/*
 * A function is looked for in the file that its path leads to below the source tree: with
 * the first parts of the path left out one by one, since a tree may lie elsewhere than
 * where it was built.  In the file every line that reads like the function's first is
 * tried.
 *
 * Context: command line; see pgo_check.h.
 */
#include "pgo_check.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "pgo_output.h"
#include "pgo_read_llvm.h"
#include "pgo_source.h"
#include "pgo_spawn.h"
#include "pgo_write.h"

enum fate { FATE_UNKNOWN, FATE_CHANGED, FATE_MOVED, FATE_SAME };

/* A file that was read, with the hash of each of its lines. */
struct file {
	char *path;
	struct pgo_source source;
	uint64_t *hashes; /* NULL: there is no such file */
};

struct checker {
	const struct pgo_origins *origins;
	const char *source_tree;
	struct file *files;
	size_t file_count, file_capacity;
	enum fate *fates; /* of origins */
};

static const struct file *open_file(struct checker *checker, const char *path)
{
	for (size_t i = 0; i < checker->file_count; i++)
		if (strcmp(checker->files[i].path, path) == 0)
			return &checker->files[i];
	checker->files = grown(checker->files, checker->file_count, &checker->file_capacity,
			       sizeof *checker->files);
	struct file *file = &checker->files[checker->file_count++];
	*file = (struct file){.path = allocated(strdup(path))};
	if (pgo_source_read(&file->source, path) == 0) {
		file->hashes = allocated(calloc(file->source.line_count + 1, sizeof *file->hashes));
		for (size_t i = 0; i < file->source.line_count; i++)
			file->hashes[i] = pgo_source_hash(&file->source, (uint32_t)i + 1, 1);
	}
	return file;
}

static enum fate fate_in_file(const struct file *file, const struct pgo_origin *origin)
{
	enum fate fate = FATE_CHANGED;
	uint32_t count = origin->last - origin->first + 1;
	for (size_t i = 0; i < file->source.line_count && fate != FATE_SAME; i++) {
		uint32_t line = (uint32_t)i + 1;
		if (file->hashes[i] == origin->first_hash &&
		    pgo_source_hash(&file->source, line, count) == origin->hash)
			fate = line == origin->first ? FATE_SAME : FATE_MOVED;
	}
	return fate;
}

static enum fate find_fate(struct checker *checker, const struct pgo_origin *origin)
{
	enum fate fate = FATE_UNKNOWN;
	char path[PATH_MAX];
	for (const char *part = origin->path; part; part = strchr(part, '/')) {
		part += strspn(part, "/");
		if ((size_t)snprintf(path, sizeof path, "%s/%s", checker->source_tree, part) >= sizeof path)
			continue;
		const struct file *file = open_file(checker, path);
		enum fate here = file->hashes ? fate_in_file(file, origin) : FATE_UNKNOWN;
		if (here > fate)
			fate = here;
		if (fate > FATE_CHANGED)
			break;
	}
	return fate;
}

/* What is not among the origins has the fate behind the last one's, which is unknown. */
static enum fate fate_of(const struct checker *checker, const char *name)
{
	return checker->fates[pgo_origins_find(checker->origins, name)];
}

static void prune_inlinees(const struct checker *checker, struct pgo_node *node)
{
	for (size_t i = node->inlinee_count; i-- > 0;) {
		struct pgo_node *inlinee = node->inlinees[i].node;
		if (fate_of(checker, inlinee->name) == FATE_CHANGED)
			pgo_node_remove_inlinee(node, i);
		else
			prune_inlinees(checker, inlinee);
	}
}

/* Marks what has counts; returns how many functions without an origin there are. */
static size_t mark(const struct checker *checker, const struct pgo_node *node, bool *is_used)
{
	size_t index = pgo_origins_find(checker->origins, node->name), strangers = 0;
	if (index < checker->origins->count)
		is_used[index] = true;
	else
		strangers++;
	for (size_t i = 0; i < node->inlinee_count; i++)
		strangers += mark(checker, node->inlinees[i].node, is_used);
	return strangers;
}

static void count_fates(const struct checker *checker, const struct pgo_tree *tree, struct pgo_check *check)
{
	bool *is_used = allocated(calloc(checker->origins->count + 1, sizeof *is_used));
	for (size_t i = 0; i < tree->function_count; i++)
		check->unknown += mark(checker, tree->functions[i], is_used);
	for (size_t i = 0; i < checker->origins->count; i++) {
		check->same += is_used[i] && checker->fates[i] == FATE_SAME;
		check->moved += is_used[i] && checker->fates[i] == FATE_MOVED;
		check->changed += is_used[i] && checker->fates[i] == FATE_CHANGED;
		check->unknown += is_used[i] && checker->fates[i] == FATE_UNKNOWN;
	}
	free(is_used);
}

void pgo_check_tree(struct pgo_tree *tree, const struct pgo_origins *origins, const char *source_tree,
		    struct pgo_check *out_check)
{
	struct checker checker = {.origins = origins, .source_tree = source_tree};
	checker.fates = allocated(calloc(origins->count + 1, sizeof *checker.fates));
	for (size_t i = 0; i < origins->count; i++)
		checker.fates[i] = find_fate(&checker, &origins->items[i]);
	*out_check = (struct pgo_check){0};
	count_fates(&checker, tree, out_check);
	for (size_t i = tree->function_count; i-- > 0;) {
		if (fate_of(&checker, tree->functions[i]->name) == FATE_CHANGED)
			pgo_tree_remove(tree, i);
		else
			prune_inlinees(&checker, tree->functions[i]);
	}
	for (size_t i = 0; i < checker.file_count; i++) {
		free(checker.files[i].path);
		free(checker.files[i].hashes);
		pgo_source_free(&checker.files[i].source);
	}
	free(checker.files);
	free(checker.fates);
}

/* ---- a profile in a file --------------------------------------------------------------------- */

static int complain(const char *path, const char *what)
{
	fprintf(stderr, "cprof pgo: %s: %s\n", path, what);
	return -EBADMSG;
}

static int read_origins(struct pgo_origins *origins, const char *profile)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s" PGO_SOURCES_SUFFIX, profile);
	int error = pgo_origins_load(origins, profile);
	if (error == -EBADMSG)
		return complain(path, "was not written by cprof pgo");
	return error ? complain(path,
				"is not there: cprof pgo writes it where it finds the sources, and only it"
				" tells what changed")
		     : 0;
}

/* Reads either of LLVM's forms. */
static int read_profile(struct pgo_tree *tree, const char *path, bool *out_is_binary)
{
	unsigned long line = 0;
	FILE *from = fopen(path, "re");
	if (!from)
		return complain(path, strerror(errno));
	int error = pgo_read_llvm(tree, from, &line);
	fclose(from);
	*out_is_binary = false;
	if (!error)
		return 0;
	char text[] = "/tmp/cprof-pgo.XXXXXX";
	int fd = mkstemp(text);
	if (fd < 0)
		return complain(text, strerror(errno));
	close(fd);
	char *const command[] = {"llvm-profdata",         "merge", "--sample", "--text", "-o", text,
				 (char *)(uintptr_t)path, NULL};
	pgo_tree_fini(tree);
	error = pgo_spawn(command, NULL);
	from = error ? NULL : fopen(text, "re");
	if (from) {
		error = pgo_read_llvm(tree, from, &line);
		fclose(from);
	}
	unlink(text);
	*out_is_binary = true;
	return error ? complain(path, "is no sample profile of LLVM's (format llvm-text or llvm-ext)") : 0;
}

void pgo_check_print(const struct pgo_check *check)
{
	printf("%zu functions as they were, %zu moved, %zu changed and left out, %zu whose source is not "
	       "known"
	       "\n",
	       check->same, check->moved, check->changed, check->unknown);
}

static int write_checked(const struct pgo_tree *tree, const struct pgo_origins *origins, const char *out,
			 bool is_binary)
{
	struct pgo_output output;
	int error = pgo_output_open(&output, out);
	if (error)
		return error;
	pgo_write_llvm(tree, output.stream);
	error = is_binary ? pgo_output_commit_extbinary(&output) : pgo_output_commit(&output);
	return error ? error : pgo_origins_save(origins, out);
}

int pgo_check_profile(const char *profile, const char *source_tree, const char *out)
{
	struct pgo_origins origins = {0};
	struct pgo_tree tree = {0};
	struct pgo_check check = {0};
	bool is_binary;
	int error = read_origins(&origins, profile);
	if (!error)
		error = read_profile(&tree, profile, &is_binary);
	if (!error) {
		pgo_check_tree(&tree, &origins, source_tree, &check);
		if (check.same + check.moved + check.changed == 0)
			error = complain(source_tree, "has none of the profile's sources");
	}
	if (!error)
		error = write_checked(&tree, &origins, out, is_binary);
	if (!error) {
		printf("%s: ", out);
		pgo_check_print(&check);
	}
	pgo_tree_fini(&tree);
	pgo_origins_fini(&origins);
	return error;
}
