/* readiness.h: can the service do what it is for? It cannot while the store takes no writes. Looks every second;
 * while it cannot, a write that changes nothing is tried as often, so that it is noticed when it can again, though nobody
 * asks for anything. Loop thread. */
#ifndef SERVICE_READINESS_H
#define SERVICE_READINESS_H

/* changed() is called when it is otherwise from now on. */
void readiness_start(void);
void readiness_on_change(void (*changed)(void));
void readiness_stop(void);
/* What is wrong, in words; "" when nothing is. */
const char *readiness_trouble(void);

#endif
