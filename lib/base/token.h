/* token.h: bearer tokens: `erd_` and 256 random bits in base64url. Who checks them knows their
 * SHA-256 only, in a file that `errand token` writes and errand-gateway reads, one a line:
 *
 *     ID SHA256 SCOPES CREATED EXPIRES REVOKED NAME
 *     3f9a0c21b7de 3f9a0c21b7de... read,call:shop.v1.Shop 2026-11-23T02:00:00Z 2027-02-21T02:00:00Z - ci
 *
 * ID is how the hash begins, - is never; lines that begin with # are comments, which stay where they are, as empty lines
 * do. No token is there twice. It is for its owner and group alone. Allocation failure ends the process. */
#ifndef BASE_TOKEN_H
#define BASE_TOKEN_H

#include <stdint.h>

#include "base/grants.h"

enum {
	TOKEN_HASH = 32,      /* bytes of SHA-256 */
	TOKEN_LEN = 4 + 43,   /* of its text */
	TOKEN_ID = 12,        /* hexadecimal digits */
	TOKEN_NAME_MAX = 64,
	TOKENS_MAX = 4096,    /* in one file */
};

struct token {
	char *above;          /* the lines without a token that stand above it, as they are; NULL: none; owned */
	uint8_t hash[TOKEN_HASH];
	char id[TOKEN_ID + 1];
	char *name, *scopes;  /* owned */
	struct grants grants; /* what scopes says */
	int64_t created_s, expires_s, revoked_s; /* since 1970; 0: never */
};

struct token_file {
	struct token *items; /* n; in the order of the file; owned */
	size_t n;
	char *below;         /* the lines behind the last one; NULL: none; owned */
};

/* 0, or negative with "FILE:LINE: what" in why: -ERRAND_NOT_FOUND there is none, -ERRAND_PERMISSION_DENIED others may
 * read it, -ERRAND_INVALID_ARGUMENT it is wrong. */
int token_file_read(const char *path, struct token_file *out, char *why, size_t why_size);
/* Replaces it (what a link names, when path is one), on the disk when this returns; whose it is and its mode stay, a new
 * one has 0600. Who changes it holds token_file_lock from before the reading. 0 or -errno: it is as it was. */
int token_file_write(const char *path, const struct token_file *file);
/* A descriptor that is closed to let go, or -errno. */
int token_file_lock(const char *path);
void token_file_deinit(struct token_file *f);
/* Takes away the i-th; what stands above it stays. */
void token_file_remove(struct token_file *f, size_t i);

/* A new one, with its text, which is nowhere else. 0 or -errno: no randomness. */
int token_make(struct token *out, char text[TOKEN_LEN + 1]);
/* Is it how a token looks? */
bool token_is(const char *text, size_t len);
void token_hash(const char *text, size_t len, uint8_t out[TOKEN_HASH]);
/* In the same time wherever they differ. */
bool token_same(const uint8_t a[TOKEN_HASH], const uint8_t b[TOKEN_HASH]);
bool token_name_good(const char *name);
/* NULL: it counts. Or why it does not (any more). */
const char *token_ended(const struct token *t, int64_t now_s);

#endif
