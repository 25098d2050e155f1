/* notify.h: tells whoever supervises us how we are: datagrams to $NOTIFY_SOCKET, as systemd's
 * sd_notify sends them, without its library. Without that variable nothing is sent. What cannot be
 * sent is dropped: nobody fails for want of a listener. Thread-safe, as long as nobody sets the
 * environment. */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

bool notify_wanted(void);   /* does anybody listen? */
void notify_ready(void);    /* READY=1: serving, or serving again after notify_reloading */
void notify_reloading(void); /* RELOADING=1; notify_ready must follow */
void notify_stopping(void); /* STOPPING=1 */
/* STATUS=, one line for people; control bytes become spaces. */
void notify_status(const char *fmt, ...) PRINTF(1, 2);

/* The supervisor kills us when it has not heard notify_watchdog for that long; 0: it does not
 * look. To be called where it shows that work goes on, at half of it. */
int64_t notify_watchdog_ns(void);
void notify_watchdog(void); /* WATCHDOG=1; never waits */

#endif
