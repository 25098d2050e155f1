/* hook_sign.c: see hook_sign.h. HMAC (RFC 2104) is written out over the plain SHA-256:
 * EVP would load its providers, 3 MB of memory (registry.c does the same). */
#define _GNU_SOURCE
#define OPENSSL_SUPPRESS_DEPRECATED
#include "service/hook_sign.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "errand/status.h"
#include "schema/base64.h"

#define FILE_MAX (64 << 10)
#define BLOCK 64 /* of SHA-256 */
#define PREFIX "whsec_"
#define REFUSE(...) (snprintf(why, why_size, __VA_ARGS__), -ERRAND_INVALID_ARGUMENT)

struct hook_keys {
	struct {
		uint8_t pad[BLOCK]; /* the secret, filled up with zeros: HMAC's key */
	} items[HOOK_KEYS_MAX];
	size_t n;
};

/* --- reading --- */

static int add_secret(struct hook_keys *k, struct bytes text, const char *name, unsigned line,
		      char *why, size_t why_size)
{
	struct buf secret = BUF_INIT;
	size_t prefix = strlen(PREFIX);
	int r = 0;

	if (k->n == HOOK_KEYS_MAX)
		return REFUSE("%s:%u: more than %d secrets", name, line, HOOK_KEYS_MAX);
	if (text.len < prefix || memcmp(text.data, PREFIX, prefix) != 0 ||
	    !base64_decode(&secret, (struct bytes){text.data + prefix, text.len - prefix}))
		r = REFUSE("%s:%u: a secret is %s and base64", name, line, PREFIX);
	else if (secret.len < HOOK_SECRET_MIN || secret.len > HOOK_SECRET_MAX)
		r = REFUSE("%s:%u: a secret has %d to %d bytes, this one has %zu", name, line,
			   HOOK_SECRET_MIN, HOOK_SECRET_MAX, secret.len);
	else
		memcpy(k->items[k->n++].pad, secret.data, secret.len);
	if (secret.data != NULL)
		explicit_bzero(secret.data, secret.cap);
	buf_deinit(&secret);
	return r;
}

static struct bytes trim(const uint8_t *p, size_t len)
{
	while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t' || p[len - 1] == '\r'))
		len--;
	for (; len > 0 && (*p == ' ' || *p == '\t'); p++)
		len--;
	return (struct bytes){p, len};
}

int hook_keys_parse(const char *name, struct bytes text, struct hook_keys **out, char *why,
		    size_t why_size)
{
	struct hook_keys *k = xcalloc(1, sizeof *k);
	const uint8_t *p = text.data, *end = text.data + text.len;
	int r = 0;

	for (unsigned line = 1; p < end && r == 0; line++) {
		const uint8_t *nl = memchr(p, '\n', (size_t)(end - p));
		struct bytes one = trim(p, (size_t)((nl != NULL ? nl : end) - p));

		if (one.len > 0 && one.data[0] != '#')
			r = add_secret(k, one, name, line, why, why_size);
		p = nl != NULL ? nl + 1 : end;
	}
	if (r == 0 && k->n == 0)
		r = REFUSE("%s: no secret in it: write %s and base64, one a line", name, PREFIX);
	if (r < 0)
		k = hook_keys_free(k);
	*out = k;
	return r;
}

static int open_private(const char *path, char *why, size_t why_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return REFUSE("%s: %s", path, strerror(errno));
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) == 0 &&
	    (st.st_uid == geteuid() || st.st_uid == 0))
		return fd;
	close(fd);
	return REFUSE("%s: secrets belong in a file of the service's user alone: chmod 600, chown", path);
}

int hook_keys_read(const char *path, struct hook_keys **out, char *why, size_t why_size)
{
	AUTO_CLOSE int fd = open_private(path, why, why_size);
	uint8_t *text;
	size_t len = 0;
	ssize_t n;
	int r;

	*out = NULL;
	if (fd < 0)
		return fd;
	text = xmalloc(FILE_MAX);
	while (len < FILE_MAX && (n = read(fd, text + len, FILE_MAX - len)) > 0)
		len += (size_t)n;
	r = len == FILE_MAX ? REFUSE("%s: larger than %d bytes", path, FILE_MAX) :
			      hook_keys_parse(path, (struct bytes){text, len}, out, why, why_size);
	explicit_bzero(text, FILE_MAX);
	free(text);
	return r;
}

size_t hook_keys_count(const struct hook_keys *k)
{
	return k->n;
}

struct hook_keys *hook_keys_free(struct hook_keys *k)
{
	if (k != NULL)
		explicit_bzero(k, sizeof *k);
	free(k);
	return NULL;
}

/* --- signing --- */

static void begin(SHA256_CTX *c, const uint8_t pad[BLOCK], uint8_t with)
{
	uint8_t block[BLOCK];

	for (int i = 0; i < BLOCK; i++)
		block[i] = pad[i] ^ with;
	SHA256_Init(c);
	SHA256_Update(c, block, BLOCK);
	explicit_bzero(block, sizeof block);
}

static void hmac(const uint8_t pad[BLOCK], struct bytes head, struct bytes body,
		 uint8_t out[SHA256_DIGEST_LENGTH])
{
	uint8_t inner[SHA256_DIGEST_LENGTH];
	SHA256_CTX c;

	begin(&c, pad, 0x36);
	SHA256_Update(&c, head.data, head.len);
	SHA256_Update(&c, body.data, body.len);
	SHA256_Final(inner, &c);
	begin(&c, pad, 0x5c);
	SHA256_Update(&c, inner, sizeof inner);
	SHA256_Final(out, &c);
}

void hook_sign(const struct hook_keys *k, const char *id, int64_t timestamp_s, struct bytes body,
	       struct buf *out)
{
	AUTO_BUF head = BUF_INIT;

	buf_printf(&head, "%s.%lld.", id, (long long)timestamp_s);
	for (size_t i = 0; i < k->n; i++) {
		uint8_t mac[SHA256_DIGEST_LENGTH];

		hmac(k->items[i].pad, buf_bytes(&head), body, mac);
		buf_append_str(out, i == 0 ? "v1," : " v1,");
		base64_encode(out, (struct bytes){mac, sizeof mac});
	}
}
