/* reload.c: see reload.h. Strings of what needs a restart stay borrowed from the options of the start, so
 * those live on; of the later ones only the newest does. */
#define _GNU_SOURCE
#include "service/reload.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "service/command_spec.h"
#include "service/dispatch.h"
#include "service/drain.h"
#include "service/hook.h"
#include "service/identity.h"
#include "service/listener.h"
#include "service/session.h"

static struct options *first, *current;
static int n_args;
static char **args;

void reload_init(struct options *options, int argc, char **argv)
{
	first = current = options;
	n_args = argc;
	args = argv;
}

static void let_go(struct options *o)
{
	if (o == NULL || o == first)
		return;
	options_deinit(o);
	free(o);
}

void reload_deinit(void)
{
	let_go(current);
	first = current = NULL;
}

/* Methods of programs come, go and change; what runs goes on as it began. */
static void reload_commands(struct options *o)
{
	char why[512] = "";

	if (command_reload(&o->commands, why, sizeof why) < 0)
		log_error("programs: the former configuration stays", "reason=\"%s\"", why);
}

static void apply(struct options *o)
{
	const struct session_limits limits = options_session_limits(o);
	const struct listener_config who = options_listener(o);

	log_init("errand-service", o->level);
	log_format_set(o->format);
	session_set_limits(&limits);
	listener_set_allowed(&who);
	identity_allow(o->gateways, o->gateway_uid.n);
	dispatch_init(o->default_deadline);
	drain_set_timeout(o->drain_timeout);
	reload_commands(o);
}

void reload_now(void)
{
	struct options *next = xcalloc(1, sizeof *next);

	log_info("SIGHUP: reloading", NULL);
	hook_reload();
	if (options_reload(current, next, n_args, args) < 0) {
		free(next);
		return;
	}
	apply(next);
	let_go(current);
	current = next;
}
