/* SPDX-License-Identifier: MIT */
/*
 * Names as people write them, suffixes, and names made to hurt.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_compiler.h"
#include "demangle.h"

static const char *demangled(const char *name)
{
	static char text[DEMANGLE_MAX];
	size_t length = demangle(name, text);
	cr_assert_eq(length, length ? strlen(text) : 0);
	return length ? text : NULL;
}

struct pair {
	const char *mangled, *readable;
};

static void expect_all(const struct pair *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *text = demangled(pairs[i].mangled);
		cr_expect(text && !strcmp(text, pairs[i].readable), "%s: %s", pairs[i].mangled,
			  text ? text : "(none)");
	}
}

Test(demangle, keeps_template_arguments_and_leaves_parameters_out)
{
	static const struct pair pairs[] = {
		{"_Z3fooi", "foo"},
		{"_ZN2ns3fooIiE3barEi", "ns::foo<int>::bar"},
		{"_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back"},
		{"_ZNK3Foo3barEv", "Foo::bar"},
		{"_ZN3FoocvbEv", "Foo::operator bool"},
		{"_ZN3FooC4Ev", "Foo::Foo"},
		{"_ZN3FooD0Ev", "Foo::~Foo"},
		{"_Znwm", "operator new"},
		{"_Znam", "operator new[]"},
		{"_ZN12_GLOBAL__N_13barEv", "(anonymous namespace)::bar"},
		{"_ZZ3fooiENKUlvE_clEv", "foo(int)::{lambda()#1}::operator()"},
		{"_ZL9only_herev", "only_here"},
		{"_ZNSt8functionIFviEE3fooEi", "std::function<void (int)>::foo"},
	};
	expect_all(pairs, ARRAY_LENGTH(pairs));
}

Test(demangle, leaves_the_hash_of_rust_names_out)
{
	static const struct pair pairs[] = {
		{"_ZN4core3fmt5Write9write_str17h0123456789abcdefE", "core::fmt::Write::write_str"},
		{"_ZN7mycrate3foo17h0123456789abcdefE.llvm.12345", "mycrate::foo"},
		{"_RNvCs1234_7mycrate3foo", "mycrate::foo"},
		{"_RINvCs1234_7mycrate3fooiE", "mycrate::foo::<isize>"},
		{"_RNvXs_Cs4fqI2P2rA04_7mycrateNtB4_3FooNtB4_5Trait3foo",
		 "<mycrate::Foo as mycrate::Trait>::foo"},
	};
	expect_all(pairs, ARRAY_LENGTH(pairs));
}

Test(demangle, leaves_optimisers_suffixes_out)
{
	static const struct pair pairs[] = {
		{"_Z3foov.constprop.0", "foo"},     {"_Z3foov.isra.0.cold", "foo"},
		{"_Z3foov.part.12", "foo"},         {"_Z3foov.cold", "foo"},
		{"_Z3foov.lto_priv.3", "foo"},      {"_Z3foov.llvm.7893", "foo"},
		{"_Z3foov.__uniq.123.cold", "foo"}, {"_Z3foov@@GLIBCXX_3.4", "foo"},
	};
	expect_all(pairs, ARRAY_LENGTH(pairs));
	cr_expect_eq(demangle_base_length("compute.constprop.0"), strlen("compute"));
	cr_expect_eq(demangle_base_length("compute.isra.0.cold"), strlen("compute"));
	cr_expect_eq(demangle_base_length("memcpy@@GLIBC_2.14"), strlen("memcpy"));
	cr_expect_eq(demangle_base_length("memcpy@GLIBC_2.2.5"), strlen("memcpy"));
	/* What only looks like one belongs to the name. */
	cr_expect_eq(demangle_base_length("nested.1234"), strlen("nested.1234"));
	cr_expect_eq(demangle_base_length("main.main"), strlen("main.main"));
	cr_expect_eq(demangle_base_length("a.cold.storage"), strlen("a.cold.storage"));
	cr_expect_eq(demangle_base_length(".cold"), strlen(".cold"));
	cr_expect_eq(demangle_base_length(""), 0);
}

Test(demangle, leaves_other_names_alone)
{
	static const char *const names[] = {"main",   "",      "_",        "_Z",  "_R",  "_start",
					    "Z3foov", "_Zzzz", "foo::bar", "_ZN", "_RNv"};
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		cr_expect_null(demangled(names[i]), "%s", names[i]);
}

/* "S1_" for 2, "SZ_" for 36: names what was seen before, in base 36. */
static void append_substitution(char *name, int number)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char text[8];
	int id = number - 1;
	if (id < 36)
		snprintf(text, sizeof(text), "S%c_", digits[id]);
	else
		snprintf(text, sizeof(text), "S%c%c_", digits[id / 36], digits[id % 36]);
	strcat(name, text);
}

/* f<A, pair<A, A>, pair<B, B>, ...> with B the one before: each doubles the text. */
static void make_explosive(char *name, int doublings)
{
	strcpy(name, "_Z1fISt4pairIiiE");
	for (int i = 0; i < doublings; i++) {
		strcat(name, "S0_I");
		append_substitution(name, i + 2);
		append_substitution(name, i + 2);
		strcat(name, "E");
	}
	strcat(name, "Evv");
}

Test(demangle, gives_up_on_a_name_that_explodes, .timeout = 20)
{
	char name[2048];
	make_explosive(name, 2);
	cr_expect_str_eq(demangled(name),
			 "f<std::pair<int, int>, std::pair<std::pair<int, int>, std::pair<int, int> >, "
			 "std::pair<std::pair<std::pair<int, int>, std::pair<int, int> >, "
			 "std::pair<std::pair<int, int>, std::pair<int, int> > > >");
	make_explosive(name, 60);
	cr_expect_null(demangled(name), "2^60 characters");
}

Test(demangle, survives_cut_and_damaged_names)
{
	static const char *const names[] = {
		"_ZNSt6vectorINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESaIS5_EE9push_backERKS5_",
		"_RNvXs_Cs4fqI2P2rA04_7mycrateNtB4_3FooNtB4_5Trait3foo",
		"_ZZ3fooiENKUlvE_clEv",
	};
	char text[DEMANGLE_MAX];
	unsigned seed = 1;
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		for (int round = 0; round < 20000; round++) {
			char name[128];
			strcpy(name, names[i]);
			size_t length = strlen(name);
			name[2 + (size_t)rand_r(&seed) % (length - 2)] = (char)(rand_r(&seed) % 127 + 1);
			name[length - (size_t)rand_r(&seed) % 8] = '\0';
			size_t result = demangle(name, text);
			cr_assert_lt(result, DEMANGLE_MAX);
		}
}
