/* SPDX-License-Identifier: MIT */
/*
 * Answers that are kept on disk: they come back as they were, and whatever else lies
 * there is as good as nothing.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "answer_store.h"
#include "fixture.h"
#include "image_probe.h"

#define ANSWERS 300u
#define NAME "0102030405060708.answers"

static const uint8_t build_id[8] = {1, 2, 3, 4, 5, 6, 7, 8};
static int dir_fd;

static void begin(void)
{
	fixture_begin();
	dir_fd = open(fixture_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(dir_fd, 0);
}

static void end(void)
{
	close(dir_fd);
	image_probe_end();
}

TestSuite(answer_store, .init = begin, .fini = end);

/* Answer i has i % 4 lines; all names of one set begin with its letter. */
static int write_set(char letter)
{
	static struct answer answer[ANSWERS];
	static struct image_line lines[ANSWERS * 3];
	static char names[ANSWERS * 3][16];
	struct answers set = {.answers = answer, .lines = lines, .answer_count = ANSWERS};
	for (uint32_t i = 0; i < ANSWERS; i++) {
		answer[i] = (struct answer){
			.address = 4096 + 16 * (i * 7 % ANSWERS), .first = set.line_count, .count = i % 4};
		for (uint32_t k = 0; k < i % 4; k++, set.line_count++) {
			snprintf(names[set.line_count], sizeof names[0], "%c%u", letter, set.line_count);
			lines[set.line_count] = (struct image_line){.name = names[set.line_count],
								    .system_name = "_Z1f",
								    .file = k ? "/a.c" : NULL,
								    .line = i,
								    .column = k,
								    .start_line = 5};
		}
	}
	return answer_store_write(dir_fd, build_id, sizeof build_id, &set);
}

static void free_set(struct answers *set)
{
	free(set->answers);
	free(set->lines);
	free(set->memory);
}

/* The letter of a whole set; 0 if it is not one. */
static char letter_of(const struct answers *set)
{
	char letter = set->line_count ? set->lines[0].name[0] : 0, name[16];
	if (set->answer_count != ANSWERS)
		return 0;
	for (uint32_t i = 0; i < ANSWERS; i++) {
		const struct answer *answer = &set->answers[i];
		if (answer->address != 4096 + 16 * (i * 7 % ANSWERS) || answer->count != i % 4)
			return 0;
		for (uint32_t k = 0; k < answer->count; k++) {
			const struct image_line *line = &set->lines[answer->first + k];
			snprintf(name, sizeof name, "%c%u", letter, answer->first + k);
			if (strcmp(line->name, name) || strcmp(line->system_name, "_Z1f") ||
			    line->line != i || line->column != k || line->start_line != 5 ||
			    !line->file != !k || (k && strcmp(line->file, "/a.c")))
				return 0;
		}
	}
	return letter;
}

static char read_set(void)
{
	struct answers set;
	if (answer_store_read(dir_fd, build_id, sizeof build_id, &set))
		return 0;
	char letter = letter_of(&set);
	free_set(&set);
	return letter;
}

Test(answer_store, answers_come_back_as_they_were)
{
	cr_assert_eq(write_set('a'), 0);
	cr_assert_eq(read_set(), 'a');
	cr_assert_eq(write_set('b'), 0);
	cr_assert_eq(read_set(), 'b');
}

Test(answer_store, nothing_is_known_of_other_build_ids)
{
	struct answers set;
	uint8_t other[8] = {1, 2, 3, 4, 5, 6, 7, 9};
	cr_assert_eq(write_set('a'), 0);
	cr_assert_eq(answer_store_read(dir_fd, other, sizeof other, &set), -ENOENT);
	/* Nor under another's name. */
	fixture_run("cp " NAME " 0102030405060709.answers");
	cr_assert_eq(answer_store_read(dir_fd, other, sizeof other, &set), -EBADMSG);
	cr_assert_eq(answer_store_read(dir_fd, other, 0, &set), -EINVAL);
	cr_assert_eq(answer_store_write(dir_fd, other, 33, &set), -EINVAL);
}

Test(answer_store, a_damaged_file_is_as_good_as_none_and_is_replaced)
{
	char whole[1 << 16];
	struct answers set;
	cr_assert_eq(write_set('a'), 0);
	int fd = openat(dir_fd, NAME, O_RDWR | O_CLOEXEC);
	ssize_t size = read(fd, whole, sizeof whole);
	cr_assert_gt(size, 1000);
	for (ssize_t at = 0; at < size; at += at < 400 ? 1 : 37) {
		char byte = (char)(whole[at] ^ (1 << at % 8));
		cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
		int error = answer_store_read(dir_fd, build_id, sizeof build_id, &set);
		/* The last word of the header means nothing. */
		cr_assert(error == -EBADMSG || (at >= 84 && at < 88), "byte %zd: %d", at, error);
		if (!error)
			free_set(&set);
		cr_assert_eq(pwrite(fd, &whole[at], 1, at), 1);
	}
	for (ssize_t length = size; length >= 0; length -= 97) {
		cr_assert_eq(ftruncate(fd, length), 0);
		int error = answer_store_read(dir_fd, build_id, sizeof build_id, &set);
		cr_assert_eq(error == 0, length == size, "%zd bytes: %d", length, error);
		if (!error)
			free_set(&set);
	}
	close(fd);
	cr_assert_eq(write_set('b'), 0);
	cr_assert_eq(read_set(), 'b');
}

Test(answer_store, what_is_no_file_of_ours_is_not_opened)
{
	cr_assert_eq(write_set('a'), 0);
	fixture_run("mv " NAME " elsewhere && ln -s elsewhere " NAME);
	cr_assert_eq(read_set(), 0);
	fixture_run("rm " NAME " && mkfifo " NAME);
	cr_assert_eq(read_set(), 0);
	fixture_run("rm " NAME " && mkdir " NAME);
	cr_assert_eq(read_set(), 0);
	cr_assert_neq(write_set('b'), 0);
}

Test(answer_store, readers_and_writers_at_once_meet_whole_files_only)
{
	int status, wrong = 0;
	cr_assert_eq(write_set('a'), 0);
	for (char letter = 'a'; letter < 'e'; letter++)
		if (fork() == 0) {
			for (int i = 0; i < 150; i++) {
				char found = 0;
				if (letter < 'c' ? write_set(letter) != 0
						 : (found = read_set(), found != 'a' && found != 'b'))
					_exit(1);
			}
			_exit(0);
		}
	while (wait(&status) > 0)
		wrong += status != 0;
	cr_assert_eq(wrong, 0);
	fixture_run("test \"$(ls -A)\" = " NAME);
}

Test(answer_store, those_used_longest_ago_make_room)
{
	fixture_run("for n in 1 2 3 4; do head -c 1000 /dev/zero >$n.answers; touch -d \"2020-01-0$n\" "
		    "$n.answers; done;"
		    "touch -d 2021-01-01 2.answers");
	answer_store_trim(dir_fd, 2500);
	cr_assert_str_eq(fixture_run("echo *"), "2.answers 4.answers\n");
	answer_store_trim(dir_fd, 2000);
	cr_assert_str_eq(fixture_run("echo *"), "2.answers 4.answers\n");
}

Test(answer_store, the_directory_is_this_users_alone)
{
	char home[80];
	struct stat status;
	int fd = answer_store_open(NULL, fixture_dir);
	cr_assert_geq(fd, 0);
	close(fd);
	snprintf(home, sizeof home, "%s/.cache/cprof", fixture_dir);
	cr_assert_eq(stat(home, &status), 0);
	cr_assert_eq(status.st_mode & 0777, 0700);
	fd = answer_store_open(fixture_path("xdg"), fixture_dir);
	cr_assert_lt(fd, 0); /* it is not made */
	cr_assert_eq(mkdir(fixture_path("xdg"), 0755), 0);
	fd = answer_store_open(fixture_path("xdg"), fixture_dir);
	cr_assert_geq(fd, 0);
	close(fd);
	fixture_run("test -d xdg/cprof && chmod 770 xdg/cprof");
	cr_assert_eq(answer_store_open(fixture_path("xdg"), NULL), -EACCES);
	cr_assert_lt(answer_store_open("relative", NULL), 0);
	cr_assert_lt(answer_store_open("", ""), 0);
	cr_assert_lt(answer_store_open("/dev/null", NULL), 0);
}

static void keep_here(void)
{
	image_keep_answers(open(fixture_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

Test(answer_store, an_image_answers_from_an_earlier_run_without_its_debug_information)
{
	fixture_write("a.c", image_probe_inlines_c);
	fixture_run("gcc -O2 -g -Wl,--build-id -o a a.c");
	uint64_t address = fixture_symbol("a", "main", NULL);
	keep_here();
	struct image *image = image_probe_open("a");
	char *first = strdup(image_probe_frames(image, address));
	cr_assert(image_has_lines(image));
	image_close_all();
	fixture_run("ls *.answers && strip a");
	keep_here();
	image = image_probe_open("a");
	cr_assert_str_eq(image_probe_frames(image, address), first);
	cr_assert(image_has_lines(image));
	image_close_all();
	/* And without what was kept nobody knows. */
	image = image_probe_open("a");
	cr_assert_str_eq(image_probe_frames(image, address), "");
	cr_assert_not(image_has_lines(image));
	free(first);
}

Test(answer_store, answers_of_several_runs_add_up)
{
	fixture_write("a.c", image_probe_inlines_c);
	fixture_run("gcc -O2 -g -Wl,--build-id -o a a.c");
	uint64_t size, address = fixture_symbol("a", "main", &size);
	uint8_t id[32];
	struct answers set;
	uint32_t bytes = fixture_build_id("a", id);
	for (uint64_t run = 0; run < 3; run++) {
		keep_here();
		image_probe_frames(image_probe_open("a"), address + run);
		image_close_all();
		cr_assert_eq(answer_store_read(dir_fd, id, bytes, &set), 0);
		cr_assert_eq(set.answer_count, run + 1);
		free_set(&set);
	}
}

Test(answer_store, symbols_alone_are_not_kept)
{
	fixture_write("a.c", image_probe_inlines_c);
	fixture_run("gcc -O2 -Wl,--build-id -o a a.c");
	keep_here();
	cr_assert_str_neq(image_probe_frames(image_probe_open("a"), fixture_symbol("a", "main", NULL)), "");
	image_close_all();
	fixture_run("! ls *.answers 2>/dev/null");
}
