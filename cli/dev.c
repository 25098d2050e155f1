/* dev.c: `errand dev`: the service and the gateway in the foreground, for
 * somebody who writes a module. One thread: a poll over signals and the pipes on
 * which the daemons say that they are ready. The service is started first and
 * stopped last. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/dev_child.h"
#include "cli/dev_find.h"
#include "cli/dev_http.h"
#include "cli/dev_project.h"

struct dev_conf {
	const char *listen, *state, *store, *slots, *log_level;
	struct opt_list queues;
	int64_t drain;
	bool json;
};

#define O(field) offsetof(struct dev_conf, field)
static const struct opt options[] = {
	{"listen", 'l', OPT_STRING, O(listen), "127.0.0.1:8080", 0, 0, "ADDR",
	 "HOST:PORT of the gateway; port 0 picks a free one"},
	{"state", 0, OPT_STRING, O(state), NULL, 0, 0, "DIR",
	 "for the socket and the store; default ~/.local/state/errand/dev"},
	{"store", 0, OPT_STRING, O(store), NULL, 0, 0, "STORE",
	 "memory or sqlite:FILE; default sqlite:DIR/tasks.db"},
	{"slots", 0, OPT_STRING, O(slots), NULL, 0, 0, "N", "tasks of one queue at a time"},
	{"queue", 'q', OPT_LIST, O(queues), NULL, 0, 0, "NAME=SLOTS", "slots of one queue"},
	{"drain-timeout", 0, OPT_TIME, O(drain), "10s", 0, 3600 * NS_PER_S, "TIME",
	 "for work under way when stopping"},
	{"log-level", 0, OPT_STRING, O(log_level), "info", 0, 0, "LEVEL",
	 "of both daemons: error, warn, info or debug"},
	{"json", 'j', OPT_FLAG, O(json), NULL, 0, 0, NULL, "say what happens as JSON lines"},
};
#undef O

static const char usage[] =
	"errand dev [options] [DIR | MODULE.so | FILE.conf]...\n\n"
	"Runs errand-service with the modules and configurations (none: the example) and\n"
	"errand-gateway until it is stopped (^C), and starts again what dies. A directory is built by\n"
	"make, its modules are loaded, and both are done again whenever a source in it changes.";

enum { SERVICE, GATEWAY, N_CHILDREN };

/* A pause before a restart that has grown so long: it does not help. */
#define LIMIT_NS (3 * NS_PER_S)

struct dev {
	struct dev_conf conf;
	char *state, *socket;  /* owned */
	char *runtime;         /* owned; our own folder for the socket when state is too deep; NULL */
	char *address;         /* owned; HOST:PORT as the gateway has it, once known */
	char *url;             /* owned */
	char *texts[8];        /* owned arguments of the daemons */
	size_t n_texts;
	struct dev_child children[N_CHILDREN];
	size_t listen_at;      /* index in the gateway's argv of its address */
	int signals;           /* signalfd */
	int64_t begin_ns;
	int n_stops;           /* SIGTERM and SIGINT so far */
	int64_t kill_ns;       /* when what still runs after a stop is killed */
	struct dev_project project;
	bool replacing;        /* the service was told to end, for a new one to begin */
	bool failed;           /* a daemon did not start, or had to be killed */
	bool announced;
};

/* --- saying --- */

/* A JSON line or a line for people on stdout; key may be NULL. */
static void say(const struct dev *d, const char *event, const char *name, const char *fmt, ...)
	PRINTF(4, 5);
static void say(const struct dev *d, const char *event, const char *name, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	AUTO_BUF line = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	if (!d->conf.json) {
		printf("%s %s\n", name, text);
	} else {
		buf_printf(&line, "{\"event\":\"%s\",\"name\":\"%s\",\"detail\":", event, name);
		json_put_cstr(&line, text);
		printf("%s}\n", buf_cstr(&line));
	}
	fflush(stdout);
}

static void announce(struct dev *d)
{
	double ms = (double)(clock_mono_ns() - d->begin_ns) / (double)NS_PER_MS;
	AUTO_FREE char *docs = xasprintf("%s/docs", d->url);

	d->announced = true;
	if (d->conf.json) {
		AUTO_BUF line = BUF_INIT;

		buf_append_str(&line, "{\"event\":\"ready\",\"url\":");
		json_put_cstr(&line, d->url);
		buf_append_str(&line, ",\"socket\":");
		json_put_cstr(&line, d->socket);
		buf_append_str(&line, ",\"docs\":");
		json_put_cstr(&line, docs);
		printf("%s,\"ready_ms\":%.1f}\n", buf_cstr(&line), ms);
	} else {
		printf("errand dev: ready in %.0f ms\n  %-8s %s\n  %-8s %s\n  %-8s %s\n  %-8s %s\n", ms,
		       "url", d->url, "docs", docs, "socket", d->socket, "state", d->state);
	}
	fflush(stdout);
}

/* --- folders --- */

static bool make_folders(const char *path)
{
	AUTO_FREE char *copy = xstrdup(path);

	for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(copy, 0755);
		*slash = '/';
	}
	if (mkdir(copy, 0700) == 0 || errno == EEXIST)
		return true;
	cli_error("dev: cannot make %s: %s", path, strerror(errno));
	return false;
}

static char *default_state(void)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (xdg != NULL && *xdg == '/')
		return xasprintf("%s/errand/dev", xdg);
	return xasprintf("%s/.local/state/errand/dev",
			 home != NULL && *home == '/' ? home : "/tmp");
}

/* The socket is DIR/service.sock; where that is too long for sun_path (the service
 * needs some bytes more for its temporary name) it goes to a folder of our own. */
static bool prepare_folders(struct dev *d)
{
	enum { SPARE = 16 };
	AUTO_FREE char *named = d->conf.state != NULL ? xstrdup(d->conf.state) : default_state();
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (!make_folders(named))
		return false;
	d->state = realpath(named, NULL);
	if (d->state == NULL) {
		cli_error("dev: %s: %s", named, strerror(errno));
		return false;
	}
	d->socket = xasprintf("%s/service.sock", d->state);
	if (strlen(d->socket) + SPARE < sizeof((struct sockaddr_un *)0)->sun_path)
		return true;
	if (run == NULL || *run != '/' || strlen(run) > 48 || access(run, W_OK) < 0)
		run = "/tmp";
	d->runtime = xasprintf("%s/errand-dev.XXXXXX", run);
	if (mkdtemp(d->runtime) == NULL) {
		cli_error("dev: %s: %s", d->runtime, strerror(errno));
		free(d->runtime);
		d->runtime = NULL;
		return false;
	}
	free(d->socket);
	d->socket = xasprintf("%s/service.sock", d->runtime);
	return true;
}

static void remove_runtime(struct dev *d)
{
	AUTO_FREE char *lock = NULL;

	if (d->runtime == NULL)
		return;
	lock = xasprintf("%s.lock", d->socket);
	unlink(d->socket);
	unlink(lock);
	rmdir(d->runtime);
}

/* --- the daemons' command lines --- */

/* Takes text; it lives as long as d. */
static const char *keep(struct dev *d, char *text)
{
	d->texts[d->n_texts++] = text;
	return text;
}

static void arg(struct dev_child *c, const char *name, const char *value)
{
	if (value == NULL)
		return;
	dev_child_arg(c, name);
	dev_child_arg(c, value);
}

static bool is_folder(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 && S_ISDIR(st.st_mode);
}

/* At most one of the operands. */
static bool prepare_project(struct dev *d, int n, char **names)
{
	for (int i = 0; i < n; i++) {
		if (!is_folder(names[i]))
			continue;
		if (d->project.dir != NULL) {
			cli_error("dev: one directory can be watched, not %s as well", names[i]);
			return false;
		}
		if (!dev_project_open(&d->project, names[i]))
			return false;
	}
	return true;
}

static bool is_configuration(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

/* Settings of both and programs as methods; not those of this machine's service. */
static void configure(struct dev_child *c, int n, char **names)
{
	size_t had = c->n_argv;

	for (int i = 0; i < n; i++)
		if (is_configuration(names[i]))
			arg(c, "--config", names[i]);
	if (c->n_argv == had)
		arg(c, "--config", "none");
}

/* Modules, and configurations. */
static bool prepare_service(struct dev *d, int n_modules, char **modules)
{
	char *program = dev_find_program("errand-service", "ERRAND_SERVICE");
	struct dev_child *c = &d->children[SERVICE];

	if (program == NULL)
		return false;
	dev_child_init(c, "errand-service", keep(d, program));
	arg(c, "--socket", d->socket);
	arg(c, "--state", d->state);
	arg(c, "--store", d->conf.store);
	arg(c, "--slots", d->conf.slots);
	for (size_t i = 0; i < d->conf.queues.n; i++)
		arg(c, "--queue", d->conf.queues.items[i]);
	arg(c, "--log-level", d->conf.log_level);
	arg(c, "--drain-timeout", keep(d, xasprintf("%lldms", (long long)(d->conf.drain / NS_PER_MS))));
	configure(c, n_modules, modules);
	for (int i = 0; i < n_modules; i++)
		if (!is_configuration(modules[i]) && !is_folder(modules[i]))
			arg(c, "--module", modules[i]);
	for (size_t i = 0; i < d->project.n_modules; i++)
		arg(c, "--module", d->project.modules[i]);
	if (n_modules == 0) {
		char *example = dev_find_example();

		if (example == NULL)
			return false;
		arg(c, "--module", keep(d, example));
	}
	return true;
}

static bool prepare_gateway(struct dev *d, int n_modules, char **modules)
{
	char *program = dev_find_program("errand-gateway", "ERRAND_GATEWAY"), *docs;
	struct dev_child *c = &d->children[GATEWAY];

	if (program == NULL)
		return false;
	dev_child_init(c, "errand-gateway", keep(d, program));
	configure(c, n_modules, modules);
	arg(c, "--socket", d->socket);
	arg(c, "--log-level", d->conf.log_level);
	arg(c, "--drain-timeout", keep(d, xasprintf("%lldms", (long long)(d->conf.drain / NS_PER_MS))));
	docs = dev_find_docs();
	if (docs != NULL)
		arg(c, "--docs", keep(d, docs));
	dev_child_arg(c, "--insecure-listen"); /* who develops says himself where */
	arg(c, "--listen", d->conf.listen);
	d->listen_at = c->n_argv - 1;
	return true;
}

/* --- running --- */

static bool start(struct dev *d, struct dev_child *c)
{
	int r = dev_child_start(c);

	if (r == 0)
		return true;
	cli_error("dev: cannot start %s: %s", c->name, strerror(-r));
	c->restart_ns = clock_mono_ns() + NS_PER_S;
	return false;
}

/* The gateway said its port: from now on it is always this one. */
static void learn_address(struct dev *d)
{
	struct dev_child *c = &d->children[GATEWAY];
	const char *colon = strrchr(d->conf.listen, ':');
	int host_len = colon != NULL ? (int)(colon - d->conf.listen) : 0;
	const char *host = d->conf.listen;

	if (d->address != NULL)
		return;
	d->address = xasprintf("%.*s:%s", host_len, host, c->said);
	c->argv[d->listen_at] = d->address;
	if (host_len == 0 || strncmp(host, "0.0.0.0:", 8) == 0 || strncmp(host, "*:", 2) == 0)
		d->url = xasprintf("http://127.0.0.1:%s", c->said);
	else if (strncmp(host, "[::]:", 5) == 0)
		d->url = xasprintf("http://[::1]:%s", c->said);
	else
		d->url = xasprintf("http://%s", d->address);
}

static void on_ready(struct dev *d, struct dev_child *c)
{
	if (c == &d->children[GATEWAY])
		learn_address(d);
	else if (d->children[GATEWAY].pid == 0 && !d->children[GATEWAY].was_ready)
		start(d, &d->children[GATEWAY]);
	if (d->announced)
		say(d, "restarted", c->name, "runs again");
}

/* Stop step by step: the gateway, when that is gone the service. The second signal
 * and the deadline hurry both. */
static void signal_children(struct dev *d, int signal)
{
	pid_t gateway = d->children[GATEWAY].pid, service = d->children[SERVICE].pid;

	if (gateway > 0)
		kill(gateway, signal);
	if (service > 0 && (gateway == 0 || signal == SIGKILL || d->n_stops > 1))
		kill(service, signal);
}

static void stop(struct dev *d)
{
	d->n_stops++;
	if (d->n_stops == 1 && !d->failed)
		say(d, "stopping", "errand dev", "stopping");
	/* each has its drain time, one after the other, and some for the end */
	d->kill_ns = clock_mono_ns() + 2 * d->conf.drain + 5 * NS_PER_S;
	for (int i = 0; i < N_CHILDREN; i++)
		d->children[i].restart_ns = 0;
	dev_project_close(&d->project);
	signal_children(d, SIGTERM);
}

/* A daemon that fails before it was ready once would only fail again. */
static void on_exit_of(struct dev *d, struct dev_child *c, int status)
{
	char how[96];

	dev_child_ended(c, status, how, sizeof how);
	if (d->n_stops > 0) {
		c->restart_ns = 0;
		if (WIFSIGNALED(status) && !d->failed)
			cli_error("dev: %s %s while stopping", c->name, how);
	} else if (!c->was_ready) {
		cli_error("dev: %s did not start: it %s (its reasons are above)", c->name, how);
		d->failed = true;
		stop(d);
	} else if (d->replacing && c == &d->children[SERVICE]) {
		d->replacing = false;
		c->restart_ns = clock_mono_ns();
		c->pause_ns = 0;
	} else if (d->project.dir != NULL && c->pause_ns >= LIMIT_NS) {
		c->restart_ns = 0;
		say(d, "given up", c->name, "%s, as often before: it waits for a change of the sources", how);
	} else {
		say(d, "died", c->name, "%s: starting it again", how);
	}
}

/* --- a project --- */

/* The gateway keeps its sockets, and requests wait in it. */
static void replace_service(struct dev *d)
{
	struct dev_child *c = &d->children[SERVICE];

	c->pause_ns = 0;
	if (c->pid > 0) {
		d->replacing = true;
		kill(c->pid, SIGTERM);
	} else {
		start(d, c);
	}
}

static void on_built(struct dev *d, int status)
{
	switch (dev_project_built(&d->project, status)) {
	case 0:
		say(d, "built", "make", "is done: the service begins anew");
		replace_service(d);
		break;
	case 1:
		say(d, "unchanged", "make", "has changed no module");
		break;
	default:
		say(d, "build failed", "make", "has failed: the service stays as it was");
	}
}

static void reap(struct dev *d)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == d->project.pid)
			on_built(d, status);
		for (int i = 0; i < N_CHILDREN; i++)
			if (d->children[i].pid == pid)
				on_exit_of(d, &d->children[i], status);
	}
}

static void on_signals(struct dev *d)
{
	struct signalfd_siginfo info;

	while (read(d->signals, &info, sizeof info) == sizeof info) {
		pid_t gateway = d->children[GATEWAY].pid;

		if (info.ssi_signo != SIGCHLD) {
			stop(d);
			continue;
		}
		reap(d);
		if (d->n_stops > 0 && gateway > 0 && d->children[GATEWAY].pid == 0 &&
		    d->children[SERVICE].pid > 0)
			kill(d->children[SERVICE].pid, SIGTERM);
	}
}

/* Listening is not yet serving: the gateway must have the service's schema, each of
 * its threads by a connection of its own, and nobody knows which one answers. */
static bool is_serving(const struct dev *d)
{
	enum { TIMES = 8, MS = 100 };

	for (int i = 0; i < TIMES; i++)
		if (!dev_http_ready(d->url + strlen("http://"), MS))
			return false;
	return true;
}

/* Restarts that are due, the announcement, the end of patience. Milliseconds until
 * there is something to do again, -1: nothing by itself. */
static int do_due(struct dev *d)
{
	int64_t now = clock_mono_ns(), next = INT64_MAX;

	for (int i = 0; i < N_CHILDREN; i++) {
		struct dev_child *c = &d->children[i];

		if (c->restart_ns != 0 && c->restart_ns <= now)
			start(d, c);
		if (c->restart_ns != 0)
			next = MIN(next, c->restart_ns);
	}
	if (dev_project_due(&d->project))
		say(d, "building", "make", "begins: %s has changed", d->project.changed);
	if (d->project.build_ns != 0 && d->project.pid == 0)
		next = MIN(next, d->project.build_ns);
	if (d->n_stops == 0 && !d->announced && d->address != NULL) {
		if (is_serving(d) || now - d->begin_ns > 10 * NS_PER_S)
			announce(d);
		else
			next = MIN(next, now + 2 * NS_PER_MS);
	}
	if (d->n_stops > 0 && d->kill_ns != INT64_MAX) {
		if (d->kill_ns <= now) {
			cli_error("dev: not stopped in time: killed");
			d->failed = true;
			d->kill_ns = INT64_MAX;
			signal_children(d, SIGKILL);
		} else {
			next = MIN(next, d->kill_ns);
		}
	}
	return next == INT64_MAX ? -1 : (int)MIN((next - now) / NS_PER_MS + 1, 60000);
}

static bool is_over(const struct dev *d)
{
	return d->n_stops > 0 && d->children[SERVICE].pid == 0 && d->children[GATEWAY].pid == 0;
}

static void run(struct dev *d)
{
	while (!is_over(d)) {
		struct pollfd fds[2 + N_CHILDREN] = {{.fd = d->signals, .events = POLLIN}};
		int wait;

		wait = do_due(d);
		for (int i = 0; i < N_CHILDREN; i++)
			fds[1 + i] = (struct pollfd){.fd = d->children[i].ready_fd, .events = POLLIN};
		fds[1 + N_CHILDREN] = (struct pollfd){.fd = d->project.watch.fd, .events = POLLIN};
		if (poll(fds, ARRAY_LEN(fds), wait) <= 0)
			continue;
		if (fds[1 + N_CHILDREN].revents != 0)
			dev_project_changed(&d->project);
		for (int i = 0; i < N_CHILDREN; i++) {
			struct dev_child *c = &d->children[i];

			if (fds[1 + i].revents == 0)
				continue;
			dev_child_read(c);
			if (c->ready)
				on_ready(d, c);
		}
		if (fds[0].revents != 0)
			on_signals(d);
	}
}

static bool prepare_signals(struct dev *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signals < 0)
		cli_error("dev: signalfd: %s", strerror(errno));
	return d->signals >= 0;
}

static void dev_deinit(struct dev *d)
{
	for (int i = 0; i < N_CHILDREN; i++)
		dev_child_deinit(&d->children[i]);
	dev_project_close(&d->project);
	remove_runtime(d);
	for (size_t i = 0; i < d->n_texts; i++)
		free(d->texts[i]);
	free(d->state);
	free(d->socket);
	free(d->runtime);
	free(d->address);
	free(d->url);
	opt_deinit(options, ARRAY_LEN(options), &d->conf);
	util_closep(&d->signals);
}

int dev_command(int argc, char **argv)
{
	struct dev d = {.begin_ns = clock_mono_ns(), .signals = -1,
			.project = {.output = -1, .watch = {.fd = -1}}};
	int first = cli_parse(options, ARRAY_LEN(options), &d.conf, argc, argv, usage);
	int r = CLI_FAILED;

	for (int i = 0; i < N_CHILDREN; i++)
		d.children[i].ready_fd = -1;
	if (prepare_folders(&d) && prepare_project(&d, argc - first, argv + first) &&
	    prepare_service(&d, argc - first, argv + first) &&
	    prepare_gateway(&d, argc - first, argv + first) && prepare_signals(&d) && start(&d, &d.children[SERVICE])) {
		run(&d);
		r = d.failed ? CLI_FAILED : CLI_OK;
	}
	dev_deinit(&d);
	return r;
}
