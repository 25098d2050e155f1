/* process.c: see process.h. One thread, one event_base. Other threads put a start
 * request (and wait) or a kill request on the command list under `lock` and wake
 * the thread through an eventfd; all else belongs to the process thread.
 *
 *   start ─▶ LIVE ──pidfd readable──▶ ENDED ──both pipes ended, or 1 s──▶ finish
 *
 * An ended child stays a zombie until finish, so that its pid, which names its
 * session and group, cannot become somebody else's while we kill what is left. */
#define _GNU_SOURCE
#include "service/process.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/util.h"
#include "service/orphans.h"
#include "service/spawn.h"
#include "service/warden.h"

enum { LINE_BYTES = 64 * 1024, N_OUTPUTS = 2 };
#define LINGER_NS NS_PER_S          /* how long pipes may outlive the child */
#define SWEEP_NS (5 * NS_PER_MS)    /* first look for orphans; doubled up to */
#define SWEEP_MAX_NS (500 * NS_PER_MS)

struct output {
	struct process *process;
	int fd;             /* our end; -1 when it has ended */
	int number;         /* what the child calls it: 1 or 2 */
	bool in_piece;      /* the last thing given was a piece of an over-long line */
	struct event *event;
	struct buf line;    /* what came of the line not yet ended */
};

struct process {
	struct list node;    /* of `live` */
	struct list command; /* of `kills`; under lock */
	int64_t grace_ns;    /* asked for by process_kill; under lock */
	bool gone;           /* its pid is no longer ours; under lock */
	pid_t pid;           /* also its session and group; set before anybody sees it */
	int pidfd;
	bool ended;
	struct output outputs[N_OUTPUTS];
	struct event *on_end; /* pidfd */
	struct event *timer;  /* SIGKILL while live, linger once ended */
	void (*on_line)(int fd, const char *line, size_t len, void *arg);
	void (*on_exit)(const struct process_end *end, void *arg);
	void *arg;
};

/* On the stack of the thread that waits for it. */
struct start {
	struct list node;
	const struct process_params *params;
	const char *path;
	struct spawn_rules rules;
	struct process *process;
	int rc;
	bool done; /* under lock */
};

static struct {
	pthread_t thread;
	struct event_base *base;
	struct event *wake, *sweep, *warden; /* warden: at its end */
	int wake_fd, null_fd;
	int64_t sweep_ns;
	struct list live;        /* process thread */
	char *env[5];            /* the short list; made by process_init */
	pid_t service;
	_Atomic size_t n_live;
	pthread_mutex_t lock;    /* guards what follows and what says so above */
	pthread_cond_t started;
	struct list starts, kills;
	bool stopping;           /* nothing is started; also before process_init */
} self = {.wake_fd = -1, .null_fd = -1, .stopping = true, .lock = PTHREAD_MUTEX_INITIALIZER,
	  .started = PTHREAD_COND_INITIALIZER};

static struct timeval as_timeval(int64_t ns)
{
	return (struct timeval){ns / NS_PER_S, ns % NS_PER_S / 1000};
}

static void timer_arm(struct event *timer, int64_t ns)
{
	struct timeval tv = as_timeval(ns);

	evtimer_add(timer, &tv);
}

static void wake(void)
{
	uint64_t one = 1;
	ssize_t n UNUSED = write(self.wake_fd, &one, sizeof one);
}

/* --- output --- */

static void output_give(struct output *o, const uint8_t *line, size_t len)
{
	o->process->on_line(o->number, (const char *)line, len, o->process->arg);
}

/* Gives the whole lines of o->line, keeps the rest; a rest that fills the buffer
 * goes out as a piece. */
static void output_split(struct output *o)
{
	size_t at = 0;
	const uint8_t *nl;

	while (at < o->line.len && (nl = memchr(o->line.data + at, '\n', o->line.len - at))) {
		size_t len = (size_t)(nl - (o->line.data + at));

		/* A newline right after a full piece ends that, it is no empty line. */
		if (len > 0 || !o->in_piece)
			output_give(o, o->line.data + at, len);
		o->in_piece = false;
		at += len + 1;
	}
	buf_consume(&o->line, at);
	if (o->line.len >= LINE_BYTES) {
		output_give(o, o->line.data, o->line.len);
		o->in_piece = true;
		buf_reset(&o->line);
	}
}

static void output_close(struct output *o)
{
	if (o->fd < 0)
		return;
	if (o->line.len > 0)
		output_give(o, o->line.data, o->line.len);
	buf_deinit(&o->line);
	event_free(o->event);
	o->event = NULL;
	close(o->fd);
	o->fd = -1;
}

static void process_settle(struct process *p);

/* One read a round, so that a child which floods does not starve the others. */
static void output_ready(evutil_socket_t fd, short what, void *arg)
{
	struct output *o = arg;
	size_t room = LINE_BYTES - o->line.len;
	uint8_t *to = buf_reserve(&o->line, room);
	ssize_t n;

	if (to == NULL) {
		log_error("no memory for a child's output", "pid=%d", (int)o->process->pid);
		output_close(o);
		process_settle(o->process);
		return;
	}
	n = read(fd, to, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		o->line.len += (size_t)n;
		output_split(o);
		return;
	}
	output_close(o);
	process_settle(o->process);
}

static int output_open(struct output *o, struct process *p, int number, int *child_endp)
{
	int ends[2];

	*o = (struct output){.process = p, .fd = -1, .number = number};
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	o->fd = ends[0];
	*child_endp = ends[1];
	o->event = event_new(self.base, ends[0], EV_READ | EV_PERSIST, output_ready, o);
	return o->event ? 0 : -ENOMEM;
}

/* --- the end of a child --- */

static bool is_child(pid_t pid)
{
	LIST_FOREACH(it, &self.live)
		if (LIST_ENTRY(it, struct process, node)->pid == pid)
			return true;
	return false;
}

static void sweep_orphans(evutil_socket_t fd, short what, void *arg)
{
	if (orphans_sweep(is_child) == 0) {
		self.sweep_ns = SWEEP_NS;
		return;
	}
	timer_arm(self.sweep, self.sweep_ns);
	self.sweep_ns = MIN(self.sweep_ns * 2, SWEEP_MAX_NS);
}

/* Its events and descriptors; the struct itself outlives on_exit. */
static void process_release(struct process *p)
{
	for (int i = 0; i < N_OUTPUTS; i++) {
		struct output *o = &p->outputs[i];

		if (o->event != NULL)
			event_free(o->event);
		if (o->fd >= 0)
			close(o->fd);
		buf_deinit(&o->line);
	}
	if (p->on_end != NULL)
		event_free(p->on_end);
	if (p->timer != NULL)
		event_free(p->timer);
	if (p->pidfd >= 0)
		close(p->pidfd);
}

static int reap(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static void process_finish(struct process *p)
{
	struct process_end end = {.isolation = "rlimit"};

	for (int i = 0; i < N_OUTPUTS; i++)
		output_close(&p->outputs[i]);
	kill(-p->pid, SIGKILL);
	warden_remove(warden_fd(), p->pid);
	pthread_mutex_lock(&self.lock);
	p->gone = true;
	list_remove(&p->command);
	pthread_mutex_unlock(&self.lock);
	end.wait_status = reap(p->pid);
	list_remove(&p->node);
	atomic_fetch_sub(&self.n_live, 1);
	sweep_orphans(-1, 0, NULL);
	process_release(p);
	p->on_exit(&end, p->arg);
	free(p);
}

static void process_settle(struct process *p)
{
	if (p->ended && p->outputs[0].fd < 0 && p->outputs[1].fd < 0)
		process_finish(p);
}

static void child_ended(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;

	p->ended = true;
	event_del(p->on_end);
	timer_arm(p->timer, LINGER_NS);
	process_settle(p);
}

static void time_is_up(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;

	if (p->ended)
		process_finish(p);
	else
		kill(-p->pid, SIGKILL);
}

/* --- starting --- */

static int make_events(struct process *p)
{
	p->pidfd = pidfd_open(p->pid, 0);
	if (p->pidfd < 0)
		return -errno;
	p->on_end = event_new(self.base, p->pidfd, EV_READ, child_ended, p);
	p->timer = evtimer_new(self.base, time_is_up, p);
	if (p->on_end == NULL || p->timer == NULL)
		return -ENOMEM;
	event_add(p->on_end, NULL);
	for (int i = 0; i < N_OUTPUTS; i++)
		event_add(p->outputs[i].event, NULL);
	return 0;
}

static int process_spawn(struct process *p, const struct start *s)
{
	const struct process_params *params = s->params;
	AUTO_CLOSE int out = -1, err = -1;
	struct spawn spawn = {
		.path = s->path,
		.argv = params->argv,
		.env = params->env ? params->env : (const char *const *)self.env,
		.dir = params->dir,
		.stdin_fd = self.null_fd,
		.warden_fd = warden_fd(),
		.parent = self.service,
		.mark = orphans_mark(),
		.message_fd = -1,
		.umask = params->umask,
		.rules = &s->rules,
	};
	const char *step = "pipe";
	int rc;

	if ((rc = output_open(&p->outputs[0], p, 1, &out)) == 0 &&
	    (rc = output_open(&p->outputs[1], p, 2, &err)) == 0) {
		spawn.stdout_fd = out;
		spawn.stderr_fd = err;
		rc = spawn_start(&spawn, &p->pid, &step);
	}
	if (rc < 0)
		log_warn("child not started", "program=%s step=%s error=%s", s->path, step,
			 strerrorname_np(-rc));
	return rc;
}

static int process_new(const struct start *s, struct process **out)
{
	struct process *p = calloc(1, sizeof *p);
	int rc;

	*out = NULL;
	if (p == NULL)
		return -ENOMEM;
	p->on_line = s->params->on_line;
	p->on_exit = s->params->on_exit;
	p->arg = s->params->arg;
	p->pidfd = p->outputs[0].fd = p->outputs[1].fd = -1;
	list_init(&p->command);
	rc = process_spawn(p, s);
	if (rc == 0 && (rc = make_events(p)) < 0) {
		kill(-p->pid, SIGKILL);
		warden_remove(warden_fd(), p->pid);
		reap(p->pid);
	}
	if (rc < 0) {
		process_release(p);
		free(p);
		return rc;
	}
	list_push_back(&self.live, &p->node);
	atomic_fetch_add(&self.n_live, 1);
	*out = p;
	return 0;
}

/* --- the warden --- */

static int warden_watch(void);

/* Somebody has killed it. The next one is told what it has to know; its fork does
 * system calls only, so the other threads do not matter. It is started once for each
 * second at most: what cannot live must not keep us busy. */
static void warden_ended(evutil_socket_t fd, short what, void *arg)
{
	static int64_t last_ns;
	int64_t now = clock_mono_ns();
	bool again = last_ns == 0 || now - last_ns > NS_PER_S;

	last_ns = now;
	event_free(self.warden);
	self.warden = NULL;
	warden_stop();
	if (!again || warden_start() < 0 || warden_watch() < 0) {
		log_error("the warden was killed and cannot be started again",
			  "advice=\"restart the service: a kill -9 of it could leave programs behind\"");
		return;
	}
	LIST_FOREACH(it, &self.live)
		warden_add(warden_fd(), LIST_ENTRY(it, struct process, node)->pid);
	log_warn("the warden was killed, started another", "pid=%d", (int)warden_pid());
}

static int warden_watch(void)
{
	self.warden = event_new(self.base, warden_fd(), EV_READ, warden_ended, NULL);
	return self.warden != NULL && event_add(self.warden, NULL) == 0 ? 0 : -ENOMEM;
}

/* --- the thread --- */

/* SIGTERM was sent by process_kill already. */
static void kill_later(struct process *p, int64_t grace_ns)
{
	if (!p->ended)
		timer_arm(p->timer, grace_ns);
}

static void commands_ready(evutil_socket_t fd, short what, void *arg)
{
	struct list *node;
	uint64_t count;
	ssize_t n UNUSED = read(fd, &count, sizeof count);
	bool stopping;

	pthread_mutex_lock(&self.lock);
	while ((node = list_pop_front(&self.starts)) != NULL) {
		struct start *s = LIST_ENTRY(node, struct start, node);

		stopping = self.stopping;
		pthread_mutex_unlock(&self.lock);
		s->rc = stopping ? -ESHUTDOWN : process_new(s, &s->process);
		pthread_mutex_lock(&self.lock);
		s->done = true;
		pthread_cond_broadcast(&self.started);
	}
	while ((node = list_pop_front(&self.kills)) != NULL) {
		struct process *p = LIST_ENTRY(node, struct process, command);

		kill_later(p, p->grace_ns);
	}
	stopping = self.stopping;
	pthread_mutex_unlock(&self.lock);
	if (stopping)
		LIST_FOREACH(it, &self.live)
			kill(-LIST_ENTRY(it, struct process, node)->pid, SIGKILL);
}

static bool may_end(void)
{
	bool idle;

	pthread_mutex_lock(&self.lock);
	idle = self.stopping && list_empty(&self.starts);
	pthread_mutex_unlock(&self.lock);
	return idle && list_empty(&self.live);
}

static void *thread_main(void *arg)
{
	prctl(PR_SET_NAME, "process");
	while (!may_end())
		event_base_loop(self.base, EVLOOP_ONCE);
	/* Killed already; in a moment they are gone. */
	for (int i = 0; i < 100 && orphans_sweep(is_child) > 0; i++)
		usleep(10000);
	return NULL;
}

static char *env_pair(const char *name, const char *fallback)
{
	const char *value = getenv(name);

	return xasprintf("%s=%s", name, value && *value ? value : fallback);
}

static void make_env(void)
{
	self.env[0] = env_pair("PATH", "/usr/local/bin:/usr/bin:/bin");
	self.env[1] = env_pair("HOME", "/");
	self.env[2] = env_pair("LANG", "C.UTF-8");
	self.env[3] = env_pair("TMPDIR", "/tmp");
	self.env[4] = NULL;
}

/* All signals are for other threads: a handler must never run between vfork and
 * exec, and nothing may interrupt the thread children's lives hang on. */
static int start_thread(void)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&self.thread, NULL, thread_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

static void release(void)
{
	if (self.warden != NULL)
		event_free(self.warden);
	warden_stop();
	if (self.wake != NULL)
		event_free(self.wake);
	if (self.sweep != NULL)
		event_free(self.sweep);
	if (self.base != NULL)
		event_base_free(self.base);
	if (self.wake_fd >= 0)
		close(self.wake_fd);
	if (self.null_fd >= 0)
		close(self.null_fd);
	for (size_t i = 0; i < ARRAY_LEN(self.env); i++) {
		free(self.env[i]);
		self.env[i] = NULL;
	}
	self.wake = self.sweep = self.warden = NULL;
	self.base = NULL;
	self.wake_fd = self.null_fd = -1;
}

static int open_parts(void)
{
	self.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	self.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (self.null_fd < 0 || self.wake_fd < 0)
		return -errno;
	self.base = event_base_new();
	if (self.base == NULL)
		return -ENOMEM;
	self.wake = event_new(self.base, self.wake_fd, EV_READ | EV_PERSIST, commands_ready, NULL);
	self.sweep = evtimer_new(self.base, sweep_orphans, NULL);
	if (self.wake == NULL || self.sweep == NULL || event_add(self.wake, NULL) < 0)
		return -ENOMEM;
	return warden_watch();
}

int process_init(void)
{
	int rc = warden_start();

	if (rc < 0)
		return rc;
	list_init(&self.live);
	list_init(&self.starts);
	list_init(&self.kills);
	self.stopping = false;
	self.sweep_ns = SWEEP_NS;
	self.service = getpid();
	orphans_init();
	make_env();
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		log_warn("not a subreaper", "error=%s", strerrorname_np(errno));
	if ((rc = open_parts()) < 0 || (rc = start_thread()) < 0)
		release();
	return rc;
}

void process_deinit(void)
{
	if (self.base == NULL)
		return;
	pthread_mutex_lock(&self.lock);
	self.stopping = true;
	pthread_mutex_unlock(&self.lock);
	wake();
	pthread_join(self.thread, NULL);
	release();
}

/* --- any thread --- */

/* Has the process thread do it, and waits until it is done. */
static int start_on_thread(struct start *s)
{
	pthread_mutex_lock(&self.lock);
	if (self.stopping) {
		pthread_mutex_unlock(&self.lock);
		return -ESHUTDOWN;
	}
	list_push_back(&self.starts, &s->node);
	wake();
	while (!s->done)
		pthread_cond_wait(&self.started, &self.lock);
	pthread_mutex_unlock(&self.lock);
	return s->rc;
}

int process_start(const struct process_params *p, struct process **out)
{
	struct start s = {.params = p};
	AUTO_FREE char *path = NULL;
	int rc = spawn_find(p->argv[0], &path);

	*out = NULL;
	if (rc < 0)
		return rc;
	s.path = path;
	rc = spawn_rules_make(&s.rules, path, p->user, p->group, p->read, p->write);
	if (rc < 0)
		return rc;
	rc = start_on_thread(&s);
	spawn_rules_deinit(&s.rules);
	*out = s.process;
	return rc;
}

void process_kill(struct process *p, int64_t grace_ns)
{
	pthread_mutex_lock(&self.lock);
	if (!p->gone)
		kill(-p->pid, grace_ns > 0 ? SIGTERM : SIGKILL);
	if (!p->gone && grace_ns > 0) {
		p->grace_ns = grace_ns;
		list_remove(&p->command);
		list_push_back(&self.kills, &p->command);
	}
	pthread_mutex_unlock(&self.lock);
	wake();
}

pid_t process_pid(const struct process *p)
{
	return p->pid;
}

size_t process_count(void)
{
	return atomic_load(&self.n_live);
}
