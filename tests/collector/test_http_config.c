/* SPDX-License-Identifier: MIT */
/* CPROF_HTTP and its companions: what is accepted, what is refused, what is listened on. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http_config.h"

static struct http_config config;
static char error[HTTP_CONFIG_ERROR_BYTES];
static char password_file[] = "/tmp/test_http_config.XXXXXX";

static void write_password(const char *text)
{
	int fd = mkstemp(password_file);
	cr_assert(ge(int, fd, 0));
	cr_assert(eq(long, write(fd, text, strlen(text)), (long)strlen(text)));
	close(fd);
}

static int read_http(const char *http)
{
	const struct http_settings settings = {.http = http};
	error[0] = '\0';
	return http_config_read(&settings, &config, error);
}

static int read_all(const char *http, const char *user, const char *file)
{
	const struct http_settings settings = {.http = http, .user = user, .password_file = file};
	error[0] = '\0';
	return http_config_read(&settings, &config, error);
}

Test(http_config, off_unless_asked_for)
{
	cr_expect(eq(int, read_http(NULL), 0));
	cr_expect(not(config.is_on));
	cr_expect(eq(int, read_http(""), 0));
	cr_expect(not(config.is_on));
}

Test(http_config, a_bare_port_is_loopback)
{
	static const char *const forms[] = {"6060", ":6060", "localhost:6060", "127.0.0.1:6060"};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&config.address;
		cr_assert(eq(int, read_http(forms[i]), 0), "%s: %s", forms[i], error);
		cr_expect(config.is_on && config.is_loopback);
		cr_expect(eq(u32, ntohl(in->sin_addr.s_addr), INADDR_LOOPBACK), "%s", forms[i]);
		cr_expect(eq(u16, ntohs(in->sin_port), 6060));
	}
	cr_assert(eq(int, read_http("[::1]:6060"), 0));
	cr_expect(config.is_loopback);
	cr_expect(eq(int, config.address.ss_family, AF_INET6));
}

Test(http_config, what_others_can_reach_needs_a_password)
{
	static const char *const forms[] = {"0.0.0.0:6060", "*:6060", "[::]:6060", "192.0.2.1:6060",
					    "[2001:db8::1]:1"};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		cr_expect(eq(int, read_http(forms[i]), -EINVAL), "%s", forms[i]);
		cr_expect(not(config.is_on));
		cr_expect(strstr(error, "CPROF_HTTP_PASSWORD_FILE") != NULL, "%s", error);
	}
	write_password("secret\n");
	cr_assert(eq(int, read_all("0.0.0.0:6060", NULL, password_file), 0), "%s", error);
	cr_expect(config.is_on && config.has_password && !config.is_loopback);
	cr_expect(eq(str, config.user, HTTP_USER_DEFAULT));
	cr_expect(eq(str, config.password, "secret"));
	unlink(password_file);
}

Test(http_config, nonsense_gives_one_line)
{
	static const char *const forms[] = {"x",      "localhost", "localhost:",    "localhost:x",
					    ":70000", "::1:6060",  "1.2.3.4.5:1:2", "[::1]",
					    "unix:",  "-1"};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		cr_expect(eq(int, read_http(forms[i]), -EINVAL), "%s", forms[i]);
		cr_expect(not(config.is_on));
		cr_expect(strlen(error) > 20 && !strchr(error, '\n'), "%s: %s", forms[i], error);
	}
}

/* Whole, and yet what is accepted is not cut off. */
Test(http_config, the_line_names_the_value)
{
	char name[500];
	cr_expect(eq(int, read_http("[::1]:x"), -EINVAL));
	cr_expect(strncmp(error, "CPROF_HTTP=[::1]:x: ", 20) == 0, "%s", error);
	memset(name, 'x', sizeof name);
	name[sizeof name - 1] = '\0';
	cr_expect(eq(int, read_http(name), -EINVAL));
	cr_expect(strstr(error, "accepted is a port, host:port or unix:/path") != NULL, "%s", error);
}

Test(http_config, the_password_is_the_first_line)
{
	write_password("  two words \r\nmore\n");
	cr_assert(eq(int, read_all("6060", "me", password_file), 0), "%s", error);
	cr_expect(eq(str, config.password, "  two words "));
	cr_expect(eq(str, config.user, "me"));
	unlink(password_file);
}

Test(http_config, a_password_file_without_a_password_is_refused)
{
	char longest[300];
	write_password("\nsecret\n");
	cr_expect(eq(int, read_all("6060", NULL, password_file), -EINVAL));
	unlink(password_file);
	strcpy(password_file + strlen(password_file) - 6, "XXXXXX");
	memset(longest, 'a', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	write_password(longest);
	cr_expect(eq(int, read_all("6060", NULL, password_file), -EINVAL));
	unlink(password_file);
	cr_expect(eq(int, read_all("6060", NULL, "/nonexistent/file"), -EINVAL));
	cr_expect(strstr(error, "No such file") != NULL, "%s", error);
	cr_expect(eq(int, read_all("6060", "me", NULL), -EINVAL), "a user without a password");
	cr_expect(eq(int, read_all("6060", "a:b", "/dev/null"), -EINVAL));
}

Test(http_config, listens_where_it_says)
{
	char where[256];
	char want[64];
	struct sockaddr_in bound;
	socklen_t size = sizeof bound;
	cr_assert(eq(int, read_http("127.0.0.1:0"), 0));
	int fd = http_config_listen(&config);
	cr_assert(ge(int, fd, 0));
	cr_assert(eq(int, getsockname(fd, (struct sockaddr *)&bound, &size), 0));
	http_config_describe(&config, fd, where, sizeof where);
	snprintf(want, sizeof want, "http://127.0.0.1:%u", ntohs(bound.sin_port));
	cr_expect(eq(str, where, want));
	/* Taken: said by an error, not by a second listener. */
	snprintf(want, sizeof want, "%u", ntohs(bound.sin_port));
	cr_assert(eq(int, read_http(want), 0));
	cr_expect(eq(int, http_config_listen(&config), -EADDRINUSE));
	close(fd);
}

Test(http_config, a_unix_socket_is_for_its_owner)
{
	struct stat st;
	char value[128];
	snprintf(value, sizeof value, "unix:/tmp/test_http_config.%d", getpid());
	const char *path = value + strlen("unix:");
	cr_assert(eq(int, read_http(value), 0), "%s", error);
	int fd = http_config_listen(&config);
	cr_assert(ge(int, fd, 0));
	cr_assert(eq(int, stat(path, &st), 0));
	cr_expect(eq(u32, st.st_mode & 07777, 0600));
	cr_expect(eq(int, http_config_listen(&config), -EADDRINUSE), "somebody listens");
	close(fd);
	fd = http_config_listen(&config);
	cr_expect(ge(int, fd, 0), "a file that was left behind is replaced");
	http_config_unlisten(&config);
	cr_expect(ne(int, stat(path, &st), 0));
	close(fd);
	int file = open(path, O_CREAT | O_WRONLY, 0600);
	close(file);
	cr_expect(eq(int, http_config_listen(&config), -EADDRINUSE),
		  "a file of somebody else's is left alone");
	cr_expect(eq(int, unlink(path), 0));
}
