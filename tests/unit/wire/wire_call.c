/* wire_call [--plain] [--stream] [--timeout-ms N] [--meta K=V]... SOCKET SERVICE METHOD [HEX]:
 * one call by the C client library. Prints "message HEX" for each of a stream, then
 * "code=N message=TEXT", the payload in hexadecimal, and "problem HEX" if there is
 * one: what tests/go/ttrpc_call prints, so that the two can be compared. Exit
 * status: 0 ok, 1 the method answered an error, 2 no answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errand/client.h"

static void print_hex(const char *label, const void *data, size_t len)
{
	printf("%s", label);
	for (size_t i = 0; i < len; i++)
		printf("%02x", ((const unsigned char *)data)[i]);
	printf("\n");
}

static size_t parse_hex(const char *s, unsigned char *out)
{
	size_t n = 0;
	unsigned v;

	for (; sscanf(s, "%2x", &v) == 1 && s[0] != '\0' && s[1] != '\0'; s += 2)
		out[n++] = (unsigned char)v;
	return n;
}

static int on_message(const void *message, size_t len, void *arg)
{
	print_hex("message ", message, len);
	return 0;
}

struct args {
	struct errand_client_options client;
	struct errand_call_options call;
	struct errand_pair meta[16];
	int stream;
	char **rest;
};

static int parse(struct args *a, char **argv)
{
	a->call.metadata = a->meta;
	for (; *argv != NULL && strncmp(*argv, "--", 2) == 0; argv++) {
		if (strcmp(*argv, "--plain") == 0) {
			a->client.plain = 1;
		} else if (strcmp(*argv, "--stream") == 0) {
			a->stream = 1;
		} else if (strcmp(*argv, "--timeout-ms") == 0 && argv[1] != NULL) {
			a->call.timeout_ns = atoll(*++argv) * 1000000;
		} else if (strcmp(*argv, "--meta") == 0 && argv[1] != NULL && a->call.n_metadata < 16) {
			char *eq = strchr(*++argv, '=');

			if (eq == NULL)
				return -1;
			*eq = '\0';
			a->meta[a->call.n_metadata++] = (struct errand_pair){*argv, eq + 1};
		} else {
			return -1;
		}
	}
	a->rest = argv;
	return argv[0] && argv[1] && argv[2] ? 0 : -1;
}

static int print_reply(struct errand_reply *r)
{
	int exit_code = r->code == 0 ? 0 : 1;

	printf("code=%d message=%s\n", r->code, r->message);
	print_hex("", r->payload, r->payload_len);
	if (r->problem != NULL)
		print_hex("problem ", r->problem, r->problem_len);
	errand_reply_free(r);
	return exit_code;
}

int main(int argc, char **argv)
{
	static unsigned char payload[1 << 20];
	struct args a = {0};
	struct errand_client *c;
	struct errand_reply *r;
	size_t len = 0;
	int err;

	if (parse(&a, argv + 1) < 0 || (a.rest[3] != NULL && strlen(a.rest[3]) > sizeof payload)) {
		fprintf(stderr, "usage: wire_call [--plain] [--stream] [--timeout-ms N] "
				"[--meta K=V]... SOCKET SERVICE METHOD [HEX]\n");
		return 64;
	}
	if (a.rest[3] != NULL)
		len = parse_hex(a.rest[3], payload);
	err = errand_client_open(&c, a.rest[0], &a.client);
	if (err == 0)
		err = errand_client_stream(c, a.rest[1], a.rest[2], payload, len, &a.call,
					   a.stream ? on_message : NULL, NULL, &r);
	if (err < 0)
		printf("code=%d (here) message=%s\n", -err, c ? errand_client_error(c) : "no memory");
	errand_client_close(c);
	return err < 0 ? 2 : print_reply(r);
}
