#define _GNU_SOURCE
#include "cli/figures.h"

#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"

static void take_text(struct bytes text, char *out, size_t size)
{
	size_t n = MIN(text.len, size - 1);

	for (size_t i = 0; i < n; i++) /* a peer's: nothing that moves a cursor */
		out[i] = text.data[i] < ' ' || text.data[i] == 0x7f ? '?' : (char)text.data[i];
	out[n] = '\0';
}

/* The next of a reply's items, which are its field 1. */
static bool next_item(struct pbuf_reader *r, struct bytes *item)
{
	struct pbuf_field f;

	while (pbuf_next(r, &f)) {
		*item = f.bytes;
		if (f.number == 1 && f.wire == PBUF_LEN)
			return true;
	}
	return false;
}

/* --- Server --- */

static void read_store_state(struct bytes wire, struct figures_server *out)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		switch (f.number) {
		case 1: take_text(f.bytes, out->store_kind, sizeof out->store_kind); break;
		case 2: out->store_ok = f.value; break;
		case 3: take_text(f.bytes, out->store_error, sizeof out->store_error); break;
		}
}

void figures_server(struct bytes wire, struct figures_server *out)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	*out = (struct figures_server){0};
	while (pbuf_next(&r, &f))
		switch (f.number) {
		case 1: take_text(f.bytes, out->version, sizeof out->version); break;
		case 2: out->pid = (int64_t)f.value; break;
		case 3: out->start_us = task_view_time(f.bytes); break;
		case 4: out->uptime_us = task_view_time(f.bytes); break;
		case 5: out->draining = f.value; break;
		case 6: read_store_state(f.bytes, out); break;
		case 7: out->calls = f.value; break;
		case 8: out->running = f.value; break;
		case 9: out->queued = f.value; break;
		case 10: out->queues = f.value; break;
		case 11: out->workers = f.value; break;
		case 12: out->sessions = f.value; break;
		case 13: out->max_sessions = f.value; break;
		}
}

/* --- Queue --- */

static void read_stats(struct bytes wire, struct figures_queue *out)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		switch (f.number) {
		case 1: out->queued = f.value; break;
		case 2: out->running = f.value; break;
		case 3: out->age_us = task_view_time(f.bytes); break;
		case 4: out->done = pbuf_double(f.value); break;
		case 6: out->ended = f.value; break;
		}
}

void figures_queue(struct bytes wire, struct figures_queue *out)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	*out = (struct figures_queue){0};
	while (pbuf_next(&r, &f))
		switch (f.number) {
		case 1: take_text(f.bytes, out->name, sizeof out->name); break;
		case 2: out->slots = f.value; break;
		case 3: out->limit = pbuf_double(f.value); break;
		case 6: out->paused = f.value; break;
		case 16: read_stats(f.bytes, out); break;
		}
}

size_t figures_queues(struct bytes wire, struct figures_queue *out, size_t max)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct bytes item;
	size_t n = 0;

	for (; next_item(&r, &item); n++)
		if (n < max)
			figures_queue(item, &out[n]);
	return n;
}

/* --- Worker --- */

static void read_worker(struct bytes wire, struct figures_worker *out)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	*out = (struct figures_worker){0};
	while (pbuf_next(&r, &f))
		switch (f.number) {
		case 1: take_text(f.bytes, out->name, sizeof out->name); break;
		case 2: out->connected = f.bytes.len > 0; break;
		case 5:
		case 6: out->places += f.value; break;
		case 7:
		case 8: out->running += f.value; break;
		case 12: out->draining = f.value; break;
		}
}

size_t figures_workers(struct bytes wire, struct figures_worker *out, size_t max)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct bytes item;
	size_t n = 0;

	for (; next_item(&r, &item); n++)
		if (n < max)
			read_worker(item, &out[n]);
	return n;
}

/* --- StoreInfo --- */

static void read_count(struct bytes wire, struct figures_store *out)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	uint64_t state = 0, count = 0;
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		*(f.number == 1 ? &state : &count) = f.value;
	if (state < TASK_N_STATES)
		out->tasks[state] = count;
}

void figures_store(struct bytes wire, struct figures_store *out)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	int64_t *const numbers[] = {
		[3] = &out->schema_version, &out->size, &out->log_size, &out->page_size, &out->pages,
		&out->free_pages, &out->reserve,
	};
	struct pbuf_field f;

	*out = (struct figures_store){0};
	while (pbuf_next(&r, &f))
		switch (f.number) {
		case 1: take_text(f.bytes, out->kind, sizeof out->kind); break;
		case 2: take_text(f.bytes, out->path, sizeof out->path); break;
		case 10: read_count(f.bytes, out); break;
		case 11: take_text(f.bytes, out->error, sizeof out->error); break;
		default:
			if (f.number < ARRAY_LEN(numbers) && numbers[f.number] != NULL)
				*numbers[f.number] = (int64_t)f.value;
		}
}

/* --- the gateway --- */

bool figures_build(const char *metrics, const char *name, char out[48])
{
	AUTO_FREE char *begin = xasprintf("\n%s{version=\"", name);
	const char *p = strstr(metrics, begin);
	size_t n;

	if (p == NULL)
		return false;
	p += strlen(begin);
	n = strcspn(p, "\"\n");
	take_text((struct bytes){(const uint8_t *)p, n}, out, 48);
	return true;
}
