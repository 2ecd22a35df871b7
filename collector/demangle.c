/* SPDX-License-Identifier: MIT */
/*
 * A facade over libiberty.
 *
 * Parameter lists are left out, template arguments are kept: `std::vector<int,
 * std::allocator<int> >::push_back` says which function it is, and the reports of
 * pprof stay readable.  pprof itself strips neither, because it leaves names alone
 * that differ from the linkage name.
 *
 * A mangled name of a hundred bytes can stand for gigabytes (each substitution may
 * double the text), so output is cut off by jumping out of the demangler.  That is
 * safe with its callback interface, which keeps its state on the stack.
 *
 * Context: collector; see demangle.h.
 */
#include "demangle.h"

#include <ctype.h>
#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdbool.h>
#include <string.h>

#include "cprof_compiler.h"

#define MANGLED_MAX 16384

struct sink {
	char *text;
	size_t size;
	jmp_buf overflow;
};

static void sink_append(const char *text, size_t size, void *arg)
{
	struct sink *sink = arg;
	if (size >= DEMANGLE_MAX - sink->size)
		longjmp(sink->overflow, 1);
	memcpy(sink->text + sink->size, text, size);
	sink->size += size;
}

/* `[.]word` or `[.]word.0`, once or more, up to the end or a symbol version. */
static bool is_suffix_chain(const char *text)
{
	static const char *const words[] = {".cold",       ".constprop", ".isra",  ".part",   ".lto_priv",
					    ".localalias", ".llvm",      ".clone", ".__uniq", ".warm"};
	while (*text == '.') {
		size_t length = 0;
		for (size_t i = 0; i < ARRAY_LENGTH(words) && !length; i++) {
			size_t n = strlen(words[i]);
			if (!strncmp(text, words[i], n) &&
			    (text[n] == '.' || text[n] == '@' || text[n] == '\0'))
				length = n;
		}
		if (!length)
			return false;
		text += length;
		if (text[0] == '.' && isxdigit((unsigned char)text[1])) {
			const char *number = text + 1;
			while (isxdigit((unsigned char)*number))
				number++;
			if (*number == '.' || *number == '@' || *number == '\0')
				text = number;
		}
	}
	return *text == '\0' || *text == '@';
}

size_t demangle_base_length(const char *name)
{
	for (const char *c = name; *c; c++)
		if (c > name && ((*c == '@' && c[1] != '\0') || (*c == '.' && is_suffix_chain(c))))
			return (size_t)(c - name);
	return strlen(name);
}

size_t demangle(const char *name, char out_text[DEMANGLE_MAX])
{
	char base[MANGLED_MAX];
	if (name[0] != '_' || (name[1] != 'Z' && name[1] != 'R'))
		return 0;
	size_t length = demangle_base_length(name);
	if (length >= sizeof(base))
		return 0;
	memcpy(base, name, length);
	base[length] = '\0';

	struct sink sink = {.text = out_text};
	if (setjmp(sink.overflow))
		return 0;
	/* Rust first: its legacy names are valid C++ names that end in a hash. */
	if (!rust_demangle_callback(base, DMGL_NO_OPTS, sink_append, &sink)) {
		sink.size = 0;
		if (!cplus_demangle_v3_callback(base, DMGL_NO_OPTS, sink_append, &sink))
			return 0;
	}
	out_text[sink.size] = '\0';
	return sink.size;
}
