/* c_client.c: c_client SOCKET SERVICE METHOD: calls a method with the message on
 * stdin and writes the answer's to stdout, by liberrand alone. Exit status: the
 * call's code, or 100 when there was no answer. */
#include <stdio.h>
#include <stdlib.h>

#include <errand/client.h>

int main(int argc, char **argv)
{
	static char input[1 << 20];
	struct errand_client *client;
	struct errand_reply *reply;
	size_t len;
	int code;

	if (argc != 4)
		return 64;
	len = fread(input, 1, sizeof input, stdin);
	if (errand_client_open(&client, argv[1], NULL) < 0 ||
	    errand_client_call(client, argv[2], argv[3], input, len, NULL, &reply) < 0) {
		fprintf(stderr, "c_client: %s\n", errand_client_error(client));
		errand_client_close(client);
		return 100;
	}
	code = reply->code;
	if (code != 0)
		fprintf(stderr, "%d %s\n", code, reply->message);
	fwrite(reply->payload, 1, reply->payload_len, stdout);
	errand_reply_free(reply);
	errand_client_close(client);
	return code;
}
