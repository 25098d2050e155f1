/* process.c: see process.h. One thread, one event_base. Other threads put a start
 * request (and wait) or a kill request on the command list under `lock` and wake
 * the thread through an eventfd; all else belongs to the process thread.
 *
 *   start ─▶ LIVE ──pidfd readable──▶ ENDED ──all pipes ended, or 1 s──▶ finish
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
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/util.h"
#include "service/cgroup.h"
#include "service/orphans.h"
#include "service/process_child.h"
#include "service/process_input.h"
#include "service/spawn.h"
#include "service/warden.h"

#define SWEEP_NS (5 * NS_PER_MS)    /* first look for orphans; doubled up to */
#define SWEEP_MAX_NS (500 * NS_PER_MS)
#define CHASE_NS (3 * NS_PER_MS)      /* of one look at them */

/* On the stack of the thread that waits for it. */
struct start {
	struct list node;
	struct child_request request;
	struct process *process;
	int rc;
	bool done; /* under lock */
};

static struct {
	pthread_t thread;
	struct child_ground ground;
	struct event *wake, *sweep, *warden; /* warden: at its end */
	int wake_fd;
	int64_t sweep_ns;
	struct list live;        /* process thread */
	char *env[5];            /* the short list; made by process_init */
	_Atomic size_t n_live;
	pthread_mutex_t lock;    /* guards what follows and what says so above */
	pthread_cond_t started;
	struct list starts, kills;
	bool stopping;           /* nothing is started; also before process_init */
} self = {.wake_fd = -1, .ground = {.null_fd = -1}, .stopping = true, .lock = PTHREAD_MUTEX_INITIALIZER,
	  .started = PTHREAD_COND_INITIALIZER};

static void wake(void)
{
	uint64_t one = 1;
	ssize_t n UNUSED = write(self.wake_fd, &one, sizeof one);
}

/* --- the end of a child --- */

static bool is_child(pid_t pid)
{
	LIST_FOREACH(it, &self.live)
		if (LIST_ENTRY(it, struct process, node)->pid == pid)
			return true;
	return false;
}

/* What programs leave behind, and cgroups that are not empty yet. */
/* A process that forks and ends has another pid by the next look: so we look again at
 * once, for a moment, until there is none left. */
static size_t chase_orphans(void)
{
	int64_t until = clock_mono_ns() + CHASE_NS;
	size_t n;

	do
		n = orphans_sweep(is_child);
	while (n > 0 && clock_mono_ns() < until);
	return n;
}

static void sweep(evutil_socket_t fd, short what, void *arg)
{
	size_t n = chase_orphans();
	struct timeval later = {0, self.sweep_ns / 1000};

	if (cgroup_sweep() + n == 0) {
		self.sweep_ns = SWEEP_NS;
		return;
	}
	event_add(self.sweep, &later);
	self.sweep_ns = MIN(self.sweep_ns * 2, SWEEP_MAX_NS);
}

static void process_finish(struct process *p)
{
	struct process_end end;

	child_close(p);
	pthread_mutex_lock(&self.lock);
	p->gone = true;
	list_remove(&p->command);
	pthread_mutex_unlock(&self.lock);
	child_reap(p, &end);
	list_remove(&p->node);
	atomic_fetch_sub(&self.n_live, 1);
	sweep(-1, 0, NULL);
	p->on_exit(&end, p->arg);
	child_free(p);
}

static void start_serve(struct start *s)
{
	s->rc = child_new(&self.ground, &s->request, &s->process);
	if (s->rc < 0)
		return;
	list_push_back(&self.live, &s->process->node);
	atomic_fetch_add(&self.n_live, 1);
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
	self.warden = event_new(self.ground.base, warden_fd(), EV_READ, warden_ended, NULL);
	return self.warden != NULL && event_add(self.warden, NULL) == 0 ? 0 : -ENOMEM;
}

/* --- the thread --- */

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
		s->rc = -ESHUTDOWN;
		if (!stopping)
			start_serve(s);
		pthread_mutex_lock(&self.lock);
		s->done = true;
		pthread_cond_broadcast(&self.started);
	}
	while ((node = list_pop_front(&self.kills)) != NULL) {
		struct process *p = LIST_ENTRY(node, struct process, command);

		child_kill_later(p, p->grace_ns);
	}
	stopping = self.stopping;
	pthread_mutex_unlock(&self.lock);
	if (stopping)
		LIST_FOREACH(it, &self.live)
			child_kill(LIST_ENTRY(it, struct process, node));
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
		event_base_loop(self.ground.base, EVLOOP_ONCE);
	/* Killed already; in a moment they are gone. */
	for (int i = 0; i < 100 && chase_orphans() + cgroup_sweep() > 0; i++)
		usleep(10000);
	return NULL;
}

static char *env_pair(const char *name, const char *fallback)
{
	const char *value = getenv(name);

	return xasprintf("%s=%s", name, value && *value ? value : fallback);
}

const char *const *process_env(void)
{
	return (const char *const *)self.env;
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
	if (self.ground.base != NULL)
		event_base_free(self.ground.base);
	if (self.wake_fd >= 0)
		close(self.wake_fd);
	if (self.ground.null_fd >= 0)
		close(self.ground.null_fd);
	for (size_t i = 0; i < ARRAY_LEN(self.env); i++) {
		free(self.env[i]);
		self.env[i] = NULL;
	}
	self.wake = self.sweep = self.warden = NULL;
	self.ground.base = NULL;
	self.wake_fd = self.ground.null_fd = -1;
}

static int open_parts(void)
{
	self.ground.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	self.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (self.ground.null_fd < 0 || self.wake_fd < 0)
		return -errno;
	self.ground.base = event_base_new();
	if (self.ground.base == NULL)
		return -ENOMEM;
	self.wake = event_new(self.ground.base, self.wake_fd, EV_READ | EV_PERSIST, commands_ready, NULL);
	self.sweep = evtimer_new(self.ground.base, sweep, NULL);
	if (self.wake == NULL || self.sweep == NULL || event_add(self.wake, NULL) < 0)
		return -ENOMEM;
	return warden_watch();
}

int process_init(void)
{
	int rc = warden_start();

	if (rc < 0)
		return rc;
	self.ground.env = (const char *const *)self.env;
	self.ground.finish = process_finish;
	list_init(&self.live);
	list_init(&self.starts);
	list_init(&self.kills);
	self.stopping = false;
	self.sweep_ns = SWEEP_NS;
	self.ground.service = getpid();
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
	if (self.ground.base == NULL)
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
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int input = -1;
	struct start s = {.request = {.params = p, .input = -1}};
	int rc = spawn_find(p->argv[0], &path);

	*out = NULL;
	if (rc == 0 && p->input != NULL)
		rc = input = input_open(p->input, p->input_len);
	if (rc < 0)
		return rc;
	s.request.path = path;
	s.request.input = input;
	rc = spawn_rules_make(&s.request.rules, path, p->user, p->group, p->read, p->write);
	if (rc < 0)
		return rc;
	rc = start_on_thread(&s);
	spawn_rules_deinit(&s.request.rules);
	*out = s.process;
	return rc;
}

void process_kill(struct process *p, int64_t grace_ns)
{
	pthread_mutex_lock(&self.lock);
	if (!p->gone) {
		kill(-p->pid, grace_ns > 0 ? SIGTERM : SIGKILL);
		kill(-p->pid, SIGCONT); /* who is stopped gets no SIGTERM */
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
