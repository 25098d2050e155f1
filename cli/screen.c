#define _GNU_SOURCE
#include "cli/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/show.h"

#define ENTER "\033[?1049h\033[?25l\033[?7l" /* the other screen, no cursor, no wrapping */
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static struct termios before;
static volatile sig_atomic_t is_open;

/* Those that end us, and those that stop us. */
static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGPIPE};

/* --- in and out; only async-signal-safe calls --- */

static void put(const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n < 0 && errno != EINTR)
			return;
		text += MAX(n, 0);
		len -= (size_t)MAX(n, 0);
	}
}

static void leave(void)
{
	if (!is_open)
		return;
	is_open = 0;
	put(LEAVE, sizeof LEAVE - 1);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void enter(void)
{
	struct termios raw = before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	put(ENTER, sizeof ENTER - 1);
	is_open = 1;
}

/* --- signals --- */

/* SA_RESETHAND: raised again it does what it does without us. */
static void on_end(int signal)
{
	leave();
	raise(signal);
}

static void on_stop(int signal)
{
	int saved = errno;

	leave();
	raise(SIGSTOP);
	enter(); /* SIGCONT has come */
	errno = saved;
}

static void on_size(int signal)
{
	/* poll was interrupted: that is all */
}

static void catch(int signal, void (*handler)(int), int flags)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};

	sigaction(signal, &sa, NULL);
}

static void catch_all(void)
{
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		catch(ending[i], on_end, (int)SA_RESETHAND | SA_NODEFER);
	catch(SIGTSTP, on_stop, 0);
	catch(SIGWINCH, on_size, 0);
}

/* --- a screen --- */

bool screen_open(void)
{
	static bool registered;

	if (!isatty(STDIN_FILENO) || !show_is_terminal(stdout) || tcgetattr(STDIN_FILENO, &before) < 0)
		return false;
	if (!registered && atexit(leave) != 0)
		return false;
	registered = true;
	fflush(stdout);
	catch_all();
	enter();
	return true;
}

void screen_close(void)
{
	leave();
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		catch(ending[i], SIG_DFL, 0);
	catch(SIGTSTP, SIG_DFL, 0);
	catch(SIGWINCH, SIG_DFL, 0);
}

/* --- keys --- */

static const struct {
	const char *bytes;
	int key;
} sequences[] = {
	{"[A", KEY_UP}, {"OA", KEY_UP}, {"[B", KEY_DOWN}, {"OB", KEY_DOWN},
	{"[5~", KEY_PAGE_UP}, {"[6~", KEY_PAGE_DOWN}, {"[H", KEY_HOME}, {"OH", KEY_HOME},
	{"[F", KEY_END}, {"OF", KEY_END},
};

static bool wait_for_key(int timeout_ms)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

/* What follows an ESC; ESC alone is nothing here. */
static int escape(void)
{
	char text[8] = "";
	size_t n = 0;

	while (n < sizeof text - 1 && wait_for_key(25) && read(STDIN_FILENO, &text[n], 1) == 1) {
		n++;
		for (size_t i = 0; i < ARRAY_LEN(sequences); i++)
			if (strcmp(text, sequences[i].bytes) == 0)
				return sequences[i].key;
		if (n > 1 && (text[n - 1] == '~' || (text[n - 1] >= '@' && text[n - 1] <= 'Z')))
			break;
	}
	return KEY_NONE;
}

int screen_key(int timeout_ms)
{
	unsigned char c;
	ssize_t n;

	if (!wait_for_key(timeout_ms))
		return KEY_NONE;
	n = read(STDIN_FILENO, &c, 1);
	if (n < 0 && errno == EINTR)
		return KEY_NONE;
	if (n != 1)
		return -1;
	return c == '\033' ? escape() : c;
}

/* --- frames --- */

void screen_size(int *rows, int *columns)
{
	struct winsize w;

	*rows = 24;
	*columns = 80;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 0 && w.ws_col > 0) {
		*rows = w.ws_row;
		*columns = w.ws_col;
	}
}

/* Each line erases what is behind it, the last one what is below: nothing flickers. */
void screen_draw(const struct buf *frame)
{
	const char *p = (const char *)frame->data, *end = p + frame->len;
	AUTO_BUF out = BUF_INIT;

	buf_append_str(&out, "\033[H");
	while (p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));

		stop = stop != NULL ? stop : end;
		buf_append(&out, p, (size_t)(stop - p));
		buf_append_str(&out, stop + 1 < end ? "\033[K\r\n" : "\033[K");
		p = stop + 1;
	}
	buf_append_str(&out, "\033[J");
	put((const char *)out.data, out.len);
}
