/* SPDX-License-Identifier: MIT */
/*
 * Written against include/ only, independently of the library: where the two differ,
 * one of them misunderstands the contract.
 *
 * Context: tests.
 */
#include "fake_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void must(bool is_good, const char *what)
{
	if (is_good)
		return;
	fprintf(stderr, "fake segment: %s: %s\n", what, strerror(errno));
	abort();
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void map(struct fake_segment *fake, uint64_t bytes)
{
	must(cprof_segment_size(bytes) == bytes, "size");
	must(ftruncate(fake->fd, (off_t)bytes) == 0, "ftruncate");
	fake->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fake->fd, 0);
	must(fake->base != MAP_FAILED, "mmap");
	fake->geometry = cprof_geometry(bytes);
	struct cprof_control *control = fake_control(fake);
	control->magic = CPROF_MAGIC;
	control->version = CPROF_SHM_VERSION;
	control->pid = (uint32_t)getpid();
	control->is_first = 1;
	control->heap_state = CPROF_HEAP_ON;
	control->segment_bytes = bytes;
	control->start_realtime_ns = clock_ns(CLOCK_REALTIME);
	control->start_monotonic_ns = clock_ns(CLOCK_MONOTONIC);
	strcpy(control->name, "fake");
	store_relaxed(&control->cpu_hz, 100);
	store_relaxed(&control->heap_rate_bytes, 524288);
}

void fake_segment_create(struct fake_segment *fake, uint64_t bytes)
{
	fake->fd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	must(fake->fd >= 0, "memfd_create");
	map(fake, bytes);
	must(fcntl(fake->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0, "seals");
}

void fake_segment_create_file(struct fake_segment *fake, const char *path, uint64_t bytes)
{
	fake->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(fake->fd >= 0, path);
	map(fake, bytes);
}

void fake_segment_destroy(struct fake_segment *fake)
{
	munmap(fake->base, fake->geometry.segment_bytes);
	close(fake->fd);
}

struct cprof_control *fake_control(const struct fake_segment *fake)
{
	return (struct cprof_control *)(void *)fake->base;
}

struct cprof_journal *fake_journal(const struct fake_segment *fake)
{
	return (struct cprof_journal *)(void *)(fake->base + fake->geometry.journal_offset);
}

struct cprof_thread *fake_thread(const struct fake_segment *fake, uint32_t slot)
{
	return (struct cprof_thread *)(void *)(fake->base + fake->geometry.threads_offset) + slot;
}

struct cprof_total_bucket *fake_total_bucket(const struct fake_segment *fake, uint32_t bucket)
{
	return (struct cprof_total_bucket *)(void *)(fake->base + fake->geometry.totals_offset) + bucket;
}

uint32_t fake_thread_start(struct fake_segment *fake)
{
	uint32_t slot = add_relaxed(&fake_control(fake)->threads_used, 1);
	must(slot < fake->geometry.thread_count, "no thread slot");
	store_release(&fake_thread(fake, slot)->state, CPROF_THREAD_LIVE);
	return slot;
}

void fake_thread_end(struct fake_segment *fake, uint32_t slot)
{
	store_release(&fake_thread(fake, slot)->state, CPROF_THREAD_ENDED);
}

uint32_t fake_stack(struct fake_segment *fake, const uint64_t *frames, uint16_t frame_count, uint16_t flags)
{
	uint32_t id = 1 + (uint32_t)add_relaxed(&fake_control(fake)->stacks_used, 1u + frame_count);
	must((id + 1u + frame_count) * 8u <= fake->geometry.frames_bytes, "frame arena is full");
	uint64_t *arena = (uint64_t *)(void *)(fake->base + fake->geometry.frames_offset);
	struct cprof_stack header = {.hash = 1, .frame_count = frame_count, .flags = flags};
	memcpy(arena + id, &header, sizeof header);
	memcpy(arena + id + 1, frames, frame_count * sizeof *frames);
	return id;
}

uint32_t fake_leaf(struct fake_segment *fake, uint64_t offset)
{
	uint64_t frame = cprof_frame(0, offset) | CPROF_FRAME_EXACT;
	return fake_stack(fake, &frame, 1, 0);
}

uint32_t fake_labels(struct fake_segment *fake, uint32_t outer, const char *key, const char *value)
{
	struct cprof_label_set *set;
	size_t key_bytes = strlen(key), value_bytes = strlen(value);
	size_t units = (offsetof(struct cprof_label_set, text) + key_bytes + value_bytes + 7) / 8;
	uint32_t id = 1 + (uint32_t)add_relaxed(&fake_control(fake)->labels_used, units);
	must((id + units) * 8 <= fake->geometry.labels_bytes, "label arena is full");
	unsigned char *arena = fake->base + fake->geometry.labels_offset;
	set = (struct cprof_label_set *)(void *)(arena + 8 * (size_t)id);
	*set = (struct cprof_label_set){.outer = outer,
					.key_bytes = (uint16_t)key_bytes,
					.value_bytes = (uint16_t)value_bytes,
					.depth = 1};
	memcpy(set->text, key, key_bytes);
	memcpy(set->text + key_bytes, value, value_bytes);
	return id;
}

void fake_record(struct fake_segment *fake, uint32_t slot, uint32_t stack, uint32_t kind, uint64_t weight,
		 uint64_t value)
{
	if (!ring_push(fake_thread(fake, slot), stack, kind, 0, weight, value))
		must(fake_total_add(fake, cprof_total_key(stack, kind, 0), weight, value), "totals are full");
}

bool fake_total_add(struct fake_segment *fake, uint64_t key, uint64_t weight, uint64_t value)
{
	const struct cprof_levels *levels = &fake->geometry.totals;
	for (uint32_t level = 0; level < levels->level_count; level++) {
		struct cprof_total_bucket *bucket =
			fake_total_bucket(fake, cprof_levels_bucket(levels, level, cprof_mix64(key)));
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++) {
			uint64_t found = 0;
			if (!cas_acq_rel(&bucket->key[i], &found, key) && found != key)
				continue;
			add_relaxed(&bucket->sums[i].producer_weight, weight);
			add_relaxed(&bucket->sums[i].producer_value, value);
			uint32_t used = load_relaxed(&fake_control(fake)->total_levels_used);
			if (used <= level)
				store_relaxed(&fake_control(fake)->total_levels_used, level + 1);
			return true;
		}
	}
	return false;
}

void fake_total_get(const struct fake_segment *fake, uint64_t key, uint64_t *out_weight, uint64_t *out_value)
{
	*out_weight = 0;
	*out_value = 0;
	for (uint32_t b = 0; b < fake->geometry.totals.bucket_count; b++) {
		struct cprof_total_bucket *bucket = fake_total_bucket(fake, b);
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++) {
			if (load_acquire(&bucket->key[i]) != key)
				continue;
			*out_weight += load_relaxed(&bucket->sums[i].producer_weight) +
				       load_relaxed(&bucket->sums[i].collector_weight);
			*out_value += load_relaxed(&bucket->sums[i].producer_value) +
				      load_relaxed(&bucket->sums[i].collector_value);
		}
	}
}

static struct cprof_live_bucket *live_bucket(const struct fake_segment *fake, uint32_t bucket)
{
	return (struct cprof_live_bucket *)(void *)(fake->base + fake->geometry.live_offset) + bucket;
}

void fake_live_add(struct fake_segment *fake, uint64_t address, uint32_t stack, uint64_t weight,
		   uint64_t value)
{
	fake_live_add_labelled(fake, address, stack, 0, weight, value);
}

void fake_live_add_labelled(struct fake_segment *fake, uint64_t address, uint32_t stack, uint32_t labels,
			    uint64_t weight, uint64_t value)
{
	const struct cprof_levels *levels = &fake->geometry.live;
	for (uint32_t level = 0; level < levels->level_count; level++) {
		struct cprof_live_bucket *bucket =
			live_bucket(fake, cprof_levels_bucket(levels, level, cprof_mix64(address)));
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++) {
			uint64_t found = 0;
			if (!cas_acq_rel(&bucket->address[i], &found, CPROF_LIVE_BUSY))
				continue;
			store_relaxed(&bucket->payload[i].weight, weight);
			store_relaxed(&bucket->payload[i].value, value);
			store_relaxed(&bucket->payload[i].stack_label, (uint64_t)stack << 32 | labels);
			store_release(&bucket->address[i], address);
			if (load_relaxed(&fake_control(fake)->live_levels_used) <= level)
				store_relaxed(&fake_control(fake)->live_levels_used, level + 1);
			return;
		}
	}
	must(false, "live table is full");
}

void fake_live_remove(struct fake_segment *fake, uint64_t address)
{
	for (uint32_t b = 0; b < fake->geometry.live.bucket_count; b++)
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++)
			if (load_relaxed(&live_bucket(fake, b)->address[i]) == address) {
				store_release(&live_bucket(fake, b)->address[i], 0);
				return;
			}
	must(false, "no such live block");
}

void fake_module(struct fake_segment *fake, uint32_t row, const char *path, uint64_t bias)
{
	struct cprof_control *control = fake_control(fake);
	struct cprof_module *module =
		(struct cprof_module *)(void *)(fake->base + fake->geometry.modules_offset) + row;
	uint32_t bytes = (uint32_t)strlen(path);
	uint64_t at = add_relaxed(&control->strings_used, bytes);
	must(row < fake->geometry.module_count && at + bytes <= fake->geometry.strings_bytes,
	     "module tables");
	memcpy(fake->base + fake->geometry.strings_offset + at, path, bytes);
	struct stat st;
	if (stat(path, &st) == 0) {
		module->device = st.st_dev;
		module->inode = st.st_ino;
	}
	module->bias = bias;
	module->image_start = module->text_start = bias;
	module->image_end = module->text_end = bias + 0x10000;
	module->path_offset = (uint32_t)at;
	module->path_bytes = bytes;
	store_release(&module->state, CPROF_MODULE_LOADED);
	if (load_relaxed(&control->modules_used) <= row)
		store_release(&control->modules_used, row + 1);
}

static void random_hex(char out_hex[CPROF_SESSION_HEX + 1])
{
	unsigned char bytes[CPROF_SESSION_HEX / 2];
	must(getrandom(bytes, sizeof bytes, 0) == sizeof bytes, "getrandom");
	for (size_t i = 0; i < sizeof bytes; i++)
		sprintf(out_hex + 2 * i, "%02x", bytes[i]);
}

static socklen_t session_address(const struct fake_session *session, struct sockaddr_un *out_address)
{
	*out_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = sprintf(out_address->sun_path + 1, "%s%s", CPROF_SOCKET_PREFIX, session->name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

void fake_session_create(struct fake_session *session)
{
	struct sockaddr_un address;
	random_hex(session->name);
	random_hex(session->token);
	sprintf(session->text, "%s:%s:%d", session->name, session->token, getpid());
	session->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	must(session->listen_fd >= 0, "socket");
	socklen_t size = session_address(session, &address);
	must(bind(session->listen_fd, (struct sockaddr *)&address, size) == 0, "bind");
	must(listen(session->listen_fd, 128) == 0, "listen");
}

void fake_register(const struct fake_session *session, const struct fake_segment *fake, int pidfd)
{
	struct sockaddr_un address;
	socklen_t size = session_address(session, &address);
	struct cprof_hello hello = {.magic = CPROF_MAGIC,
				    .version = CPROF_SHM_VERSION,
				    .pid = fake_control(fake)->pid,
				    .is_first = fake_control(fake)->is_first};
	for (size_t i = 0; i < CPROF_TOKEN_BYTES; i++)
		must(sscanf(session->token + 2 * i, "%2hhx", &hello.token[i]) == 1, "token");
	int fds[2] = {fake->fd, pidfd};
	size_t fd_count = pidfd < 0 ? 1 : 2;
	union {
		char bytes[CMSG_SPACE(sizeof fds)];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct iovec io = {.iov_base = &hello, .iov_len = sizeof hello};
	struct msghdr message = {.msg_iov = &io,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = CMSG_SPACE(fd_count * sizeof(int))};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
	memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	must(fd >= 0, "socket");
	must(connect(fd, (struct sockaddr *)&address, size) == 0, "connect");
	must(sendmsg(fd, &message, MSG_NOSIGNAL) == sizeof hello, "sendmsg");
	close(fd);
}
