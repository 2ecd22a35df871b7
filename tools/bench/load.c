/* SPDX-License-Identifier: MIT */
/*
 * A load generator that is the same for every server: closed loops over many
 * connections, each keeping DEPTH requests under way, until COUNT requests were
 * answered.  The requests of a protocol are fixed texts with answers of known length,
 * so that the generator spends little and the servers see the same work every time.
 * Prints
 *
 *     per_second    requests answered in a second
 *     p50_us, p99_us    from the sending of a batch of DEPTH requests to its last answer
 *
 *     load PROTOCOL PORT CONNECTIONS DEPTH COUNT
 *
 * PROTOCOL: redis and memcached (one SET of 64 bytes for nine GETs, 1000 keys), http.
 * COUNT 0 sets all keys, and must come first.
 *
 * Context: benchmarks.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

#define CONNECTIONS_MAX 256
#define DEPTH_MAX 64
#define REQUEST_BYTES_MAX 256
#define VALUE_BYTES 64
#define KEYS 1000u
#define SAMPLES_MAX (1u << 20)

enum protocol { REDIS, MEMCACHED, HTTP };

struct connection {
	int fd;
	size_t bytes_due; /* of answers */
	uint64_t sent_ns;
};

static enum protocol protocol;
static unsigned depth;
static bool is_setting_keys;
static size_t http_answer_bytes;
static uint64_t requests_sent, requests_wanted;
static double latencies_us[SAMPLES_MAX];
static size_t latency_count;
static char received[1 << 16];

static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Writes request `number` to `out`, sets the length of its answer. */
static size_t make_request(uint64_t number, char *out, size_t *out_answer_bytes)
{
	static const char value[VALUE_BYTES + 1] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	unsigned key = (unsigned)(number * 7919 % KEYS);
	bool is_set = number % 10 == 0 || is_setting_keys;
	int bytes = 0;
	switch (protocol) {
	case REDIS:
		bytes = is_set ? sprintf(out, "*3\r\n$3\r\nSET\r\n$9\r\nkey:%05u\r\n$%d\r\n%s\r\n", key,
					 VALUE_BYTES, value)
			       : sprintf(out, "*2\r\n$3\r\nGET\r\n$9\r\nkey:%05u\r\n", key);
		*out_answer_bytes = is_set ? strlen("+OK\r\n") : strlen("$64\r\n\r\n") + VALUE_BYTES;
		break;
	case MEMCACHED:
		bytes = is_set ? sprintf(out, "set key:%05u 0 0 %d\r\n%s\r\n", key, VALUE_BYTES, value)
			       : sprintf(out, "get key:%05u\r\n", key);
		*out_answer_bytes = is_set ? strlen("STORED\r\n")
					   : strlen("VALUE key:00000 0 64\r\n\r\nEND\r\n") + VALUE_BYTES;
		break;
	case HTTP:
		bytes = sprintf(out, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
		*out_answer_bytes = http_answer_bytes;
	}
	return (size_t)bytes;
}

/* Sends the next batch; false if there is none. */
static bool send_batch(struct connection *connection)
{
	char batch[DEPTH_MAX * REQUEST_BYTES_MAX];
	size_t bytes = 0, answer_bytes;
	for (unsigned i = 0; i < depth && requests_sent < requests_wanted; i++) {
		bytes += make_request(requests_sent++, batch + bytes, &answer_bytes);
		connection->bytes_due += answer_bytes;
	}
	connection->sent_ns = bench_wall_ns();
	if (bytes && write(connection->fd, batch, bytes) != (ssize_t)bytes)
		fail("write");
	return bytes != 0;
}

/* Takes what has arrived; true if the batch is answered. */
static bool receive(struct connection *connection)
{
	ssize_t bytes = read(connection->fd, received, sizeof received);
	if (bytes <= 0 || (size_t)bytes > connection->bytes_due)
		fail("an answer of unexpected length");
	connection->bytes_due -= (size_t)bytes;
	if (connection->bytes_due)
		return false;
	if (latency_count < SAMPLES_MAX)
		latencies_us[latency_count++] = (double)(bench_wall_ns() - connection->sent_ns) / 1e3;
	return true;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

/* How long the server's answer is: asked once. */
static void learn_http_answer(int fd)
{
	char request[REQUEST_BYTES_MAX];
	size_t ignored, bytes = make_request(0, request, &ignored);
	if (write(fd, request, bytes) != (ssize_t)bytes)
		fail("write");
	ssize_t answer = read(fd, received, sizeof received - 1);
	if (answer <= 0)
		fail("read");
	received[answer] = '\0';
	const char *length = strcasestr(received, "content-length:"), *body = strstr(received, "\r\n\r\n");
	if (!length || !body)
		fail("no content-length in the answer");
	http_answer_bytes = (size_t)(body - received) + 4 +
			    strtoul(length + strlen("content-length:"), NULL, 10);
	for (size_t got = (size_t)answer; got < http_answer_bytes; got += (size_t)answer)
		if ((answer = read(fd, received, sizeof received)) <= 0)
			fail("read");
}

static void run(struct connection *connections, unsigned count)
{
	int poller = epoll_create1(EPOLL_CLOEXEC);
	unsigned busy = 0;
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
		if (epoll_ctl(poller, EPOLL_CTL_ADD, connections[i].fd, &event))
			fail("epoll_ctl");
		busy += send_batch(&connections[i]);
	}
	while (busy) {
		struct epoll_event events[64];
		int ready = epoll_wait(poller, events, 64, 10000);
		if (ready <= 0)
			fail("no answer");
		for (int i = 0; i < ready; i++)
			if (receive(events[i].data.ptr) && !send_batch(events[i].data.ptr))
				busy--;
	}
}

int main(int argc, char **argv)
{
	static struct connection connections[CONNECTIONS_MAX];
	if (argc != 6)
		return 2;
	uint16_t port = (uint16_t)atoi(argv[2]);
	unsigned count = (unsigned)atoi(argv[3]);
	protocol = strcmp(argv[1], "redis") == 0       ? REDIS
		   : strcmp(argv[1], "memcached") == 0 ? MEMCACHED
						       : HTTP;
	depth = (unsigned)atoi(argv[4]);
	requests_wanted = strtoull(argv[5], NULL, 10);
	if (requests_wanted == 0) {
		/* One after another on one connection; 7919 and KEYS have no common factor. */
		is_setting_keys = true;
		requests_wanted = KEYS;
		depth = count = 1;
	}
	if (count == 0 || count > CONNECTIONS_MAX || depth == 0 || depth > DEPTH_MAX)
		return 2;
	for (unsigned i = 0; i < count; i++)
		connections[i].fd = connect_to(port);
	if (protocol == HTTP)
		learn_http_answer(connections[0].fd);
	uint64_t start_ns = bench_wall_ns();
	run(connections, count);
	double seconds = (double)(bench_wall_ns() - start_ns) / 1e9;
	qsort(latencies_us, latency_count, sizeof latencies_us[0], bench_compare);
	printf("per_second %.1f\n", (double)requests_sent / seconds);
	printf("p50_us %.2f\n", latencies_us[latency_count / 2]);
	printf("p99_us %.2f\n", latencies_us[latency_count * 99 / 100]);
	return 0;
}
