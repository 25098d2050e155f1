/* encode.c: a video transcoded by ffmpeg, as a durable task.
 *
 *   check the paths ─▶ ffprobe (duration) ─▶ ffmpeg ─▶ sync, rename ─▶ answer
 *
 * ffmpeg gets an argv, never a shell, and its files as `file:/absolute/path`, so
 * that no path is taken for an option or for a protocol. Only container formats that
 * name no other files are read: a playlist could have any file of the machine read
 * out. The output grows under a name of its own beside the final one, so that an
 * attempt that was killed leaves no half video where a whole one is expected; one that
 * was killed with the output whole has saved that, and the next one only renames it. */
#define _GNU_SOURCE
#include "article.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROTOCOLS "file,pipe"
#define FORMATS \
	"mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,mxf,nut,ivf,m4v,h264,hevc," \
	"wav,mp3,aac,flac,ac3,gif,yuv4mpegpipe"

struct encode {
	struct errand_call *call;
	const char *preset;
	char *input, *output;   /* absolute */
	char *partial;          /* absolute: what ffmpeg writes */
	int64_t duration_us;    /* of the input; 0 = not known */
	int64_t out_us, frame;  /* as ffmpeg told last */
	int is_media;           /* ffprobe could read the input */
};

static void encode_deinit(struct encode *e)
{
	free(e->input);
	free(e->output);
	free(e->partial);
}

static char *format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	return s;
}

/* --- what was asked for --- */

static char *absolute(const char *path)
{
	char *dir, *s;

	if (*path == '/')
		return format("%s", path);
	dir = realpath(article_dir(), NULL);
	s = format("%s/%s", dir ? dir : "", path);
	free(dir);
	return s;
}

static int fail(struct encode *e, int code, const char *field, const char *path, const char *why)
{
	errand_final(e->call);
	errand_violation(e->call, field, "article.path", "%s: %s", path, why);
	errand_fail(e->call, code, "#/%s: %s: %s", field + 2, path, why);
	return -1;
}

static int check_input(struct encode *e, const Article__V1__EncodeRequest *in, struct stat *st)
{
	e->input = absolute(in->input_path);
	if (stat(e->input, st) < 0)
		return fail(e, errno == ENOENT || errno == ENOTDIR ? ERRAND_NOT_FOUND
								   : ERRAND_INVALID_ARGUMENT,
			    "#/input_path", e->input, strerror(errno));
	if (!S_ISREG(st->st_mode))
		return fail(e, ERRAND_INVALID_ARGUMENT, "#/input_path", e->input, "is no regular file");
	return 0;
}

/* The partial file keeps the suffix, which tells ffmpeg the container. */
static void name_partial(struct encode *e, const char *dir)
{
	const char *base = strrchr(e->output, '/') + 1, *suffix = strrchr(base, '.');
	const char *id = errand_task_id(e->call);

	e->partial = format("%s/.errand-%s%s", dir, id ? id : "encode", suffix ? suffix : "");
}

static int check_output(struct encode *e, const Article__V1__EncodeRequest *in,
			const struct stat *input)
{
	struct stat st;
	char *copy, *dir;
	int rc = 0;

	e->output = absolute(in->output_path);
	copy = format("%s", e->output);
	dir = dirname(copy);
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		rc = fail(e, ERRAND_NOT_FOUND, "#/output_path", dir, "no such directory");
	else if (stat(e->output, &st) == 0 && !S_ISREG(st.st_mode))
		rc = fail(e, ERRAND_INVALID_ARGUMENT, "#/output_path", e->output, "is no regular file");
	else if (stat(e->output, &st) == 0 && st.st_ino == input->st_ino && st.st_dev == input->st_dev)
		rc = fail(e, ERRAND_INVALID_ARGUMENT, "#/output_path", e->output, "is the input itself");
	else
		name_partial(e, dir);
	free(copy);
	return rc;
}

static int check(struct encode *e, const Article__V1__EncodeRequest *in)
{
	struct stat input;

	/* that paths are not empty and a preset is one of libx264's, the .proto says */
	e->preset = in->_preset_case == ARTICLE__V1__ENCODE_REQUEST___PRESET_PRESET ? in->preset : "fast";
	if (check_input(e, in, &input) < 0)
		return -1;
	return check_output(e, in, &input);
}

/* --- ffprobe --- */

static void probe_line(struct errand_call *call, const char *line, size_t len, void *arg)
{
	struct encode *e = arg;
	char text[32] = "";

	memcpy(text, line, len < sizeof text ? len : sizeof text - 1);
	e->duration_us = (int64_t)(strtod(text, NULL) * 1e6);
	if (e->duration_us < 0)
		e->duration_us = 0;
}

/* How long the input is, for the progress. Whatever is wrong with it is ffmpeg's to
 * say; that it is no media file at all means that another attempt is no use. */
static void probe(struct encode *e)
{
	char *input = format("file:%s", e->input);
	const char *argv[] = {"ffprobe", "-v", "quiet", "-protocol_whitelist", PROTOCOLS,
			      "-format_whitelist", FORMATS, "-show_entries", "format=duration",
			      "-of", "default=noprint_wrappers=1:nokey=1", input, NULL};
	struct errand_command command = {.argv = argv, .on_stdout = probe_line, .arg = e};
	struct errand_exit exit;

	e->is_media = errand_run(e->call, &command, &exit) < 0 || exit.status == 0;
	free(input);
}

/* --- ffmpeg --- */

/* "key=value" lines; a block of them ends with "progress=". */
static void progress_line(struct errand_call *call, const char *line, size_t len, void *arg)
{
	struct encode *e = arg;
	Article__V1__EncodeProgress detail = ARTICLE__V1__ENCODE_PROGRESS__INIT;
	char text[64] = "", message[64];

	memcpy(text, line, len < sizeof text ? len : sizeof text - 1);
	if (sscanf(text, "frame=%" SCNd64, &e->frame) == 1 ||
	    sscanf(text, "out_time_us=%" SCNd64, &e->out_us) == 1)
		return;
	if (strncmp(text, "progress=", 9) != 0)
		return;
	snprintf(message, sizeof message, "frame %" PRId64, e->frame);
	detail.frame = e->frame;
	detail.seconds = (double)e->out_us / 1e6;
	detail.of = (double)e->duration_us / 1e6;
	errand_progress_detail(call, e->duration_us > 0 ? (double)e->out_us / (double)e->duration_us : 0,
			       message, &detail.base);
}

static int run_ffmpeg(struct encode *e, struct errand_exit *exit)
{
	char *input = format("file:%s", e->input), *output = format("file:%s", e->partial);
	const char *argv[] = {"ffmpeg", "-nostdin", "-hide_banner", "-nostats",
			      "-progress", "pipe:1",
			      "-protocol_whitelist", PROTOCOLS, "-format_whitelist", FORMATS,
			      "-i", input,
			      "-c:v", "libx264", "-preset", e->preset, "-c:a", "aac", "-y", output, NULL};
	struct errand_command command = {.argv = argv, .on_stdout = progress_line, .arg = e};
	int rc = errand_run(e->call, &command, exit);

	free(input);
	free(output);
	return rc;
}

static int sync_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

/* The output is whole and would survive a power cut: that is worth remembering. */
static int save(struct encode *e)
{
	Article__V1__EncodeState state = ARTICLE__V1__ENCODE_STATE__INIT;
	struct stat st;

	if (sync_path(e->partial, O_RDONLY) < 0 || stat(e->partial, &st) < 0)
		return -1;
	state.encoded_size = st.st_size;
	return errand_checkpoint(e->call, &state.base);
}

/* Did an attempt before this one come as far as that? */
static int is_encoded(struct encode *e)
{
	const Article__V1__EncodeState *state = (const Article__V1__EncodeState *)
		errand_checkpoint_get(e->call, &article__v1__encode_state__descriptor);
	struct stat st;

	return state != NULL && stat(e->partial, &st) == 0 && st.st_size == state->encoded_size;
}

/* The task is not reported done before its file would survive a power cut. */
static int publish(struct encode *e)
{
	char *copy = format("%s", e->output);
	int rc;

	rc = save(e) < 0 || rename(e->partial, e->output) < 0 ||
	     sync_path(dirname(copy), O_RDONLY | O_DIRECTORY) < 0;
	if (rc)
		errand_fail(e->call, ERRAND_UNAVAILABLE, "%s: %s", e->output, strerror(errno));
	free(copy);
	return rc ? -1 : 0;
}

/* 0 when the output is in place; -1 when the call has been failed. */
static int transcode(struct encode *e)
{
	struct errand_exit exit;
	int rc;

	if (is_encoded(e))
		return publish(e);
	probe(e);
	rc = run_ffmpeg(e, &exit);
	if (rc == 0 && exit.status == 0 && publish(e) == 0)
		return 0;
	unlink(e->partial);
	if (rc == -ERRAND_NOT_FOUND) {
		errand_final(e->call);
		errand_fail(e->call, ERRAND_FAILED_PRECONDITION,
			    "ffmpeg is not installed (Debian: apt-get install ffmpeg)");
	} else if (rc == -ERRAND_UNAVAILABLE) {
		errand_fail(e->call, ERRAND_UNAVAILABLE, "ffmpeg could not be started: %s",
			    strerror(errno));
	} else if (rc < 0 || exit.status != 0) {
		if (!e->is_media)
			errand_final(e->call);
		errand_fail_exit(e->call, "ffmpeg", &exit);
	}
	return -1;
}

void article__encode(Article__V1__Article_Service *service, const Article__V1__EncodeRequest *in,
		     Article__V1__EncodeReply_Closure done, void *call)
{
	Article__V1__EncodeReply reply = ARTICLE__V1__ENCODE_REPLY__INIT;
	struct encode e = {.call = call};

	if (check(&e, in) == 0 && transcode(&e) == 0) {
		errand_progress(call, 1, "done");
		reply.status = (char *)"success";
		reply.message = (char *)"转码完成";
		done(&reply, call);
	}
	encode_deinit(&e);
}
