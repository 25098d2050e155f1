/* supervise.h: what systemd is told of the service (base/notify.h): that it serves, how it is, and,
 * where it has a WatchdogSec, that the loop still turns: the timer that says so is the loop's, so a
 * loop that hangs falls silent. Loop thread. */
#ifndef SERVICE_SUPERVISE_H
#define SERVICE_SUPERVISE_H

void supervise_start(void);     /* serving */
void supervise_reloading(void); /* SIGHUP is being worked on */
void supervise_reloaded(void);
void supervise_stopping(void);
void supervise_stop(void);      /* nothing is said any more */

#endif
