/* store_check.c: `errand-service --check-store`: the check of a store no service uses,
 * as one that refuses to start. Main thread, before there are others. */
#define _GNU_SOURCE
#include "service/store_check.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "errand/status.h"
#include "service/store.h"
#include "service/store_file.h"

static int print_report(const char *path, const struct store_report *r)
{
	for (size_t i = 0; i < r->n; i++)
		printf("%s\n", r->faults[i]);
	if (r->n > 0) {
		fprintf(stderr, "errand-service: store %s: damaged; it was not changed: restore a copy, or see "
			"what `sqlite3 FILE .recover` can save\n", path);
		return -ERRAND_DATA_LOSS;
	}
	printf("%s: sound, schema %d, %llu tasks\n", path, r->version, (unsigned long long)r->tasks);
	return 0;
}

static int check(const char *path)
{
	struct store_report report = {0};
	struct store_file file;
	char why[512] = "", hint[] = "; or ask it: errand store check";
	struct stat st;
	int r;

	if (lstat(path, &st) < 0) {
		fprintf(stderr, "errand-service: store %s: there is no such file\n", path);
		return -ERRAND_UNAVAILABLE;
	}
	r = store_file_claim(&file, path, why, sizeof why);
	if (r == 0) {
		r = store_check_file(path, &report, why, sizeof why);
		if (r == 0)
			r = print_report(path, &report);
		store_report_deinit(&report);
		store_file_release(&file);
	}
	if (why[0] != 0)
		fprintf(stderr, "errand-service: %s%s\n", why, r == -ERRAND_ALREADY_EXISTS ? hint : "");
	return r;
}

int store_check_command(const char *spec)
{
	const char *path;
	const struct store_ops *ops = store_kind(spec, &path);

	if (ops != NULL && ops->stat != NULL && *path != 0)
		return check(path);
	fprintf(stderr, "errand-service: --check-store: store %s is no file; write --store sqlite:FILE\n", spec);
	return -ERRAND_INVALID_ARGUMENT;
}
