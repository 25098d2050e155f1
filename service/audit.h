/* audit.h: what operators do is in the log: who, which method, of which thing, how it ended.
 * Loop thread. */
#ifndef SERVICE_AUDIT_H
#define SERVICE_AUDIT_H

struct errand_call;

/* A line when the call, or the attempt of a task, was of a method for operators. */
void audit_call(struct errand_call *call, int code);

#endif
