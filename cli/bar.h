/* bar.h: one line of progress on a terminal, drawn over itself. */
#ifndef CLI_BAR_H
#define CLI_BAR_H

#include "base/buf.h"

/* What the time left is reckoned from: the first progress of this attempt. */
struct bar {
	int64_t since_ns; /* monotonic; 0 = nothing yet */
	double since;     /* fraction then */
};

/* Seconds left at `fraction`, or -1 while nobody can tell. */
int64_t bar_eta(struct bar *b, double fraction, int64_t now_ns);
/* An attempt began: its progress starts anew. */
void bar_restart(struct bar *b);

/* Appends `label bar 41%  ETA 0:12  message`, at most width columns, as UTF-8
 * blocks or as plain ASCII. eta_s < 0: none. */
void bar_draw(struct buf *out, const char *label, double fraction, int64_t eta_s,
	      const char *message, int width, bool utf8);

/* Columns of UTF-8 text, one for each character. */
size_t bar_columns(const char *text, size_t len);

#endif
