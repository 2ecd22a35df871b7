/* SPDX-License-Identifier: MIT */
/*
 * Load for memcached: connections that count on the same few keys at once.
 *
 *     memcached_load SOCKET CONNECTIONS ROUNDS
 *
 * Prints the counters at the end: each must be what was added to it.
 *
 * Context: test program.
 */
#include "lock_victim.h"

#include <sys/socket.h>
#include <sys/un.h>

#define KEYS 2
#define PIPELINED 20

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int rounds;

static FILE *connect_there(void)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
		return NULL;
	return fdopen(fd, "r+");
}

static void *load(void *unused)
{
	FILE *there = connect_there();
	char line[64];
	for (int round = 0; there && round < rounds; round++) {
		for (int i = 0; i < PIPELINED; i++)
			fprintf(there, "incr key%d 1\r\n", i % KEYS);
		fflush(there);
		for (int i = 0; i < PIPELINED; i++)
			if (!fgets(line, sizeof line, there))
				return unused;
	}
	return unused;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	begin();
	snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
	const int connections = atoi(argv[2]);
	rounds = atoi(argv[3]);
	FILE *there = connect_there();
	char line[64];
	if (!there)
		return 1;
	for (int i = 0; i < KEYS; i++) {
		fprintf(there, "set key%d 0 0 1\r\n0\r\n", i);
		fflush(there);
		if (!fgets(line, sizeof line, there) || strcmp(line, "STORED\r\n"))
			return 1;
	}
	pthread_t threads[64];
	for (int i = 0; i < connections && i < 64; i++)
		pthread_create(&threads[i], NULL, load, NULL);
	for (int i = 0; i < connections && i < 64; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < KEYS; i++) {
		fprintf(there, "get key%d\r\n", i);
		fflush(there);
		while (fgets(line, sizeof line, there) && strcmp(line, "END\r\n"))
			printf("%s", line);
	}
	return 0;
}
