/* SPDX-License-Identifier: MIT */
// cflags: -Ipreload
// ldflags: -lunwind-ptrace -lunwind-x86_64
/*
 * Compares the in-app unwinder with libunwind on a real program.
 *
 *     unwind_oracle SAMPLES PROBE.so COMMAND...
 *
 * Runs COMMAND under ptrace with the probe preloaded, sends a signal at random moments to a
 * thread that is on a CPU, and when the probe has walked the interrupted stack and stopped,
 * walks it again from outside with libunwind, from the same registers.  The program's
 * standard output is discarded.  Prints one line
 * of totals and each disagreement with an explanation.  Status 1 if fewer than 99.9 % of the
 * samples agree.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libunwind-ptrace.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "walk_channel.h"

#define SHOWN_MAX 3 /* of each reason */
#define STEPS 3

static struct {
	pid_t pid;
	struct walk_channel *channel;
	unw_addr_space_t space;
	unw_dyn_info_t vdso;
	void *upt;
} oracle;

/* Why two walks differ. */
enum reason {
	NO_INFORMATION,
	LIBUNWIND_ERROR,
	LIBUNWIND_ENDED,
	CPROF_BROKEN,
	CPROF_ENDED,
	TWO_CALLERS,
	REASONS
};

static const char *const reasons[REASONS] = {
	"no call frame information for the last common frame: both guess",
	"libunwind gave up with an error",
	"libunwind took the last common frame for the outermost",
	"cprof could not read or evaluate the last common frame",
	"cprof took the last common frame for the outermost",
	"the same frame, two callers",
};

static struct {
	unsigned long samples;
	unsigned long agreed;
	unsigned long frames;
	unsigned long explained[REASONS];
} totals;

/* ---- libunwind's view of the stopped thread ---------------------------------------------------- */

static bool read_memory(uint64_t address, void *out, size_t bytes)
{
	struct iovec local = {out, bytes}, remote = {(void *)address, bytes};
	return process_vm_readv(oracle.pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes;
}

/* The vdso has no file, so libunwind must be told of its search table in the program's memory. */
static void find_vdso(void)
{
	char path[64];
	Elf64_auxv_t entry;
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	snprintf(path, sizeof path, "/proc/%d/auxv", oracle.pid);
	FILE *auxv = fopen(path, "re");
	while (auxv && fread(&entry, sizeof entry, 1, auxv) == 1 && entry.a_type != AT_SYSINFO_EHDR)
		;
	if (auxv)
		fclose(auxv);
	uint64_t base = entry.a_un.a_val;
	if (entry.a_type != AT_SYSINFO_EHDR || !read_memory(base, &header, sizeof header))
		return;
	for (int i = 0; i < header.e_phnum; i++) {
		if (!read_memory(base + header.e_phoff + (uint64_t)i * sizeof segment, &segment,
				 sizeof segment))
			return;
		if (segment.p_type == PT_LOAD) {
			oracle.vdso.start_ip = base;
			oracle.vdso.end_ip = base + segment.p_memsz;
		} else if (segment.p_type == PT_GNU_EH_FRAME) {
			uint32_t head[3]; /* encodings, .eh_frame, number of entries */
			uint64_t table = base + segment.p_vaddr;
			if (!read_memory(table, head, sizeof head))
				return;
			oracle.vdso.format = UNW_INFO_FORMAT_REMOTE_TABLE;
			oracle.vdso.u.rti.segbase = table;
			oracle.vdso.u.rti.table_data = table + sizeof head;
			oracle.vdso.u.rti.table_len = head[2];
		}
	}
}

/* Internal to libunwind, used by perf in the same way. */
int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *info,
				       unw_proc_info_t *out, int need_unwind_info, void *argument);

static int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *out, int need_unwind_info,
			  void *argument)
{
	if (ip >= oracle.vdso.start_ip && ip < oracle.vdso.end_ip)
		return _Ux86_64_dwarf_search_unwind_table(space, ip, &oracle.vdso, out, need_unwind_info,
							  argument);
	return _UPT_find_proc_info(space, ip, out, need_unwind_info, argument);
}

static int access_mem(unw_addr_space_t space, unw_word_t address, unw_word_t *value, int is_write,
		      void *argument)
{
	(void)space, (void)argument;
	return !is_write && read_memory(address, value, sizeof *value) ? 0 : -UNW_EINVAL;
}

static int access_reg(unw_addr_space_t space, unw_regnum_t reg, unw_word_t *value, int is_write,
		      void *argument)
{
	(void)space, (void)argument;
	if (is_write || reg < 0 || reg >= WALK_REGISTERS)
		return -UNW_EBADREG;
	*value = oracle.channel->registers[reg];
	return 0;
}

static int access_fpreg(unw_addr_space_t space, unw_regnum_t reg, unw_fpreg_t *value, int is_write,
			void *argument)
{
	(void)space, (void)reg, (void)value, (void)is_write, (void)argument;
	return -UNW_EBADREG;
}

static int resume(unw_addr_space_t space, unw_cursor_t *cursor, void *argument)
{
	(void)space, (void)cursor, (void)argument;
	return -UNW_EINVAL;
}

static int get_proc_name(unw_addr_space_t space, unw_word_t address, char *name, size_t bytes,
			 unw_word_t *offset, void *argument)
{
	(void)space;
	return _UPT_get_proc_name(oracle.space, address, name, bytes, offset, argument);
}

static void open_oracle(void)
{
	unw_accessors_t accessors = {
		.find_proc_info = find_proc_info,
		.put_unwind_info = _UPT_put_unwind_info,
		.get_dyn_info_list_addr = _UPT_get_dyn_info_list_addr,
		.access_mem = access_mem,
		.access_reg = access_reg,
		.access_fpreg = access_fpreg,
		.resume = resume,
		.get_proc_name = get_proc_name,
	};
	oracle.space = unw_create_addr_space(&accessors, 0);
	unw_set_caching_policy(oracle.space, UNW_CACHE_GLOBAL);
	unw_set_cache_size(oracle.space, 16384, 0);
}

/* Walks the stopped thread.  *out_error is unw_step()'s last answer. */
static uint32_t walk_outside(uint64_t *pcs, int *out_error)
{
	if (!oracle.upt)
		oracle.upt = _UPT_create(oracle.pid); /* for its mappings; registers come from the channel */
	unw_cursor_t cursor;
	uint32_t count = 0;
	*out_error = unw_init_remote(&cursor, oracle.space, oracle.upt);
	if (*out_error)
		return 0;
	do {
		unw_word_t pc = 0;
		unw_get_reg(&cursor, UNW_REG_IP, &pc);
		if (pc == 0)
			break;
		pcs[count++] = pc;
	} while (count < WALK_FRAMES_MAX && (*out_error = unw_step(&cursor)) > 0);
	return count;
}

/* ---- comparing ------------------------------------------------------------------------------------ */

static void print_pc(uint64_t pc)
{
	char name[256], path[64], line[512], where[400] = "nowhere";
	unw_word_t offset = 0;
	snprintf(path, sizeof path, "/proc/%d/maps", oracle.pid);
	FILE *maps = fopen(path, "re");
	while (maps && fgets(line, sizeof line, maps)) {
		unsigned long start, end, file_offset;
		char file[256] = "anonymous";
		sscanf(line, "%lx-%lx %*s %lx %*s %*s %255s", &start, &end, &file_offset, file);
		if (pc >= start && pc < end)
			snprintf(where, sizeof where, "%s+0x%lx", file, pc - start + file_offset);
	}
	if (maps)
		fclose(maps);
	bool has_name = _UPT_get_proc_name(oracle.space, pc, name, sizeof name, &offset, oracle.upt) == 0;
	printf("      %016lx %s %s\n", (unsigned long)pc, where, has_name ? name : "");
}

static void print_walk(const char *title, const uint64_t *pcs, uint32_t count, uint32_t same)
{
	printf("    %s: %u frames, from the last common one:\n", title, count);
	for (uint32_t i = same ? same - 1 : 0; i < count && i < same + 4; i++)
		print_pc(pcs[i]);
}

/* Why the two differ behind the last common frame, as far as the walks themselves tell. */
static enum reason explain(const struct walk_channel *channel, uint32_t same, uint32_t outside_count,
			   int error)
{
	unw_proc_info_t info;
	uint64_t pc = same ? channel->pcs[same - 1] : channel->pcs[0];
	if (find_proc_info(oracle.space, pc, &info, 0, oracle.upt) != 0 &&
	    find_proc_info(oracle.space, pc - 1, &info, 0, oracle.upt) != 0)
		return NO_INFORMATION;
	if (same == outside_count)
		return error < 0 ? LIBUNWIND_ERROR : LIBUNWIND_ENDED;
	if (same == channel->frame_count)
		return channel->flags ? CPROF_BROKEN : CPROF_ENDED;
	return TWO_CALLERS;
}

static void compare(const struct walk_channel *channel)
{
	uint64_t outside[WALK_FRAMES_MAX];
	int error;
	uint32_t count = walk_outside(outside, &error);
	if (count != channel->frame_count || memcmp(outside, channel->pcs, count * sizeof outside[0]) != 0) {
		/* What libunwind remembers of an object that was unloaded meanwhile is no disagreement. */
		unw_flush_cache(oracle.space, 0, 0);
		_UPT_destroy(oracle.upt);
		oracle.upt = NULL;
		count = walk_outside(outside, &error);
	}
	uint32_t same = 0;
	while (same < count && same < channel->frame_count && outside[same] == channel->pcs[same])
		same++;
	totals.samples++;
	totals.frames += channel->frame_count;
	if (same == count && same == channel->frame_count) {
		totals.agreed++;
		return;
	}
	enum reason reason = explain(channel, same, count, error);
	if (++totals.explained[reason] > SHOWN_MAX)
		return;
	printf("  sample %lu, thread %u, flags %u, libunwind's last step %d: %s\n", totals.samples,
	       channel->tid, channel->flags, error, reasons[reason]);
	print_walk("cprof", channel->pcs, channel->frame_count, same);
	print_walk("libunwind", outside, count, same);
}

/* A random sample is followed by samples at the next instructions: prologues, epilogues, PLT entries. */
static void sample(void)
{
	static unsigned long steps;
	oracle.channel->wants_step = steps++ % (STEPS + 1) != STEPS;
	compare(oracle.channel);
}

/* ---- the traced program --------------------------------------------------------------------------- */

static void die(const char *what)
{
	fprintf(stderr, "unwind_oracle: %s: %s\n", what, strerror(errno));
	exit(2);
}

static bool is_on_cpu(pid_t tid)
{
	char path[64], line[512];
	snprintf(path, sizeof path, "/proc/%d/task/%d/stat", oracle.pid, tid);
	FILE *file = fopen(path, "re");
	bool is_running = file && fgets(line, sizeof line, file) && strrchr(line, ')') &&
			  strrchr(line, ')')[2] == 'R';
	if (file)
		fclose(file);
	return is_running;
}

/* Interrupts a random thread that is running; none if all sleep. */
static void interrupt_a_thread(void)
{
	char path[64];
	pid_t running[64];
	unsigned count = 0;
	snprintf(path, sizeof path, "/proc/%d/task", oracle.pid);
	DIR *tasks = opendir(path);
	for (struct dirent *entry; tasks && count < 64 && (entry = readdir(tasks));)
		if (atoi(entry->d_name) > 0 && is_on_cpu(atoi(entry->d_name)))
			running[count++] = atoi(entry->d_name);
	if (tasks)
		closedir(tasks);
	if (count)
		syscall(SYS_tgkill, oracle.pid, running[(unsigned)rand() % count], WALK_SIGNAL);
}

static void start(char **command, const char *probe, const char *channel_path)
{
	oracle.pid = fork();
	if (oracle.pid < 0)
		die("fork");
	if (oracle.pid == 0) {
		setenv("LD_PRELOAD", probe, 1);
		setenv(WALK_CHANNEL_ENV, channel_path, 1);
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(null, STDOUT_FILENO);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execvp(command[0], command);
		die(command[0]);
	}
	int status;
	if (waitpid(oracle.pid, &status, 0) < 0 || !WIFSTOPPED(status))
		die("the program did not start");
	ptrace(PTRACE_SETOPTIONS, oracle.pid, 0, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
	find_vdso();
	ptrace(PTRACE_CONT, oracle.pid, 0, 0);
}

/* Handles one stop.  Returns false when the program has ended. */
static bool handle_stop(pid_t tid, int status)
{
	if (WIFEXITED(status) || WIFSIGNALED(status))
		return tid != oracle.pid;
	int signal_number = WSTOPSIG(status);
	if (signal_number == SIGTRAP && status >> 16 == 0 &&
	    __atomic_load_n(&oracle.channel->is_taken, __ATOMIC_ACQUIRE) &&
	    oracle.channel->tid == (uint32_t)tid) {
		sample();
		signal_number = 0;
	} else if (signal_number == SIGTRAP && status >> 16 == 0 && oracle.channel->wants_step) {
		oracle.channel->wants_step = 0;
		signal_number = WALK_SIGNAL;
	} else if (signal_number == SIGTRAP || signal_number == SIGSTOP) {
		signal_number = 0; /* clone events and new threads */
	}
	ptrace(PTRACE_CONT, tid, 0, signal_number);
	return true;
}

static void run(unsigned long samples)
{
	while (totals.samples < samples) {
		int status;
		pid_t tid = waitpid(-1, &status, oracle.channel->wants_step ? __WALL : __WALL | WNOHANG);
		if (tid < 0)
			return;
		if (tid > 0) {
			if (!handle_stop(tid, status))
				return;
			continue;
		}
		usleep((useconds_t)rand() % 1000);
		if (oracle.channel->is_ready && !__atomic_load_n(&oracle.channel->is_taken, __ATOMIC_ACQUIRE))
			interrupt_a_thread();
	}
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: unwind_oracle SAMPLES PROBE.so COMMAND...\n");
		return 2;
	}
	char channel_path[] = "/tmp/walk_channel.XXXXXX";
	int fd = mkstemp(channel_path);
	if (fd < 0 || ftruncate(fd, sizeof *oracle.channel) != 0)
		die(channel_path);
	oracle.channel = mmap(NULL, sizeof *oracle.channel, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (oracle.channel == MAP_FAILED)
		die("mmap");
	setvbuf(stdout, NULL, _IOLBF, 0);
	open_oracle();
	start(argv + 3, argv[2], channel_path);
	run(strtoul(argv[1], NULL, 10));
	kill(oracle.pid, SIGKILL);
	unlink(channel_path);
	printf("%lu samples, %lu frames, %lu agree, %lu disagree\n", totals.samples, totals.frames,
	       totals.agreed, totals.samples - totals.agreed);
	for (int i = 0; i < REASONS; i++)
		if (totals.explained[i])
			printf("  %lu: %s\n", totals.explained[i], reasons[i]);
	return totals.samples > 0 && totals.agreed * 1000 >= totals.samples * 999 ? 0 : 1;
}
