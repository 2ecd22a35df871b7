/* SPDX-License-Identifier: MIT */
/*
 * The body of heap_sites*.cc, which are built against different allocators.
 *
 * Allocates by every call that there is, each from a function of its own, and
 * prints for each the truth:
 *
 *     SITE alloc_objects alloc_bytes inuse_objects inuse_bytes
 *
 * as the sizes asked for, in use as of the end of main; -1 where libc decides.
 *
 * Context: test program.
 */
#ifndef HEAP_SITES_H
#define HEAP_SITES_H

#include "victim.h"

#include <malloc.h>
#include <new>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef WITH_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

#define SITE(name) VICTIM_C FRAME void name(struct book *b)

struct book {
	const char *site;
	void (*run)(struct book *);
	long alloc_objects, alloc_bytes, inuse_objects, inuse_bytes;
};

static void took(struct book *b, size_t bytes)
{
	b->alloc_objects++;
	b->alloc_bytes += (long)bytes;
	b->inuse_objects++;
	b->inuse_bytes += (long)bytes;
}

static void gave(struct book *b, size_t bytes)
{
	b->inuse_objects--;
	b->inuse_bytes -= (long)bytes;
}

/* Keeps what the compiler could otherwise elide, and stays reachable. */
static void *volatile kept[200000];
static int kept_count;
static void keep(void *p) { kept[kept_count++] = p; }

/* A block of each odd size that matters: none, tiny, page, large, mapped. */
static const size_t sizes[] = {1, 7, 8, 16, 24, 64, 100, 1000, 4095, 4096, 4097, 65536, 131072, 1000000};
#define SIZE_COUNT (sizeof sizes / sizeof *sizes)

SITE(site_malloc)
{
	for (int round = 0; round < 20; round++)
		for (size_t i = 0; i < SIZE_COUNT; i++) {
			void *p = malloc(sizes[i]);
			took(b, sizes[i]);
			if ((i + (size_t)round) % 3 == 0) {
				free(p);
				gave(b, sizes[i]);
			} else
				keep(p);
		}
}

SITE(site_malloc_zero)
{
	for (int i = 0; i < 10; i++) {
		void *p = malloc(0);
		if (!p)
			continue;
		took(b, 0);
		keep(p);
	}
}

SITE(site_calloc)
{
	for (int i = 0; i < 50; i++) {
		void *p = calloc((size_t)i + 1, 24);
		took(b, ((size_t)i + 1) * 24);
		if (i % 2) {
			free(p);
			gave(b, ((size_t)i + 1) * 24);
		} else
			keep(p);
	}
	volatile size_t huge = SIZE_MAX / 2;
	if (calloc(huge, 4))
		abort();
}

SITE(site_realloc_null)
{
	for (int i = 0; i < 10; i++) {
		keep(realloc(NULL, 333));
		took(b, 333);
	}
}

SITE(site_realloc_from) /* allocates what site_realloc_grow moves on */
{
	for (int i = 0; i < 10; i++) {
		keep(malloc(50));
		took(b, 50);
	}
}

SITE(site_realloc_grow)
{
	/* The blocks of site_realloc_from, all of them. */
	struct book *from = b - 1;
	for (int i = 0; i < 10; i++) {
		kept[kept_count - 10 + i] = realloc(kept[kept_count - 10 + i], 5000);
		gave(from, 50);
		took(b, 5000);
	}
}

SITE(site_realloc_chain)
{
	void *p = NULL;
	size_t size = 0;
	for (int i = 0; i < 200; i++) {
		const size_t next = size + 1 + (size_t)i * 97;
		p = realloc(p, next);
		if (size)
			gave(b, size);
		took(b, next);
		size = next;
	}
	keep(p);
}

SITE(site_realloc_shrink)
{
	for (int i = 0; i < 10; i++) {
		void *p = malloc(9000);
		took(b, 9000);
		p = realloc(p, 90);
		gave(b, 9000);
		took(b, 90);
		keep(p);
	}
}

SITE(site_realloc_same)
{
	for (int i = 0; i < 10; i++) {
		void *p = malloc(640);
		took(b, 640);
		p = realloc(p, 640);
		gave(b, 640);
		took(b, 640);
		keep(p);
	}
}

SITE(site_realloc_mapped) /* mremap inside */
{
	void *p = malloc(1 << 20);
	took(b, 1 << 20);
	for (size_t size = 2 << 20; size <= (size_t)64 << 20; size *= 2) {
		p = realloc(p, size);
		gave(b, size / 2);
		took(b, size);
	}
	keep(p);
}

SITE(site_realloc_fail)
{
	for (int i = 0; i < 10; i++) {
		void *p = malloc(77);
		took(b, 77);
		volatile size_t huge = (size_t)PTRDIFF_MAX - 4096;
		if (realloc(p, huge))
			abort();
		keep(p);
	}
}

SITE(site_realloc_zero)
{
	for (int i = 0; i < 10; i++) {
		void *p = malloc(88);
		took(b, 88);
		volatile size_t none = 0;
		void *q = realloc(p, none);
		gave(b, 88);
		if (q) { /* the allocator's choice */
			took(b, 0);
			keep(q);
		}
	}
}

SITE(site_reallocarray)
{
	for (int i = 0; i < 10; i++) {
		void *p = reallocarray(NULL, 10, 8);
		took(b, 80);
		p = reallocarray(p, 100, 8);
		gave(b, 80);
		took(b, 800);
		volatile size_t huge = SIZE_MAX / 2;
		if (reallocarray(p, huge, 8))
			abort();
		keep(p);
	}
}

SITE(site_posix_memalign)
{
	void *p;
	for (size_t alignment = 8; alignment <= 65536; alignment *= 2) {
		if (posix_memalign(&p, alignment, 300) || (uintptr_t)p % alignment)
			abort();
		took(b, 300);
		if (alignment % 3 == 2) {
			free(p);
			gave(b, 300);
		} else
			keep(p);
	}
	if (!posix_memalign(&p, 3, 300))
		abort();
}

SITE(site_aligned_alloc)
{
	for (size_t alignment = 16; alignment <= 4096; alignment *= 2) {
		keep(aligned_alloc(alignment, alignment * 3));
		took(b, alignment * 3);
	}
}

SITE(site_memalign)
{
	for (int i = 0; i < 10; i++) {
		keep(memalign(64, 130));
		took(b, 130);
	}
}

SITE(site_valloc)
{
	for (int i = 0; i < 10; i++) {
		keep(valloc(5000));
		took(b, 5000);
	}
}

SITE(site_pvalloc) /* rounds up to pages by itself: what is asked for is what is written down */
{
	for (int i = 0; i < 10; i++) {
		keep(pvalloc(8192));
		took(b, 8192);
	}
}

SITE(site_strdup)
{
	for (int i = 0; i < 100; i++) {
		char *p = strdup("a string of twenty-seven byte");
		took(b, sizeof "a string of twenty-seven byte");
		if (i % 4 == 0) {
			free(p);
			gave(b, sizeof "a string of twenty-seven byte");
		} else
			keep(p);
	}
}

SITE(site_asprintf) /* the final block is exact: libc shrinks it to fit; what it did before is its affair */
{
	char *text;
	if (asprintf(&text, "%0500d", 7) != 500)
		abort();
	keep(text);
	b->alloc_objects = b->alloc_bytes = -1;
	b->inuse_objects = 1;
	b->inuse_bytes = 501;
}

SITE(site_getline) /* in use: the buffer's size as getline itself says */
{
	char text[3000];
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\n';
	char *line = NULL;
	size_t capacity = 0;
	int ends[2];
	if (pipe(ends) || write(ends[1], text, sizeof text) != sizeof text)
		abort();
	close(ends[1]);
	FILE *in = fdopen(ends[0], "r");
	setvbuf(in, NULL, _IONBF, 0);
	if (getline(&line, &capacity, in) != (ssize_t)sizeof text)
		abort();
	fclose(in);
	keep(line);
	b->alloc_objects = b->alloc_bytes = -1;
	b->inuse_objects = 1;
	b->inuse_bytes = (long)capacity;
}

SITE(site_fopen) /* at least the buffer; all of it given back */
{
	FILE *in = fopen("/proc/self/status", "r");
	if (!in || fgetc(in) == EOF)
		abort();
	fclose(in);
	b->alloc_objects = b->alloc_bytes = -1;
}

/* ---- C++ ---- */

struct alignas(128) wide { char c[256]; };
struct with_destructor { ~with_destructor() { kept[199999] = this; } long x; };

SITE(site_new)
{
	for (int i = 0; i < 100; i++) {
		int *volatile p = new int(i);
		took(b, sizeof(int));
		if (i % 2) {
			delete p;
			gave(b, sizeof(int));
		} else
			keep(p);
	}
}

SITE(site_new_array)
{
	for (int i = 1; i <= 50; i++) {
		char *volatile p = new char[i];
		took(b, (size_t)i);
		if (i % 5 == 0) {
			delete[] p;
			gave(b, (size_t)i);
		} else
			keep(p);
	}
	with_destructor *volatile cookie = new with_destructor[10];
	took(b, 10 * sizeof(with_destructor) + sizeof(size_t));
	delete[] cookie;
	gave(b, 10 * sizeof(with_destructor) + sizeof(size_t));
}

SITE(site_new_nothrow)
{
	for (int i = 0; i < 20; i++) {
		void *p = operator new(200, std::nothrow);
		took(b, 200);
		void *q = operator new[](201, std::nothrow);
		took(b, 201);
		keep(p);
		if (i % 2) {
			operator delete[](q, std::nothrow);
			gave(b, 201);
		} else
			keep(q);
	}
}

SITE(site_new_throws) /* the exception itself is allocated by the runtime */
{
	volatile size_t huge = (size_t)PTRDIFF_MAX - 4096;
	int caught = 0;
	try {
		keep(operator new(huge));
	} catch (const std::bad_alloc &) {
		caught = 1;
	}
	if (!caught)
		abort();
	if (operator new(huge, std::nothrow))
		abort();
	b->alloc_objects = b->alloc_bytes = -1;
}

SITE(site_new_aligned)
{
	for (int i = 0; i < 20; i++) {
		wide *volatile p = new wide;
		took(b, sizeof(wide));
		wide *volatile q = new wide[3];
		took(b, 3 * sizeof(wide));
		void *r = operator new(512, std::align_val_t(64), std::nothrow);
		took(b, 512);
		if ((uintptr_t)p % 128 || (uintptr_t)q % 128 || (uintptr_t)r % 64)
			abort();
		delete p;
		gave(b, sizeof(wide));
		if (i % 2) {
			delete[] q;
			gave(b, 3 * sizeof(wide));
			operator delete(r, std::align_val_t(64), std::nothrow);
			gave(b, 512);
		} else {
			keep(q);
			keep(r);
		}
	}
}

SITE(site_delete_sized)
{
	for (int i = 0; i < 20; i++) {
		void *p = operator new(40);
		void *q = operator new[](41);
		void *r = operator new(160, std::align_val_t(32));
		void *s = operator new[](192, std::align_val_t(64));
		took(b, 40);
		took(b, 41);
		took(b, 160);
		took(b, 192);
		if (i % 2) {
			operator delete(p, (size_t)40);
			operator delete[](q, (size_t)41);
			operator delete(r, (size_t)160, std::align_val_t(32));
			operator delete[](s, (size_t)192, std::align_val_t(64));
			gave(b, 40);
			gave(b, 41);
			gave(b, 160);
			gave(b, 192);
		} else {
			keep(p);
			keep(q);
			keep(r);
			keep(s);
		}
	}
}

/* ---- threads ---- */

#define PASSED 1000
static void *volatile passed[PASSED];

static void *free_passed(void *)
{
	for (int i = 0; i < PASSED; i += 3)
		free(passed[i]);
	return NULL;
}

SITE(site_freed_elsewhere)
{
	for (int i = 0; i < PASSED; i++) {
		passed[i] = malloc((size_t)i + 1);
		took(b, (size_t)i + 1);
	}
}

static void freed_elsewhere_book(struct book *b) /* pthread_create allocates too: not in the site */
{
	site_freed_elsewhere(b);
	pthread_t thread;
	pthread_create(&thread, NULL, free_passed, NULL);
	pthread_join(thread, NULL);
	for (int i = 0; i < PASSED; i += 3)
		gave(b, (size_t)i + 1);
}

static void *volatile left[8][100];

VICTIM_C FRAME void *thread_leaves(void *argument)
{
	for (int i = 0; i < 100; i++)
		left[(intptr_t)argument][i] = malloc(123);
	return NULL;
}

static void thread_leaves_book(struct book *b) /* allocated in threads that have ended, half freed here */
{
	pthread_t threads[8];
	for (intptr_t t = 0; t < 8; t++)
		pthread_create(&threads[t], NULL, thread_leaves, (void *)t);
	for (int t = 0; t < 8; t++)
		pthread_join(threads[t], NULL);
	for (int t = 0; t < 8; t++)
		for (int i = 0; i < 100; i++) {
			took(b, 123);
			if (i % 2) {
				free(left[t][i]);
				gave(b, 123);
			}
		}
}

/* Four threads trade blocks through shared places: freed by whoever comes by. */
#define PLACES 64
#define TRADES 20000
static void *places[PLACES];

VICTIM_C FRAME void *thread_trades(void *argument)
{
	uint64_t state = (uint64_t)(intptr_t)argument * 7919 + 1;
	for (int i = 0; i < TRADES; i++) {
		void *mine = malloc(48);
		free(__atomic_exchange_n(&places[random_next(&state) % PLACES], mine, __ATOMIC_ACQ_REL));
	}
	return NULL;
}

static void thread_trades_book(struct book *b)
{
	pthread_t threads[4];
	for (intptr_t t = 0; t < 4; t++)
		pthread_create(&threads[t], NULL, thread_trades, (void *)(t + 1));
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	b->alloc_objects = 4 * TRADES;
	b->alloc_bytes = 4 * TRADES * 48;
	for (int i = 0; i < PLACES; i++)
		if (places[i]) {
			b->inuse_objects++;
			b->inuse_bytes += 48;
		}
}

/* realloc moves a block while other threads are after the old address. */
VICTIM_C FRAME void *thread_moves(void *argument)
{
	uint64_t state = (uint64_t)(intptr_t)argument * 104729 + 1;
	void *mine = NULL;
	for (int i = 0; i < TRADES; i++)
		mine = realloc(mine, 1 + random_next(&state) % 3000);
	mine = realloc(mine, 1000);
	left[(intptr_t)argument - 1][0] = mine;
	return NULL;
}

static void thread_moves_book(struct book *b)
{
	pthread_t threads[4];
	for (intptr_t t = 0; t < 4; t++)
		pthread_create(&threads[t], NULL, thread_moves, (void *)(t + 1));
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	b->alloc_objects = 4 * (TRADES + 1);
	b->alloc_bytes = -1;
	b->inuse_objects = 4;
	b->inuse_bytes = 4000;
}

#ifdef WITH_JEMALLOC
SITE(site_mallocx)
{
	for (int i = 0; i < 20; i++) {
		void *p = mallocx(260, MALLOCX_ALIGN(64));
		took(b, 260);
		if (i % 4 == 0) {
			dallocx(p, MALLOCX_ALIGN(64));
			gave(b, 260);
		} else if (i % 4 == 1) {
			sdallocx(p, 260, MALLOCX_ALIGN(64));
			gave(b, 260);
		} else
			keep(p);
	}
}

SITE(site_rallocx)
{
	for (int i = 0; i < 20; i++) {
		void *p = mallocx(100, 0);
		took(b, 100);
		p = rallocx(p, 7000, 0);
		gave(b, 100);
		took(b, 7000);
		keep(p);
	}
}

SITE(site_xallocx) /* in use only: a resize in place */
{
	for (int i = 0; i < 20; i++) {
		void *p = mallocx(1 << 20, 0);
		size_t size = 1 << 20;
		if (xallocx(p, 900000, 0, 0) < 1 << 20)
			size = 900000;
		b->inuse_objects++;
		b->inuse_bytes += (long)size;
		keep(p);
	}
	b->alloc_objects = b->alloc_bytes = -1;
}
#endif

#define BOOK(site) {#site, site, 0, 0, 0, 0}
struct book books[] = {
	BOOK(site_malloc), BOOK(site_malloc_zero), BOOK(site_calloc),
	BOOK(site_realloc_null), BOOK(site_realloc_from), BOOK(site_realloc_grow), BOOK(site_realloc_chain),
	BOOK(site_realloc_shrink), BOOK(site_realloc_same), BOOK(site_realloc_mapped), BOOK(site_realloc_fail),
	BOOK(site_realloc_zero), BOOK(site_reallocarray),
	BOOK(site_posix_memalign), BOOK(site_aligned_alloc), BOOK(site_memalign), BOOK(site_valloc), BOOK(site_pvalloc),
	BOOK(site_strdup), BOOK(site_asprintf), BOOK(site_getline), BOOK(site_fopen),
	BOOK(site_new), BOOK(site_new_array), BOOK(site_new_nothrow), BOOK(site_new_throws), BOOK(site_new_aligned),
	BOOK(site_delete_sized), {"site_freed_elsewhere", freed_elsewhere_book, 0, 0, 0, 0},
	{"thread_leaves", thread_leaves_book, 0, 0, 0, 0},
	{"thread_trades", thread_trades_book, 0, 0, 0, 0},
	{"thread_moves", thread_moves_book, 0, 0, 0, 0},
#ifdef WITH_JEMALLOC
	BOOK(site_mallocx), BOOK(site_rallocx), BOOK(site_xallocx),
#endif
};

int main()
{
	for (struct book &b : books)
		b.run(&b);
	for (const struct book &b : books)
		dprintf(1, "%s %ld %ld %ld %ld\n", b.site, b.alloc_objects, b.alloc_bytes, b.inuse_objects, b.inuse_bytes);
	return 0;
}

#endif
