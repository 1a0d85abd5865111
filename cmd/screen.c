/* Plain ANSI: the second screen of the terminal, no cursor, lines cut at its edge.  Lines are drawn over what was
 * there, and cleared behind their end, so that nothing flickers.
 *
 * The terminal is given back in the signal handlers, for a request to jitsud may be waited for when they come.  After
 * ^Z and fg it is taken again.
 */
#include "cmd/screen.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "cmd/top.h"

#define ENTER "\033[?1049h\033[?25l\033[?7l\033[H\033[2J"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static struct termios before;
static volatile sig_atomic_t taken, resized;

static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

static void put(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		return; /* there is nobody to tell */
}

static void set_mode(void)
{
	struct termios mode = before;

	mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	mode.c_cc[VMIN] = 1;
	mode.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &mode);
	put(ENTER);
}

static void unset_mode(void)
{
	put(LEAVE);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

static void on_ending(int sig)
{
	int error = errno;
	sigset_t set;

	if (taken)
		unset_mode();
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL); /* here it ends, or stops until SIGCONT */
	errno = error;
}

static void handle(int sig, void (*fn)(int))
{
	struct sigaction sa = { .sa_handler = fn };

	sigaction(sig, &sa, NULL);
}

static void on_change(int sig)
{
	int error = errno;

	if (sig == SIGCONT && taken) {
		handle(SIGTSTP, on_ending);
		set_mode();
	}
	resized = 1;
	errno = error;
}

bool screen_is_there(void) { return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO); }

int screen_take(void)
{
	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return -errno;
	taken = 1;
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		handle(ending[i], on_ending);
	handle(SIGWINCH, on_change);
	handle(SIGCONT, on_change);
	set_mode();
	return 0;
}

void screen_give_back(void)
{
	if (!taken)
		return;
	unset_mode();
	taken = 0;
}

unsigned screen_height(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

static bool put_all(const struct buf *b)
{
	for (size_t at = 0; at < b->n;) {
		ssize_t n = write(STDOUT_FILENO, b->text + at, b->n - at);

		if (n < 0 && errno != EINTR)
			return false;
		at += n > 0 ? (size_t)n : 0;
	}
	return true;
}

bool screen_draw(const struct buf *lines)
{
	cleanup_buf struct buf out = { 0 };
	const char *line = lines->text ? lines->text : "";

	buf_adds(&out, "\033[H");
	for (size_t n; *line; line += n + (line[n] == '\n')) {
		if (line != lines->text)
			buf_adds(&out, "\r\n");
		n = strcspn(line, "\n");
		buf_add(&out, line, n);
		buf_adds(&out, "\033[K");
	}
	buf_adds(&out, "\033[J");
	return put_all(&out);
}

/* What terminals send for keys that have no character. */
static int key_of(const char *s, size_t n)
{
	static const struct {
		const char *sequence;
		int key;
	} keys[] = {
		{ "\033[A", TOP_UP },	     { "\033[B", TOP_DOWN },	   { "\033OA", TOP_UP },
		{ "\033OB", TOP_DOWN },	     { "\033[5~", TOP_PAGE_UP },   { "\033[6~", TOP_PAGE_DOWN },
		{ "\033[H", TOP_HOME },	     { "\033[F", TOP_END },	   { "\033[1~", TOP_HOME },
		{ "\033[4~", TOP_END },
	};

	if (s[0] != '\033')
		return (unsigned char)s[0];
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strlen(keys[i].sequence) == n && memcmp(keys[i].sequence, s, n) == 0)
			return keys[i].key;
	}
	return SCREEN_NOTHING;
}

int screen_key(unsigned ms)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char s[16];
	ssize_t n;

	if (resized || poll(&p, 1, (int)ms) <= 0) {
		int key = resized ? SCREEN_RESIZED : SCREEN_NOTHING;

		resized = 0;
		return key;
	}
	n = read(STDIN_FILENO, s, 1);
	if (n == 1 && s[0] == '\033' && poll(&p, 1, 20) > 0) { /* the rest of its sequence comes at once */
		ssize_t more = read(STDIN_FILENO, s + 1, sizeof(s) - 1);

		n += more > 0 ? more : 0;
	}
	if (n < 0 && errno == EINTR)
		return SCREEN_NOTHING;
	return n <= 0 ? SCREEN_CLOSED : key_of(s, (size_t)n);
}
