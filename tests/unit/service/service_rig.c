/* service_rig.c: see service_rig.h. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/pbuf.h"
#include "base/util.h"
#include "service_rig.h"

#define MAX_ARGS 24

char dir[64], socket_path[96], log_path[96];
pid_t service;
struct errand_client *client;

/* --- the daemon --- */

void child(const char *const *more, int ready)
{
	static const struct errand_module *const modules[] = {&probe_module, NULL};
	char fd[12];
	char *argv[MAX_ARGS] = {"errand-service", "--socket", socket_path, "--state", dir, "--store", "memory",
				"--ready-fd", fd, "--sync-threads", "2", "--sync-queue", "2",
				"--log-level", "debug"};
	int argc = 15, log = open(log_path, O_CREAT | O_WRONLY | O_APPEND, 0600);

	snprintf(fd, sizeof fd, "%d", ready);
	for (; more != NULL && *more != NULL; more++)
		argv[argc++] = (char *)*more;
	dup2(log, STDERR_FILENO);
	exit(errand_service_main(argc, argv, modules));
}

void start_with(const char *const *more)
{
	int ready[2];
	char line[8] = "";

	assert_int_equal(pipe(ready), 0);
	service = fork();
	if (service == 0) {
		close(ready[0]);
		child(more, ready[1]);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], line, sizeof line), 6);
	assert_string_equal(line, "ready\n");
	close(ready[0]);
}

int setup(void **state)
{
	strcpy(dir, "/tmp/errand-service-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(socket_path, sizeof socket_path, "%s/s", dir);
	snprintf(log_path, sizeof log_path, "%s/log", dir);
	start_with(NULL);
	return errand_client_open(&client, socket_path, NULL);
}

/* How it ended; 5 s at most. */
int wait_end(void)
{
	int status = -1;

	for (int i = 0; i < 500; i++) {
		if (waitpid(service, &status, WNOHANG) == service) {
			service = 0;
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
		}
		nanosleep(&(struct timespec){0, 10 * MS}, NULL);
	}
	kill(service, SIGKILL);
	waitpid(service, NULL, 0);
	service = 0;
	return -1;
}

int stop(void)
{
	kill(service, SIGTERM);
	return wait_end();
}

char *read_log(void)
{
	static char text[1 << 20];
	int fd = open(log_path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

int teardown(void **state)
{
	char command[96];

	int status;

	client = errand_client_close(client);
	status = service != 0 ? stop() : 0;
	if (status != 0)
		fail_msg("the service ended with %d; see its log in %s", status, log_path);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

/* Until the log has it; false after 5 s. */
bool log_has(const char *text)
{
	for (int i = 0; i < 500; i++) {
		if (strstr(read_log(), text) != NULL)
			return true;
		nanosleep(&(struct timespec){0, 10 * MS}, NULL);
	}
	return false;
}

/* --- calls --- */

struct bytes pack(const Probe__V1__Note *in, uint8_t out[256])
{
	return (struct bytes){out, probe__v1__note__pack(in, out)};
}

struct errand_reply *call_with(const char *method, const Probe__V1__Note *in,
				      const struct errand_call_options *options)
{
	uint8_t raw[256];
	struct bytes b = pack(in, raw);
	struct errand_reply *reply = NULL;
	int r = errand_client_call(client, "probe.v1.Probe", method, b.data, b.len, options, &reply);

	if (r != 0)
		fail_msg("%s: %s", method, errand_client_error(client));
	return reply;
}

struct errand_reply *call(const char *method, const char *text, int number, int ms)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.text = (char *)text;
	in.number = number;
	in.ms = ms;
	return call_with(method, &in, NULL);
}

void assert_text(struct errand_reply *r, const char *want)
{
	Probe__V1__Note *n;

	if (r->code != 0)
		fail_msg("code %d: %s", r->code, r->message);
	n = probe__v1__note__unpack(NULL, r->payload_len, r->payload);
	assert_non_null(n);
	assert_string_equal(n->text, want);
	probe__v1__note__free_unpacked(n, NULL);
	errand_reply_free(r);
}

char *trace(void)
{
	static char text[8192];
	struct errand_reply *r = call("Trace", "", 0, 0);
	Probe__V1__Note *n = probe__v1__note__unpack(NULL, r->payload_len, r->payload);

	snprintf(text, sizeof text, "%s", n->text);
	probe__v1__note__free_unpacked(n, NULL);
	errand_reply_free(r);
	return text;
}

static int times(const char *in, const char *text)
{
	int n = 0;

	for (; (in = strstr(in, text)) != NULL; in++)
		n++;
	return n;
}

bool trace_has_times(const char *text, int n)
{
	for (int i = 0; i < 500; i++) {
		if (times(trace(), text) >= n)
			return true;
		nanosleep(&(struct timespec){0, 10 * MS}, NULL);
	}
	return false;
}

bool trace_has(const char *text)
{
	return trace_has_times(text, 1);
}

void assert_error(struct errand_reply *r, int code, const char *word)
{
	assert_int_equal(r->code, code);
	if (strstr(r->message, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", r->message, word);
	errand_reply_free(r);
}

void on_reply(const struct errand_reply *r, void *arg)
{
	struct waiter *w = arg;

	w->n++;
	w->code = r->code;
}

struct errand_pending *submit(struct errand_client *c, const char *method, int ms, struct waiter *w)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;
	const struct errand_callbacks cb = {.on_reply = on_reply, .arg = w};
	struct errand_pending *p = NULL;
	uint8_t raw[256];
	struct bytes b;

	in.ms = ms;
	b = pack(&in, raw);
	assert_int_equal(errand_client_submit(c, "probe.v1.Probe", method, b.data, b.len, NULL, &cb, &p), 0);
	return p;
}

void dispatch_until(struct errand_client *c, struct waiter *w, int n)
{
	for (int i = 0; i < 5000 && w->n < n; i++) {
		struct pollfd p = {.fd = errand_client_fd(c), .events = errand_client_events(c)};

		poll(&p, 1, 20);
		if (errand_client_dispatch(c) < 0)
			break;
	}
	assert_int_equal(w->n, n);
}

int raw_connect(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(un.sun_path, socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof un), 0);
	return fd;
}

void restart_with(const char *const *more)
{
	client = errand_client_close(client);
	assert_int_equal(stop(), 0);
	start_with(more);
	assert_int_equal(errand_client_open(&client, socket_path, NULL), 0);
}
