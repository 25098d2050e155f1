/* doctor_service.c: is there a service, does it answer, and its gateway? A process that is
 * stopped or hangs accepts connections like any other, so who listens is looked up in /proc. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sock.h"
#include "cli/doctor_impl.h"
#include "cli/show.h"
#include "config.h"

#define PATIENCE (3 * NS_PER_S) /* for an answer that takes a millisecond */

static int64_t patience(const struct doctor *d)
{
	return d->conf->common.timeout > 0 ? d->conf->common.timeout : PATIENCE;
}

/* --- the socket --- */

static void name_owner(const struct stat *st, char *out, size_t size)
{
	const struct passwd *user = getpwuid(st->st_uid);
	const struct group *group = getgrgid(st->st_gid);
	char uid[16], gid[16];

	snprintf(uid, sizeof uid, "%u", (unsigned)st->st_uid);
	snprintf(gid, sizeof gid, "%u", (unsigned)st->st_gid);
	snprintf(out, size, "mode %04o %s:%s", (unsigned)st->st_mode & 07777, user != NULL ? user->pw_name : uid,
		 group != NULL ? group->gr_name : gid);
}

static void socket_missing(struct doctor *d, int err)
{
	if (err == EACCES)
		doctor_say(d, DOCTOR_FAIL, "socket", "be a member of the group of that directory, or ask its owner",
			   "%s: its directory may not be looked into", d->socket);
	else if (err == ENOENT || err == ENOTDIR)
		doctor_say(d, DOCTOR_FAIL, "socket", "start errand-service; or name another socket: --socket, ERRAND_SOCKET",
			   "there is no %s: no service runs here", d->socket);
	else
		doctor_say(d, DOCTOR_FAIL, "socket", NULL, "%s: %s", d->socket, strerror(err));
}

/* The state letter and the name of a process; '?' when it cannot be seen. */
static char process_state(pid_t pid, char name[17])
{
	AUTO_FREE char *path = xasprintf("/proc/%d/stat", (int)pid);
	char line[512], *end, state = '?';
	FILE *f = pid > 0 ? fopen(path, "re") : NULL;

	snprintf(name, 17, "?");
	if (f == NULL)
		return state;
	if (fgets(line, sizeof line, f) != NULL && (end = strrchr(line, ')')) != NULL && strchr(line, '(') != NULL) {
		*end = '\0';
		snprintf(name, 17, "%.16s", strchr(line, '(') + 1);
		state = end[1] == ' ' ? end[2] : '?';
	}
	fclose(f);
	return state;
}

/* Nobody answers the connection. */
static void socket_refused(struct doctor *d, int err, const char *owner)
{
	char why[128];

	if (err == ECONNREFUSED)
		doctor_say(d, DOCTOR_FAIL, "socket", "start errand-service: it takes the file over",
			   "%s is stale: nobody listens (the service was killed, or has crashed)", d->socket);
	else if (err == EACCES || err == EPERM)
		doctor_say(d, DOCTOR_FAIL, "socket", "be a member of its group, or start errand-service with --group or --mode",
			   "%s: %s does not let UID %u connect", d->socket, owner, (unsigned)geteuid());
	else if (err == EAGAIN)
		doctor_say(d, DOCTOR_FAIL, "socket", "see the next line; restart errand-service when it hangs",
			   "%s: connections are not accepted, too many wait already", d->socket);
	else
		doctor_say(d, DOCTOR_FAIL, "socket", NULL, "%s: %s", d->socket, strerror_r(err, why, sizeof why));
}

static int connect_to(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof at.sun_path)
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
		return fd < 0 ? -errno : fd;
	close(fd);
	return errno == 0 ? -EIO : -errno;
}

void doctor_socket(struct doctor *d)
{
	struct stat st;
	struct sock_peer peer = {0};
	char owner[128], name[17];
	int fd;

	if (stat(d->socket, &st) < 0) {
		socket_missing(d, errno);
		return;
	}
	name_owner(&st, owner, sizeof owner);
	if (!S_ISSOCK(st.st_mode)) {
		doctor_say(d, DOCTOR_FAIL, "socket", "errand-service does not touch what is no socket: move it away",
			   "%s is no socket (%s)", d->socket, owner);
		return;
	}
	fd = connect_to(d->socket);
	if (fd < 0) {
		socket_refused(d, -fd, owner);
		return;
	}
	sock_peer(fd, &peer);
	close(fd);
	d->reached = true;
	d->pid = peer.pid;
	process_state(d->pid, name);
	doctor_say(d, st.st_mode & S_IWOTH ? DOCTOR_WARN : DOCTOR_OK, "socket",
		   st.st_mode & S_IWOTH ? "every user of this machine may connect: start errand-service with --mode 0660" : NULL,
		   "%s, %s, pid %d (%s) listens", d->socket, owner, (int)d->pid, name);
}

/* --- the service --- */

/* It was reached, and does not answer. */
static void service_silent(struct doctor *d, const char *why)
{
	char name[17], took[24], advice[128];
	char state = process_state(d->pid, name);

	show_duration(patience(d) / 1000, took);
	if (state == 'T' || state == 't') {
		snprintf(advice, sizeof advice, "kill -CONT %d lets it go on; a debugger lets it go by itself", (int)d->pid);
		doctor_say(d, DOCTOR_FAIL, "service", advice, "pid %d (%s) is stopped, by SIGSTOP or a debugger", (int)d->pid, name);
	} else if (state == 'D') {
		doctor_say(d, DOCTOR_FAIL, "service", "look at the disk its store is on (dmesg)",
			   "pid %d (%s) waits for a disk and has not answered for %s", (int)d->pid, name, took);
	} else {
		doctor_say(d, DOCTOR_FAIL, "service",
			   "a handler may block its loop: its log names it (\"loop\"); restart it when it does not come back",
			   "pid %d (%s) hangs: no answer within %s (%s)", (int)d->pid, name, took, why);
	}
}

static void service_answered(struct doctor *d, double ms)
{
	const struct figures_server *s = &d->server;
	char up[24];

	d->answers = true;
	d->asked_ns = clock_mono_ns();
	show_duration(s->uptime_us, up);
	doctor_say(d, s->draining ? DOCTOR_WARN : DOCTOR_OK, "service",
		   s->draining ? "it takes no new work: wait for its end, or for the next one" : NULL,
		   "answers in %.1f ms: %s, pid %lld, up %s%s", ms, s->version, (long long)s->pid, up,
		   s->draining ? ", is stopping" : "");
}

static void service_refused(struct doctor *d, const struct errand_reply *reply)
{
	const char *advice = NULL;

	if (reply->code == ERRAND_UNAUTHENTICATED)
		advice = d->backend.target.token == NULL ?
			"it wants a token: errand token create makes one, ERRAND_TOKEN_FILE names its file" :
			"this token does not count (any more): errand token list shows those that do";
	else if (reply->code == ERRAND_PERMISSION_DENIED)
		advice = "the token, or this user, needs the scope read";
	doctor_say(d, DOCTOR_FAIL, "service", advice, "GetServer was refused: %s", reply->message);
}

/* 0, or how the transport failed. */
static int service_ask(struct doctor *d, struct errand_reply **replyp)
{
	struct errand_client_options connect = {.connect_timeout_ns = patience(d)};
	struct errand_call_options o = {.timeout_ns = patience(d)};
	struct buf none = BUF_INIT;
	int r = 0;

	if (d->socket != NULL)
		r = errand_client_open(&d->backend.client, d->socket, &connect);
	return r < 0 ? r : backend_ask(&d->backend, "errand.v1.Servers", "GetServer", &none, &o, replyp);
}

void doctor_service(struct doctor *d)
{
	struct errand_reply *reply = NULL;
	int64_t begin = clock_mono_ns();
	int r;

	if (d->socket != NULL && !d->reached) {
		doctor_say(d, DOCTOR_FAIL, "service", NULL, "cannot be asked: see the line above");
		return;
	}
	r = service_ask(d, &reply);
	if (r == 0 && reply->code == ERRAND_OK) {
		figures_server((struct bytes){reply->payload, reply->payload_len}, &d->server);
		service_answered(d, (double)(clock_mono_ns() - begin) / (double)NS_PER_MS);
	} else if (r == 0) {
		service_refused(d, reply);
	} else if (d->pid > 0 && clock_mono_ns() - begin >= patience(d)) {
		service_silent(d, backend_error(&d->backend));
	} else {
		doctor_say(d, DOCTOR_FAIL, "service", d->socket != NULL ? "--allow-uid and --allow-gid of errand-service say who may connect" :
			   "is the URL right, and does the gateway run? curl -i URL/livez", "%s", backend_error(&d->backend));
	}
	errand_reply_free(reply);
}

/* --- the gateway --- */

static void gateway_unready(struct doctor *d, int status, struct buf *body)
{
	const char *text = buf_cstr(body), *detail = strstr(text, "\"detail\":\"");
	size_t len = detail != NULL ? strcspn(detail + 10, "\"") : 0;

	doctor_say(d, DOCTOR_FAIL, "gateway", d->answers ? "its --socket may name another service" : "see the lines above: the service",
		   "/readyz answers %d: %.*s", status, (int)len, len > 0 ? detail + 10 : "");
}

void doctor_gateway(struct doctor *d)
{
	AUTO_BUF ready = BUF_INIT, metrics = BUF_INIT;
	int status;

	if (d->gateway == NULL)
		return;
	status = remote_get(d->gateway, "/livez", patience(d), NULL);
	if (status != 200) {
		doctor_say(d, DOCTOR_FAIL, "gateway", status < 0 ? "start errand-gateway; a process that is stopped or hangs shows in ps" :
			   "is this the gateway's own address?",
			   status < 0 ? "%s" : "/livez does not answer 200 (%s)", status < 0 ? remote_error(d->gateway) : "a proxy?");
		return;
	}
	status = remote_get(d->gateway, "/readyz", patience(d), &ready);
	if (status == 200)
		doctor_say(d, DOCTOR_OK, "gateway", NULL, "alive and ready");
	else if (status > 0)
		gateway_unready(d, status, &ready);
	else
		doctor_say(d, DOCTOR_FAIL, "gateway", NULL, "/readyz: %s", remote_error(d->gateway));
	if (remote_get(d->gateway, "/metrics", patience(d), &metrics) == 200)
		figures_build(buf_cstr(&metrics), "errand_gateway_build_info", d->gateway_version);
}

void doctor_versions(struct doctor *d)
{
	const char *service = d->answers ? d->server.version : "", *gateway = d->gateway_version;
	bool same = (*service == '\0' || strcmp(service, PACKAGE_VERSION) == 0) &&
		(*gateway == '\0' || strcmp(gateway, PACKAGE_VERSION) == 0);

	doctor_say(d, same ? DOCTOR_OK : DOCTOR_WARN, "versions", same ? NULL : "restart what is older: it was not, since the upgrade",
		   "command %s, service %s, gateway %s", PACKAGE_VERSION, *service != '\0' ? service : "not known",
		   *gateway != '\0' ? gateway : "not known");
}
