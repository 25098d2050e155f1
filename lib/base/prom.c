/* prom.c: see prom.h. */
#define _GNU_SOURCE
#include "base/prom.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const struct {
	int64_t ns;
	const char *le;
} buckets[PROM_BUCKETS] = {
	{100000, "0.0001"}, {250000, "0.00025"}, {500000, "0.0005"}, {1000000, "0.001"},
	{2500000, "0.0025"}, {5000000, "0.005"}, {10000000, "0.01"}, {25000000, "0.025"},
	{50000000, "0.05"}, {100000000, "0.1"}, {250000000, "0.25"}, {500000000, "0.5"},
	{1000000000, "1"}, {2500000000, "2.5"}, {5000000000, "5"}, {10000000000, "10"},
	{30000000000, "30"}, {60000000000, "60"},
};

void prom_observe(struct prom_histogram *h, int64_t ns)
{
	size_t b = 0;

	while (b < PROM_BUCKETS && ns > buckets[b].ns)
		b++;
	prom_count(&h->n[b]);
	atomic_fetch_add_explicit(&h->sum_ns, (uint64_t)(ns > 0 ? ns : 0), memory_order_relaxed);
}

void prom_family(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void prom_value(struct buf *b, const char *name, const char *labels, uint64_t n)
{
	buf_printf(b, "%s%s %llu\n", name, labels, (unsigned long long)n);
}

void prom_label(struct buf *b, const char *value)
{
	for (; *value != '\0'; value++) {
		if (*value == '\\' || *value == '"')
			buf_append_byte(b, '\\');
		if (*value == '\n')
			buf_append_str(b, "\\n");
		else
			buf_append_byte(b, (uint8_t)*value);
	}
}

void prom_histogram(struct buf *b, const char *name, const char *labels, const struct prom_histogram *h)
{
	const char *comma = *labels != '\0' ? "," : "", *open = *labels != '\0' ? "{" : "",
		   *close = *labels != '\0' ? "}" : "";
	uint64_t so_far = 0;

	for (size_t i = 0; i <= PROM_BUCKETS; i++) {
		so_far += prom_read(&h->n[i]);
		buf_printf(b, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, labels, comma,
			   i < PROM_BUCKETS ? buckets[i].le : "+Inf", (unsigned long long)so_far);
	}
	buf_printf(b, "%s_sum%s%s%s %.9f\n%s_count%s%s%s %llu\n", name, open, labels, close,
		   (double)prom_read(&h->sum_ns) / 1e9, name, open, labels, close, (unsigned long long)so_far);
}

/* --- the process; 0: not known, as without a file descriptor left --- */

static uint64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long size, pages = 0;

	if (f != NULL && fscanf(f, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	if (f != NULL)
		fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n > 3 ? n - 3 : 0; /* `.`, `..` and the folder itself */
}

/* Seconds since 1970; 0 when /proc does not tell. */
static double start_time(void)
{
	FILE *f = fopen("/proc/self/stat", "re");
	unsigned long long ticks = 0;
	struct timespec wall, boot;
	char line[1024], *at = NULL;

	if (f != NULL && fgets(line, sizeof line, f) != NULL)
		at = strrchr(line, ')');
	if (f != NULL)
		fclose(f);
	for (int i = 0; at != NULL && i < 20; i++)
		at = strchr(at + 1, ' ');
	if (at == NULL || (ticks = strtoull(at, NULL, 10)) == 0)
		return 0;
	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (double)wall.tv_sec + (double)wall.tv_nsec / 1e9 - (double)boot.tv_sec - (double)boot.tv_nsec / 1e9 +
	       (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static void put_known(struct buf *b, const char *name, const char *help, uint64_t n)
{
	if (n == 0)
		return;
	prom_family(b, name, "gauge", help);
	prom_value(b, name, "", n);
}

void prom_process(struct buf *b)
{
	struct rusage u = {0};

	getrusage(RUSAGE_SELF, &u);
	put_known(b, "process_resident_memory_bytes", "Resident memory.", resident_bytes());
	put_known(b, "process_open_fds", "Open file descriptors.", open_files());
	prom_family(b, "process_cpu_seconds_total", "counter", "User and system time.");
	buf_printf(b, "process_cpu_seconds_total %.6f\n", (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		   (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
	prom_family(b, "process_start_time_seconds", "gauge", "When it was started, in seconds since 1970.");
	buf_printf(b, "process_start_time_seconds %.2f\n", start_time());
}
