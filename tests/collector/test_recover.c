/* SPDX-License-Identifier: MIT */
/*
 * Kept segments: whole ones give exact profiles and stay as they were; any other file
 * is refused in one line, or gives valid profiles, but never a crash.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "fake_segment.h"
#include "fixture.h"
#include "image.h"
#include "log.h"
#include "profile.pb-c.h"
#include "recover.h"

#define ONE CPROF_WEIGHT_ONE

static char path[80]; /* of the segment file, in the scratch directory */
static struct recovered recovered;

static void prepare(void)
{
	fixture_begin();
	snprintf(path, sizeof path, "%s/.fake.1.cprof", fixture_dir);
	log_open(fixture_pipe(), LOG_LEVEL_WARN);
}

static void clean(void)
{
	image_close_all();
	fixture_end();
}

TestSuite(recover, .init = prepare, .fini = clean);

static bool is_one_line(const char *text)
{
	const char *end = strchr(text, '\n');
	return end && end[1] == '\0' && strncmp(text, "cprof: ", 7) == 0;
}

static size_t profiles_in_dir(void)
{
	size_t count = 0;
	DIR *list = opendir(fixture_dir);
	struct dirent *entry;
	while (list && (entry = readdir(list)))
		count += strstr(entry->d_name, ".pb.gz") != NULL;
	closedir(list);
	return count;
}

/* Decodes a profile; the sum of each of its values. */
static size_t sums_of(const char *file, int64_t out_sums[PROFILE_VALUES_MAX])
{
	static unsigned char bytes[1 << 20];
	char full[400];
	snprintf(full, sizeof full, "%s/%s", fixture_dir, file);
	gzFile gz = gzopen(full, "rb");
	cr_assert(gz, "%s", full);
	int size = gzread(gz, bytes, sizeof bytes);
	gzclose(gz);
	cr_assert_gt(size, 0);
	Perftools__Profiles__Profile *profile = perftools__profiles__profile__unpack(NULL, (size_t)size,
										     bytes);
	cr_assert(profile, "%s is no profile", full);
	memset(out_sums, 0, PROFILE_VALUES_MAX * sizeof *out_sums);
	for (size_t i = 0; i < profile->n_sample; i++)
		for (size_t v = 0; v < profile->sample[i]->n_value && v < PROFILE_VALUES_MAX; v++)
			out_sums[v] =
				(int64_t)((uint64_t)out_sums[v] + (uint64_t)profile->sample[i]->value[v]);
	size_t samples = profile->n_sample;
	perftools__profiles__profile__free_unpacked(profile, NULL);
	return samples;
}

/* A process that died with records in its ring and a half done batch in its journal. */
static void make_segment(void)
{
	struct fake_segment fake;
	fake_segment_create_file(&fake, path, CPROF_SEGMENT_BYTES_MIN);
	uint32_t slot = fake_thread_start(&fake);
	uint32_t stack = fake_leaf(&fake, 0x1000);
	fake_module(&fake, 0, "/nonexistent/program", 0x400000);
	for (int i = 0; i < 600; i++)
		fake_record(&fake, slot, stack, CPROF_KIND_ALLOC, ONE, 100);
	for (uint64_t i = 0; i < 60; i++)
		fake_live_add(&fake, 0x7000 + 16 * i, stack, ONE, 100);
	/* A batch that moved the first ten records, interrupted after its journal was complete. */
	struct cprof_journal *journal = fake_journal(&fake);
	for (uint32_t b = 0; b < fake.geometry.totals.bucket_count; b++)
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++)
			if (load_relaxed(&fake_total_bucket(&fake, b)->key[i]))
				journal->entries[0] = (struct cprof_journal_entry){b, i, 10 * ONE, 1000};
	journal->entry_count = 1;
	journal->thread = slot;
	journal->tail = 10;
	store_release(&journal->state, 1);
	fake_segment_destroy(&fake);
}

static unsigned char *contents(size_t *out_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	cr_assert_eq(fstat(fd, &st), 0);
	unsigned char *bytes = malloc((size_t)st.st_size + 1);
	cr_assert_eq(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	*out_size = (size_t)st.st_size;
	return bytes;
}

Test(recover, finds_everything_and_changes_nothing)
{
	make_segment();
	size_t size_before;
	size_t size_after;
	unsigned char *before = contents(&size_before);
	cr_assert_eq(recover_file(path, fixture_dir, &recovered), 0, "%s", fixture_said());
	cr_expect_str_eq(recovered.name, "fake");
	cr_expect_eq(recovered.pid, (uint32_t)getpid());
	int64_t sums[PROFILE_VALUES_MAX];
	cr_expect_eq(sums_of(recovered.files[PROFILE_HEAP], sums), 1);
	const int64_t truth[] = {600, 60000, 60, 6000};
	cr_expect_arr_eq(sums, truth, sizeof truth);
	cr_expect_eq(sums_of(recovered.files[PROFILE_CPU], sums), 0);
	unsigned char *after = contents(&size_after);
	cr_expect_eq(size_before, size_after);
	cr_expect_eq(memcmp(before, after, size_before), 0);
	cr_expect_str_empty(fixture_said());
	free(before);
	free(after);
}

Test(recover, finds_every_kind)
{
	static const struct {
		enum cprof_kind recorded;
		enum profile_kind shown;
		int64_t sums[PROFILE_VALUES_MAX];
	} kinds[] = {
		{CPROF_KIND_BLOCK, PROFILE_BLOCK, {3, 3000}},
		{CPROF_KIND_MUTEX, PROFILE_MUTEX, {3, 6000}},
		{CPROF_KIND_THREADCREATE, PROFILE_THREADCREATE, {3}},
	};
	struct fake_segment fake;
	fake_segment_create_file(&fake, path, CPROF_SEGMENT_BYTES_MIN);
	uint32_t slot = fake_thread_start(&fake);
	for (uint64_t i = 0; i < 9; i++)
		fake_record(&fake, slot, fake_leaf(&fake, i), kinds[i % 3].recorded, ONE,
			    (uint64_t)kinds[i % 3].sums[1] / 3);
	fake_segment_destroy(&fake);
	cr_assert_eq(recover_file(path, fixture_dir, &recovered), 0, "%s", fixture_said());
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		int64_t sums[PROFILE_VALUES_MAX];
		cr_assert(recovered.files[kinds[i].shown][0], "kind %d", kinds[i].shown);
		cr_expect_eq(sums_of(recovered.files[kinds[i].shown], sums), 3);
		cr_expect_arr_eq(sums, kinds[i].sums, sizeof sums);
	}
	cr_expect_eq(profiles_in_dir(), 5);
}

Test(recover, writes_under_a_new_name_each_time)
{
	make_segment();
	struct recovered again;
	cr_assert_eq(recover_file(path, fixture_dir, &recovered), 0);
	cr_assert_eq(recover_file(path, fixture_dir, &again), 0);
	cr_expect_str_neq(recovered.files[PROFILE_HEAP], again.files[PROFILE_HEAP]);
	cr_expect_eq(profiles_in_dir(), 4);
}

static void expect_refused(const char *what, const char *reason)
{
	cr_expect_eq(recover_file(path, fixture_dir, &recovered), -EINVAL, "%s", what);
	const char *text = fixture_said();
	cr_expect(is_one_line(text), "%s: %s", what, text);
	cr_expect(strstr(text, reason), "%s: %s", what, text);
	cr_expect(strstr(text, path), "%s: %s", what, text);
	cr_expect_eq(profiles_in_dir(), 0, "%s", what);
}

static void patch(uint64_t offset, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
	close(fd);
}

Test(recover, says_what_is_wrong_with_a_file)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	expect_refused("empty", "it is empty");
	patch(0, "rubbish", 7);
	expect_refused("rubbish", "not a segment");
	const uint64_t magic = CPROF_MAGIC;
	patch(0, &magic, sizeof magic);
	expect_refused("magic only", "cut off");
	unlink(path);
	make_segment();
	const uint32_t version = CPROF_SHM_VERSION + 1;
	patch(offsetof(struct cprof_control, version), &version, sizeof version);
	expect_refused("other version", "another version");
	unlink(path);
	make_segment();
	const uint32_t many = UINT32_MAX;
	patch(offsetof(struct cprof_control, threads_used), &many, sizeof many);
	expect_refused("threads", "damaged");
	unlink(path);
	cr_assert_eq(mkdir(path, 0700), 0);
	expect_refused("directory", "regular file");
	rmdir(path);
	cr_expect_eq(recover_file(path, fixture_dir, &recovered), -ENOENT);
	cr_expect(is_one_line(fixture_said()));
}

Test(recover, refuses_a_file_that_was_cut_anywhere)
{
	make_segment();
	for (off_t size = CPROF_SEGMENT_BYTES_MIN - 1; size > 0; size -= 60001) {
		cr_assert_eq(truncate(path, size), 0);
		expect_refused("cut", "cut off");
	}
	/* Also at a size that a smaller segment would have. */
	unlink(path);
	struct fake_segment fake;
	fake_segment_create_file(&fake, path, 2 * CPROF_SEGMENT_BYTES_MIN);
	fake_segment_destroy(&fake);
	cr_assert_eq(truncate(path, CPROF_SEGMENT_BYTES_MIN), 0);
	expect_refused("cut in half", "cut off");
}

Test(recover, says_that_the_directory_cannot_be_written)
{
	make_segment();
	cr_expect_lt(recover_file(path, "/proc/self/nowhere", &recovered), 0);
	cr_expect(is_one_line(fixture_said()));
}

Test(recover, survives_any_bytes, .timeout = 300)
{
	uint64_t state = 1;
	for (int round = 0; round < 150; round++) {
		size_t size;
		make_segment();
		unsigned char *bytes = contents(&size);
		for (int i = 0; i < 400; i++) {
			state = cprof_mix64(state + 1);
			size_t at = state % (size / 8) * 8;
			/* The header would be refused at once: leave it alone most of the time. */
			if (at < offsetof(struct cprof_control, cpu_hz) && round % 10)
				continue;
			uint64_t word = state % 3 ? cprof_mix64(state) : UINT64_MAX;
			memcpy(bytes + at, &word, sizeof word);
		}
		patch(0, bytes, size);
		free(bytes);
		int error = recover_file(path, fixture_dir, &recovered);
		const char *text = fixture_said();
		if (error) {
			cr_expect(is_one_line(text), "round %d: %s", round, text);
			cr_expect_eq(profiles_in_dir(), 0);
		} else {
			int64_t sums[PROFILE_VALUES_MAX];
			for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++)
				if (recovered.files[kind][0])
					sums_of(recovered.files[kind], sums);
		}
		DIR *list = opendir(fixture_dir);
		struct dirent *entry;
		while ((entry = readdir(list)))
			unlinkat(dirfd(list), entry->d_name, 0);
		closedir(list);
	}
}
