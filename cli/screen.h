/* screen.h: a terminal as one picture that is drawn over itself: its other screen, keys as they
 * are pressed, its size; given back as it was on every way out, signals included. No curses:
 * whole frames of text need six escape sequences that every terminal has had since the VT100, and
 * no library. One at a time; one thread. */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include <stdbool.h>

#include "base/buf.h"

enum screen_key { KEY_NONE, KEY_UP = 256, KEY_DOWN, KEY_PAGE_UP, KEY_PAGE_DOWN, KEY_HOME, KEY_END };

/* False: stdin and stdout are not both a terminal that can do it. */
bool screen_open(void);
void screen_close(void);

/* A key as its character or an enum screen_key, KEY_NONE after timeout_ms or a new size; -1
 * when the terminal is gone. */
int screen_key(int timeout_ms);
void screen_size(int *rows, int *columns);
/* Lines, each ended by a newline, no more than there are rows. */
void screen_draw(const struct buf *frame);

#endif
