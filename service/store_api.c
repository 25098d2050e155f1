/* store_api.c: the handlers of errand.v1.Store. They are SYNC: each waits on a thread of
 * the pool for its ops on the store thread, one after another, with whatever the
 * store has to do in between; files are synced and checked on the pool's thread. */
#define _GNU_SOURCE
#include "service/store_api.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "errand/service.h"
#include "errand/v1/store.pb-c.h"
#include "service/fault.h"
#include "service/store_check.h"
#include "service/task_api.h"
#include "service/task_engine.h"

#define STEP_PAGES 256 /* copied at a time: a millisecond or two for who waits */
#define VACUUM_PAGES 64

/* --- one op, waited for --- */

struct ask {
	struct store_op op;
	pthread_mutex_t lock; /* guards answered */
	pthread_cond_t came;
	bool answered;
	int code;
	char why[320];        /* of a failure */
	/* what the kinds of ops need */
	struct store_stat stat;
	const char *path;
	struct store_backup *backup;
	bool more;
};

static void ask_done(struct store_op *op, int code)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);

	pthread_mutex_lock(&a->lock);
	a->code = code;
	a->answered = true;
	pthread_cond_signal(&a->came);
	pthread_mutex_unlock(&a->lock);
}

static int ask(struct ask *a, int (*run)(struct store_op *, const struct store_ops *, struct store *))
{
	a->op = (struct store_op){.run = run, .done = ask_done, .between = true};
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->came, NULL);
	a->answered = false;
	store_thread_submit(&a->op);
	pthread_mutex_lock(&a->lock);
	while (!a->answered)
		pthread_cond_wait(&a->came, &a->lock);
	pthread_mutex_unlock(&a->lock);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->came);
	return a->code;
}

/* The words while the store still has them; store thread. */
static int told(struct ask *a, const struct store_ops *ops, struct store *s, int r)
{
	if (r < 0)
		snprintf(a->why, sizeof a->why, "%s", ops->error(s));
	return r;
}

static int run_stat(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);

	return told(a, ops, s, ops->stat(s, &a->stat));
}

static int run_begin(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);

	return told(a, ops, s, ops->backup_begin(s, a->path, &a->backup));
}

static int run_step(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);
	int r = ops->backup_step(s, a->backup, STEP_PAGES);

	a->more = r > 0;
	return told(a, ops, s, MIN(r, 0));
}

static int run_end(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	ops->backup_end(s, CONTAINER_OF(op, struct ask, op)->backup);
	return 0;
}

static int run_vacuum(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);
	int r = ops->vacuum_step(s, VACUUM_PAGES);

	a->more = r > 0;
	return told(a, ops, s, MIN(r, 0));
}

/* --- errors --- */

static void fail(void *call, int code, const char *why)
{
	errand_fail(call, code == -ERRAND_RESOURCE_EXHAUSTED ? ERRAND_UNAVAILABLE : -code, "%s", why);
}

static bool has_file(void *call)
{
	if (engine.ops->stat != NULL)
		return true;
	errand_fail(call, ERRAND_FAILED_PRECONDITION, "the store is %s: it is no file",
		    engine.ops->name);
	return false;
}

static atomic_flag busy = ATOMIC_FLAG_INIT;

/* One at a time: each is as much as the disk can do. Let go with busy_end. */
static bool busy_begin(void *call)
{
	if (!has_file(call))
		return false;
	if (!atomic_flag_test_and_set(&busy))
		return true;
	errand_fail(call, ERRAND_ABORTED, "the store is being checked, copied or vacuumed already");
	return false;
}

static void busy_end(void)
{
	atomic_flag_clear(&busy);
}

/* --- figures --- */

static void get_store(Errand__V1__Store_Service *service, const Errand__V1__GetStoreRequest *in,
		      Errand__V1__StoreInfo_Closure done, void *call)
{
	Errand__V1__StoreInfo info = ERRAND__V1__STORE_INFO__INIT;
	Errand__V1__StoreInfo__Tasks counts[TASK_STATES_MAX], *rows[TASK_STATES_MAX];
	struct ask a = {.code = 0};
	char error[256] = "";
	int r = engine.ops->stat != NULL ? ask(&a, run_stat) : 0;

	if (!store_thread_ok())
		store_thread_error(error, sizeof error);
	info.kind = (char *)engine.ops->name;
	info.error = error;
	info.path = a.stat.path != NULL ? a.stat.path : (char *)"";
	info.schema_version = a.stat.version;
	info.size = a.stat.size;
	info.log_size = a.stat.log_size;
	info.page_size = a.stat.page_size;
	info.pages = a.stat.pages;
	info.free_pages = a.stat.free_pages;
	info.reserve = a.stat.reserve;
	info.tasks = rows;
	for (unsigned i = 1; i < TASK_STATES_MAX; i++)
		if (a.stat.tasks[i] > 0) {
			rows[info.n_tasks] = &counts[info.n_tasks];
			errand__v1__store_info__tasks__init(rows[info.n_tasks]);
			rows[info.n_tasks]->state = (Errand__V1__Task__State)i;
			rows[info.n_tasks++]->count = a.stat.tasks[i];
		}
	if (r < 0)
		fail(call, r, a.why);
	else
		done(&info, call);
	free(a.stat.path);
}

/* --- a copy --- */

/* Step by step into a new file called path; 0, or why not, and no file. */
static int copy_to(struct ask *a, const char *path, void *call)
{
	int r;

	a->path = path;
	r = ask(a, run_begin);
	if (r < 0)
		return r;
	do {
		r = ask(a, run_step);
		if (r == 0 && errand_cancelled(call)) {
			snprintf(a->why, sizeof a->why, "cancelled");
			r = -ERRAND_CANCELLED;
		}
	} while (r == 0 && a->more);
	ask(a, run_end);
	if (r < 0)
		unlink(path);
	return r;
}

static int sync_path(const char *path, int flags)
{
	AUTO_CLOSE int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* On the disk first, then under its name, unless something is called so. */
static int name_copy(struct ask *a, const char *part, const char *path)
{
	AUTO_FREE char *dir = xstrndup(path, MAX((size_t)(strrchr(path, '/') - path), 1));
	int r = sync_path(part, O_RDWR);

	fault_point("backup-rename", NULL);
	if (r == 0 && renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
		r = -errno;
	if (r == 0)
		return sync_path(dir, O_RDONLY | O_DIRECTORY) == 0 ? 0 : -ERRAND_UNAVAILABLE;
	snprintf(a->why, sizeof a->why, "%s cannot be made: %s", path, strerror(-r));
	unlink(part);
	return r == -EEXIST ? -ERRAND_ALREADY_EXISTS : -ERRAND_UNAVAILABLE;
}

static int backup(struct ask *a, const char *path, void *call)
{
	AUTO_FREE char *part = xasprintf("%s.part", path);
	struct stat st;
	int r;

	if (path[0] != '/' || path[strlen(path) - 1] == '/') {
		snprintf(a->why, sizeof a->why, "path: \"%s\" is not the absolute name of a file", path);
		return -ERRAND_INVALID_ARGUMENT;
	}
	if (lstat(path, &st) == 0) {
		snprintf(a->why, sizeof a->why, "%s is there already; name another file", path);
		return -ERRAND_ALREADY_EXISTS;
	}
	unlink(part); /* of a copy that was broken off */
	r = copy_to(a, part, call);
	return r < 0 ? r : name_copy(a, part, path);
}

static void backup_store(Errand__V1__Store_Service *service, const Errand__V1__BackupStoreRequest *in,
			 Errand__V1__BackupStoreReply_Closure done, void *call)
{
	Errand__V1__BackupStoreReply reply = ERRAND__V1__BACKUP_STORE_REPLY__INIT;
	struct ask a = {.code = 0};
	struct stat st;
	int r;

	if (!busy_begin(call))
		return;
	r = backup(&a, in->path, call);
	busy_end();
	if (r < 0) {
		fail(call, r, a.why);
		return;
	}
	reply.path = in->path;
	reply.size = stat(in->path, &st) == 0 ? st.st_size : 0;
	log_info("store: backed up", "file=%s bytes=%lld", in->path, (long long)reply.size);
	done(&reply, call);
}

/* --- check --- */

static int check(struct ask *a, struct store_report *report, void *call)
{
	AUTO_FREE char *copy = NULL;
	int r = ask(a, run_stat);

	if (r < 0)
		return r;
	copy = xasprintf("%s.check", a->stat.path);
	unlink(copy);
	r = copy_to(a, copy, call);
	if (r == 0)
		r = store_check_file(copy, report, a->why, sizeof a->why);
	unlink(copy);
	return r;
}

static void check_store(Errand__V1__Store_Service *service, const Errand__V1__CheckStoreRequest *in,
			Errand__V1__CheckStoreReply_Closure done, void *call)
{
	Errand__V1__CheckStoreReply reply = ERRAND__V1__CHECK_STORE_REPLY__INIT;
	struct store_report report = {0};
	struct ask a = {.code = 0};
	int r;

	if (!busy_begin(call))
		return;
	r = check(&a, &report, call);
	busy_end();
	reply.sound = report.n == 0;
	reply.n_faults = report.n;
	reply.faults = report.faults;
	reply.tasks = report.tasks;
	if (r < 0)
		fail(call, r, a.why);
	else
		done(&reply, call);
	store_report_deinit(&report);
	free(a.stat.path);
}

/* --- unused space --- */

static void vacuum_store(Errand__V1__Store_Service *service, const Errand__V1__VacuumStoreRequest *in,
			 Errand__V1__VacuumStoreReply_Closure done, void *call)
{
	Errand__V1__VacuumStoreReply reply = ERRAND__V1__VACUUM_STORE_REPLY__INIT;
	struct ask before = {.code = 0}, a = {.code = 0};
	int r;

	if (!busy_begin(call))
		return;
	r = ask(&before, run_stat);
	do {
		r = r < 0 ? r : ask(&a, run_vacuum);
	} while (r == 0 && a.more && !errand_cancelled(call));
	if (r == 0)
		r = ask(&a, run_stat);
	busy_end();
	reply.pages = MAX(before.stat.pages - a.stat.pages, 0);
	reply.size = a.stat.size;
	if (r < 0)
		fail(call, r, a.why[0] != 0 ? a.why : before.why);
	else
		done(&reply, call);
	free(before.stat.path);
	free(a.stat.path);
}

static Errand__V1__Store_Service handlers = {
	.base = {&errand__v1__store__descriptor, protobuf_c_service_invoke_internal, NULL},
	.get_store = get_store,
	.check_store = check_store,
	.backup_store = backup_store,
	.vacuum_store = vacuum_store,
};

ProtobufCService *const store_api_service = &handlers.base;
