/* command_progress.h: what a program writes while it runs: how far it has got, by patterns of
 * its lines or as JSON on descriptor 3, and stdout, as far as the result is made of it.
 * errand_run's thread while the program runs, then whoever waited for it. */
#ifndef SERVICE_COMMAND_PROGRESS_H
#define SERVICE_COMMAND_PROGRESS_H

#include "errand/service.h"
#include "schema/schema.h"
#include "service/command_spec.h"

struct command_watch {
	const struct command_spec *spec;
	const struct schema *schema; /* has errand.v1.Progress, what descriptor 3 is told in */
	struct errand_call *call;
	double fraction;
	double done, total;   /* of the patterns; total 0: not known yet */
	char *text;           /* the last message; owned; NULL */
	bool keeps;           /* stdout belongs to the result: */
	struct buf output;
	bool too_much;        /* there was more than max_output */
	struct buf line;      /* stdout's that has no end yet */
};

void command_watch_init(struct command_watch *w, const struct command_spec *spec,
			const struct schema *schema, struct errand_call *call);
void command_watch_deinit(struct command_watch *w);
/* Sets what errand_run calls; w is its arg. */
void command_watch_attach(struct command_watch *w, struct errand_command *c);
/* The program has ended: a last line without an end is one, too. */
void command_watch_end(struct command_watch *w);

/* 0.4 of "40", 3723.5 of three texts "1", "02" and "03.5"; negative: none. */
double command_progress_number(const struct bytes *groups, unsigned n);

#endif
