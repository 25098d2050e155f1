/* doctor_store.c: the store: what the service says of it, and what the file system shows. Its
 * faults are named: read-only, full, corrupt, missing. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/dev_find.h"
#include "cli/doctor_impl.h"
#include "cli/show.h"

#define CHECK_MOST (256ll << 20)  /* bytes that are checked without being asked to */
#define CHECK_WAIT (60 * NS_PER_S)
#define LOG_MUCH (64ll << 20)
#define FREE_LITTLE (256ull << 20)

/* --- what SQLite and the kernel call it --- */

static const struct {
	const char *word, *fault, *advice;
} faults[] = {
	{"readonly", "read-only", "make the file and its directory writable for the service's user, or remount the file system"},
	{"Read-only", "read-only", "remount the file system: mount -o remount,rw; dmesg says why it became so"},
	{"full", "full", "make room on that disk: the service goes on by itself"},
	{"No space", "full", "make room on that disk: the service goes on by itself"},
	{"malformed", "corrupt", "stop the service, keep the file aside, restore a backup (errand store backup makes them)"},
	{"damaged", "corrupt", "stop the service, keep the file aside, restore a backup (errand store backup makes them)"},
	{"not a database", "corrupt", "stop the service, keep the file aside, restore a backup (errand store backup makes them)"},
	{"unable to open", "missing", "make its directory again (mode 0700, the service's user) and restart the service"},
	{"fsync", "failing", "the disk may be broken: see dmesg, then restart the service"},
	{"disk I/O", "failing", "the disk may be broken, or its directory is gone: see the lines below"},
};

static void store_down(struct doctor *d, const char *error)
{
	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		if (strcasestr(error, faults[i].word) != NULL) {
			doctor_say(d, DOCTOR_FAIL, "store", faults[i].advice, "down, %s: %s", faults[i].fault, error);
			return;
		}
	doctor_say(d, DOCTOR_FAIL, "store", "the service's log says more", "down: %s", *error != '\0' ? error : "writes fail");
}

/* --- the file --- */

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? xstrdup(".") : xstrndup(path, MAX((size_t)(slash - path), 1));
}

/* Who runs the service; UINT_MAX: nobody knows. */
static uid_t service_uid(const struct doctor *d)
{
	AUTO_FREE char *path = xasprintf("/proc/%lld", (long long)(d->answers ? d->server.pid : d->pid));
	struct stat st;

	return (d->answers || d->pid > 0) && stat(path, &st) == 0 ? st.st_uid : (uid_t)-1;
}

static bool has_folder(struct doctor *d, const char *path)
{
	AUTO_FREE char *folder = folder_of(path);
	struct stat st;

	if (stat(folder, &st) == 0 && S_ISDIR(st.st_mode))
		return true;
	if (errno == EACCES)
		doctor_say(d, DOCTOR_WARN, "store-file", "run errand doctor as root, or as the service's user",
			   "%s may not be looked into by UID %u", folder, (unsigned)geteuid());
	else
		doctor_say(d, DOCTOR_FAIL, "store-file", d->answers ?
			   "what the service writes now is lost: stop it, make the directory again (mode 0700, its user), restore a backup" :
			   "make it (mode 0700, the service's user): errand-service does not start without it",
			   "missing: there is no directory %s", folder);
	return false;
}

/* The first bytes of the file. */
static bool is_database(struct doctor *d, const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char head[16];
	ssize_t n;

	if (fd < 0) {
		doctor_say(d, DOCTOR_WARN, "store-file", "run errand doctor as root, or as the service's user", "%s: %s", path,
			   strerror(errno));
		return true;
	}
	n = read(fd, head, sizeof head);
	if (n == 0 || (n == sizeof head && memcmp(head, "SQLite format 3", 16) == 0))
		return true;
	doctor_say(d, DOCTOR_FAIL, "store-file", "stop the service, keep the file aside, restore a backup",
		   "corrupt: %s does not begin as a database does", path);
	return false;
}

static void look_at_mode(struct doctor *d, const char *path, const struct stat *st)
{
	uid_t uid = service_uid(d);
	char size[24];

	show_bytes((uint64_t)st->st_size, size);
	if (st->st_mode & 077)
		doctor_say(d, DOCTOR_WARN, "store-file", "chmod 600: inputs and results of tasks are in it",
			   "%s has mode %04o: others can read it", path, (unsigned)st->st_mode & 07777);
	else if ((st->st_mode & S_IWUSR) == 0)
		doctor_say(d, uid == 0 ? DOCTOR_WARN : DOCTOR_FAIL, "store-file", "chmod 600", "read-only: %s has mode %04o", path,
			   (unsigned)st->st_mode & 07777);
	else if (uid != (uid_t)-1 && uid != st->st_uid)
		doctor_say(d, DOCTOR_WARN, "store-file", "chown it to the service's user", "%s belongs to UID %u, the service runs as UID %u",
			   path, (unsigned)st->st_uid, (unsigned)uid);
	else
		doctor_say(d, DOCTOR_OK, "store-file", NULL, "%s, mode %04o, UID %u, %s", path, (unsigned)st->st_mode & 07777,
			   (unsigned)st->st_uid, size);
}

static bool look_at_file(struct doctor *d, const char *path)
{
	struct stat st;

	if (!has_folder(d, path))
		return false;
	if (stat(path, &st) < 0) {
		doctor_say(d, d->answers ? DOCTOR_FAIL : DOCTOR_WARN, "store-file", d->answers ?
			   "somebody has taken it away: stop the service, restore a backup" : "errand-service makes it when it starts first",
			   "missing: %s: %s", path, strerror(errno));
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		doctor_say(d, DOCTOR_FAIL, "store-file", NULL, "%s is no regular file", path);
		return false;
	}
	if (!is_database(d, path))
		return false;
	look_at_mode(d, path, &st);
	return true;
}

/* --- the disk --- */

static void look_at_disk(struct doctor *d, const char *path, int64_t reserve)
{
	AUTO_FREE char *folder = folder_of(path);
	uint64_t room, need = 2 * MAX((uint64_t)reserve, 1u << 20); /* less: a reserve that was spent is not taken again */
	char left[24], kept[24];
	struct statvfs v;

	if (statvfs(folder, &v) < 0)
		return;
	room = (uint64_t)v.f_bavail * v.f_frsize;
	show_bytes(room, left);
	show_bytes(need, kept);
	if (v.f_flag & ST_RDONLY)
		doctor_say(d, DOCTOR_FAIL, "store-disk", "mount -o remount,rw; dmesg says why it became so",
			   "read-only: the file system of %s is mounted so", folder);
	else if (room < need)
		doctor_say(d, DOCTOR_FAIL, "store-disk", "make room: what runs is recorded from the reserve, new tasks are refused",
			   "full: %s left for %s, where the store wants %s%s", left, folder, kept,
			   d->answers && reserve == 0 ? "; its reserve is spent" : "");
	else if (room < FREE_LITTLE)
		doctor_say(d, DOCTOR_WARN, "store-disk", "make room soon", "%s left for %s", left, folder);
	else
		doctor_say(d, DOCTOR_OK, "store-disk", NULL, "%s left for %s", left, folder);
}

static void look_at_log(struct doctor *d, const char *path)
{
	AUTO_FREE char *wal = xasprintf("%s-wal", path);
	struct stat st;
	char size[24];

	if (stat(wal, &st) < 0)
		st.st_size = 0;
	show_bytes((uint64_t)st.st_size, size);
	doctor_say(d, st.st_size > LOG_MUCH ? DOCTOR_WARN : DOCTOR_OK, "store-log", st.st_size > LOG_MUCH ?
		   "another program may hold the database open (lsof); a restart of the service copies the log back" : NULL,
		   "write-ahead log of %s", size);
}

/* --- is it sound --- */

static void check_said(struct doctor *d, bool sound, uint64_t tasks, const char *fault)
{
	if (sound)
		doctor_say(d, DOCTOR_OK, "store-check", NULL, "sound, %llu tasks", (unsigned long long)tasks);
	else
		doctor_say(d, DOCTOR_FAIL, "store-check", "errand store check shows all; stop the service, keep the file aside, "
			   "restore a backup", "corrupt: %s", fault);
}

static void check_by_service(struct doctor *d)
{
	struct errand_call_options o = {.timeout_ns = CHECK_WAIT};
	struct errand_reply *reply;
	struct buf none = BUF_INIT;
	uint64_t sound = 0, tasks = 0;
	AUTO_FREE char *fault = NULL;
	struct pbuf_reader r;
	struct pbuf_field f;

	if (backend_ask(&d->backend, "errand.v1.Store", "CheckStore", &none, &o, &reply) < 0) {
		doctor_say(d, DOCTOR_WARN, "store-check", NULL, "not done: %s", backend_error(&d->backend));
		return;
	}
	r = pbuf_reader(reply->payload, reply->payload_len);
	while (pbuf_next(&r, &f))
		if (f.number == 2 && fault == NULL)
			fault = xstrndup((const char *)f.bytes.data, f.bytes.len);
		else if (f.number != 2)
			*(f.number == 1 ? &sound : &tasks) = f.value;
	if (reply->code == ERRAND_DATA_LOSS)
		check_said(d, false, 0, reply->message);
	else if (reply->code != ERRAND_OK)
		doctor_say(d, DOCTOR_WARN, "store-check", "errand store check", "not done: %s", reply->message);
	else
		check_said(d, sound != 0, tasks, fault != NULL ? fault : "");
	errand_reply_free(reply);
}

/* Nobody uses the file now. */
static void check_by_program(struct doctor *d, const char *path)
{
	AUTO_FREE char *program = dev_find_there("errand-service", "ERRAND_SERVICE");
	AUTO_FREE char *store = xasprintf("sqlite:%s", path);
	const char *argv[] = {program, "--check-store", "--store", store, NULL};
	AUTO_BUF out = BUF_INIT;
	const char *text;
	int status;

	if (program == NULL)
		return;
	status = doctor_run(argv, CHECK_WAIT, &out);
	text = buf_cstr(&out);
	while (strchr(text, '\n') != NULL && strchr(text, '\n')[1] != '\0') /* the last line says it */
		text = strchr(text, '\n') + 1;
	doctor_say(d, status == 0 ? DOCTOR_OK : DOCTOR_FAIL, "store-check", status == 0 ? NULL :
		   "keep the file aside, restore a backup: errand-service does not start on it",
		   status == 0 ? "sound: %.*s" : "corrupt, or not to be checked: %.*s", (int)strcspn(text, "\n"), text);
}

/* --- all of it --- */

/* A service that does not answer has its log open all the same. */
static char *open_path(pid_t pid)
{
	AUTO_FREE char *folder = xasprintf("/proc/%d/fd", (int)pid);
	DIR *dir = pid > 0 ? opendir(folder) : NULL;
	char target[1024], *found = NULL;
	struct dirent *e;

	while (dir != NULL && found == NULL && (e = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
		char *end;

		target[MAX(n, 0)] = '\0';
		end = strstr(target, "-wal");
		if (end != NULL && target[0] == '/' && (end[4] == '\0' || end[4] == ' '))
			found = xstrndup(target, (size_t)(end - target));
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

/* The file, when the service cannot say: --store, or its configuration. */
static char *configured_path(const struct doctor *d)
{
	AUTO_FREE char *store = d->conf->store != NULL ? xstrdup(d->conf->store) : doctor_setting("store");
	AUTO_FREE char *state = store == NULL ? doctor_setting("state") : NULL;

	if (store != NULL)
		return xstrdup(store + (strncmp(store, "sqlite:", 7) == 0 ? 7 : 0));
	return state != NULL ? xasprintf("%s/tasks.db", state) : NULL;
}

static void look(struct doctor *d, const char *path, int64_t reserve)
{
	struct stat st;

	if (!look_at_file(d, path)) {
		look_at_disk(d, path, reserve);
		return;
	}
	look_at_disk(d, path, reserve);
	look_at_log(d, path);
	if (d->answers && stat(path, &st) == 0 && st.st_size > CHECK_MOST)
		doctor_say(d, DOCTOR_OK, "store-check", "errand store check, when there is time for it", "left out: the file is large");
	else if (d->answers)
		check_by_service(d);
	else if (!d->reached)
		check_by_program(d, path);
}

static void ask_service(struct doctor *d, struct figures_store *out)
{
	struct errand_call_options o = {.timeout_ns = 10 * NS_PER_S};
	struct errand_reply *reply = NULL;
	struct buf none = BUF_INIT;

	*out = (struct figures_store){0};
	if (backend_ask(&d->backend, "errand.v1.Store", "GetStore", &none, &o, &reply) == 0 && reply->code == ERRAND_OK)
		figures_store((struct bytes){reply->payload, reply->payload_len}, out);
	errand_reply_free(reply);
}

void doctor_store(struct doctor *d)
{
	AUTO_FREE char *path = NULL;
	struct figures_store f;

	if (!d->answers) {
		path = d->socket != NULL ? open_path(d->pid) : NULL;
		if (path == NULL && d->socket != NULL)
			path = configured_path(d);
		if (path != NULL && strcmp(path, "memory") != 0)
			look(d, path, 0);
		return;
	}
	ask_service(d, &f);
	if (!d->server.store_ok)
		store_down(d, *f.error != '\0' ? f.error : d->server.store_error);
	else if (*f.path == '\0')
		doctor_say(d, DOCTOR_OK, "store", NULL, "%s: what it holds ends with the service", d->server.store_kind);
	else
		doctor_say(d, DOCTOR_OK, "store", NULL, "%s, writes work, schema %lld%s", f.kind, (long long)f.schema_version,
			   f.reserve == 0 ? ", no reserve" : "");
	if (*f.path != '\0' && d->socket != NULL)
		look(d, f.path, f.reserve);
}
