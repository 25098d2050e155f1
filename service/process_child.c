/* process_child.c: see process_child.h. */
#define _GNU_SOURCE
#include "service/process_child.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "service/cgroup.h"
#include "service/orphans.h"
#include "service/spawn.h"
#include "service/warden.h"

#define LINGER_NS NS_PER_S            /* how long pipes may outlive the child */
#define CPU_GRACE_NS NS_PER_S         /* from SIGXCPU to SIGKILL */
#define CPU_LOOK_NS (10 * NS_PER_MS)  /* the least between two looks at the time used */

static const struct child_ground *ground; /* the same for all */

static void timer_arm(struct event *timer, int64_t ns)
{
	struct timeval tv = {ns / NS_PER_S, ns % NS_PER_S / 1000};

	evtimer_add(timer, &tv);
}

/* --- its end --- */

void child_kill(struct process *p)
{
	kill(-p->pid, SIGKILL);
	if (p->cgroup != NULL)
		cgroup_kill(p->cgroup);
}

/* Of two moments the earlier one counts: a cancel does not prolong what is over already. */
void child_kill_later(struct process *p, int64_t grace_ns)
{
	int64_t at = clock_mono_ns() + grace_ns;

	if (p->ended || (evtimer_pending(p->timer, NULL) && p->kill_ns <= at))
		return;
	p->kill_ns = at;
	timer_arm(p->timer, grace_ns);
}

static void settle(void *owner)
{
	struct process *p = owner;

	if (!p->ended)
		return;
	for (int i = 0; i < CHILD_OUTPUTS; i++)
		if (p->outputs[i].fd >= 0)
			return;
	ground->finish(p);
}

static void ended(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;

	p->ended = true;
	event_del(p->on_end);
	timer_arm(p->timer, LINGER_NS);
	settle(p);
}

static void time_is_up(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;

	if (p->ended)
		ground->finish(p);
	else
		child_kill(p);
}

/* The kernel chose one of the tree; half a program is of no use. */
static void out_of_memory(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;

	event_del(p->on_oom);
	child_kill(p);
}

/* What the tree has used; of its root alone when somebody has taken the cgroup away. */
static int64_t cpu_used(struct process *p)
{
	int64_t used = cgroup_cpu_ns(p->cgroup);
	struct timespec ts;
	clockid_t clock;

	if (used >= 0)
		return used;
	if (!p->cgroup_lost)
		log_warn("a program's cgroup is gone, only its own CPU time is limited now", "pid=%d", (int)p->pid);
	p->cgroup_lost = true;
	if (clock_getcpuclockid(p->pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
		return 0; /* it has ended */
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* setrlimit's way, for the tree: SIGXCPU, then SIGKILL. The next look comes when the
 * time can be used up at the earliest. */
static void look_at_cpu(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;
	int64_t left = p->cpu_limit_ns - cpu_used(p);
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (p->ended)
		return;
	if (left > 0) {
		timer_arm(p->cpu_timer, MAX(left / MAX(n, 1), CPU_LOOK_NS));
		return;
	}
	log_info("program over its CPU time", "pid=%d limit_ms=%lld", (int)p->pid,
		 (long long)(p->cpu_limit_ns / NS_PER_MS));
	kill(-p->pid, SIGXCPU);
	kill(-p->pid, SIGCONT);
	child_kill_later(p, CPU_GRACE_NS);
}

void child_close(struct process *p)
{
	for (int i = 0; i < CHILD_OUTPUTS; i++)
		output_close(&p->outputs[i]);
	child_kill(p);
	warden_remove(warden_fd(), p->pid);
}

static void event_drop(struct event **ep)
{
	if (*ep != NULL)
		event_free(*ep);
	*ep = NULL;
}

/* Events first: one of them watches a descriptor of the cgroup. */
static void release(struct process *p)
{
	for (int i = 0; i < CHILD_OUTPUTS; i++)
		output_drop(&p->outputs[i]);
	event_drop(&p->on_end);
	event_drop(&p->timer);
	event_drop(&p->on_oom);
	event_drop(&p->cpu_timer);
	if (p->cgroup != NULL)
		cgroup_free(p->cgroup);
	p->cgroup = NULL;
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
}

static int64_t timeval_ns(const struct timeval *tv)
{
	return tv->tv_sec * NS_PER_S + tv->tv_usec * 1000;
}

void child_reap(struct process *p, struct process_end *out)
{
	struct cgroup_usage used = {.peak_memory = -1, .cpu_ns = -1};
	struct rusage ru = {0};

	*out = (struct process_end){.isolation = p->cgroup != NULL ? cgroup_kind() : "rlimit"};
	while (wait4(p->pid, &out->wait_status, 0, &ru) < 0 && errno == EINTR)
		;
	if (p->cgroup != NULL)
		cgroup_usage(p->cgroup, &used);
	out->oom = used.oom;
	out->peak_memory = used.peak_memory >= 0 ? used.peak_memory : ru.ru_maxrss * 1024;
	out->cpu_ns = used.cpu_ns >= 0 ? used.cpu_ns : timeval_ns(&ru.ru_utime) + timeval_ns(&ru.ru_stime);
	release(p);
}

void child_free(struct process *p)
{
	release(p);
	free(p);
}

/* --- its start --- */

static int watch_cgroup(struct process *p)
{
	if (p->cgroup == NULL)
		return 0;
	if (cgroup_oom_fd(p->cgroup) >= 0) {
		p->on_oom = event_new(ground->base, cgroup_oom_fd(p->cgroup), EV_READ, out_of_memory, p);
		if (p->on_oom == NULL || event_add(p->on_oom, NULL) < 0)
			return -ENOMEM;
	}
	if (p->cpu_limit_ns == 0 || cgroup_cpu_ns(p->cgroup) < 0)
		return 0;
	p->cpu_timer = evtimer_new(ground->base, look_at_cpu, p);
	if (p->cpu_timer == NULL)
		return -ENOMEM;
	look_at_cpu(-1, 0, p);
	return 0;
}

static int make_events(struct process *p)
{
	p->pidfd = pidfd_open(p->pid, 0);
	if (p->pidfd < 0)
		return -errno;
	p->on_end = event_new(ground->base, p->pidfd, EV_READ, ended, p);
	p->timer = evtimer_new(ground->base, time_is_up, p);
	if (p->on_end == NULL || p->timer == NULL)
		return -ENOMEM;
	event_add(p->on_end, NULL);
	for (int i = 0; i < CHILD_OUTPUTS; i++)
		output_listen(&p->outputs[i]);
	return watch_cgroup(p);
}

struct ends {
	int fds[CHILD_OUTPUTS]; /* the child's */
	int joins[CGROUP_JOINS];
	size_t n_joins;
};

static int ends_open(struct process *p, const struct process_params *params, struct ends *e,
		     const char **stepp)
{
	int n = params->wants_messages ? CHILD_OUTPUTS : CHILD_OUTPUTS - 1, rc;

	*stepp = "pipe";
	for (int i = 0; i < n; i++)
		if ((rc = output_open(&p->outputs[i], ground->base, &e->fds[i])) < 0)
			return rc;
	*stepp = "cgroup";
	rc = cgroup_new(params->limits, &p->cgroup);
	if (rc == 0)
		rc = cgroup_joins(p->cgroup, e->joins);
	e->n_joins = rc > 0 ? (size_t)rc : 0;
	/* Not ENOENT, as of a program that does not exist. */
	return rc >= 0 || rc == -EOPNOTSUPP ? MIN(rc, 0) : -EAGAIN;
}

static void ends_close(struct ends *e)
{
	for (int i = 0; i < CHILD_OUTPUTS; i++)
		if (e->fds[i] >= 0)
			close(e->fds[i]);
	for (size_t i = 0; i < e->n_joins; i++)
		close(e->joins[i]);
}

static int spawn(struct process *p, const struct child_request *r, const struct ends *e,
		 const char **stepp)
{
	const struct process_params *params = r->params;
	struct spawn_rlimit rlimits[CGROUP_RLIMITS];
	const struct spawn s = {
		.path = r->path,
		.argv = params->argv,
		.env = params->env ? params->env : ground->env,
		.dir = params->dir,
		.stdin_fd = r->input >= 0 ? r->input : ground->null_fd,
		.stdout_fd = e->fds[0],
		.stderr_fd = e->fds[1],
		.message_fd = e->fds[2],
		.warden_fd = warden_fd(),
		.parent = ground->service,
		.mark = orphans_mark(),
		.join_fds = e->joins,
		.n_join = e->n_joins,
		.rlimits = rlimits,
		.n_rlimits = cgroup_rlimits(p->cgroup, params->limits, rlimits),
		.umask = params->umask,
		.rules = &r->rules,
	};

	return spawn_start(&s, &p->pid, stepp);
}

static int child_start(struct process *p, const struct child_request *r)
{
	struct ends e = {.fds = {-1, -1, -1}};
	const char *step;
	int rc = ends_open(p, r->params, &e, &step);

	if (rc == 0)
		rc = spawn(p, r, &e, &step);
	ends_close(&e);
	if (rc < 0) {
		log_warn("child not started", "program=%s step=%s error=%s", r->path, step,
			 strerrorname_np(-rc));
		return rc;
	}
	rc = make_events(p);
	if (rc < 0) {
		struct process_end end;

		child_kill(p);
		warden_remove(warden_fd(), p->pid);
		child_reap(p, &end);
	}
	return rc;
}

static void outputs_set(struct process *p, const struct process_params *params)
{
	for (int i = 0; i < CHILD_OUTPUTS; i++)
		p->outputs[i] = (struct output){
			.number = i + 1,
			.fd = -1,
			.on_line = params->on_line,
			.on_bytes = i == 0 ? params->on_bytes : NULL,
			.on_end = settle,
			.arg = params->arg,
			.owner = p,
		};
}

int child_new(const struct child_ground *g, const struct child_request *request, struct process **out)
{
	const struct process_params *params = request->params;
	struct process *p = calloc(1, sizeof *p);
	int rc;

	*out = NULL;
	if (p == NULL)
		return -ENOMEM;
	ground = g;
	outputs_set(p, params);
	p->on_exit = params->on_exit;
	p->arg = params->arg;
	p->pidfd = -1;
	p->cpu_limit_ns = params->limits != NULL ? params->limits->cpu_time_ns : 0;
	list_init(&p->command);
	rc = child_start(p, request);
	if (rc < 0) {
		child_free(p);
		return rc;
	}
	*out = p;
	return 0;
}
