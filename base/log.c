#include "base/log.h"

#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"

enum { LIMIT_WINDOW_MS = 10000, LINE_MAX_BYTES = 1024 };

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};
static const char level_priority[] = { [LOG_ERROR] = '3', [LOG_WARN] = '4', [LOG_INFO] = '6', [LOG_DEBUG] = '7' };

static const char *process_name = "jitsu";
static enum log_level most = LOG_INFO;
static bool to_journal;
static log_sink_fn *sink;
static void *sink_arg;

/* JOURNAL_STREAM is the device and inode of the stream; stderr may be another one by now. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       dev == st.st_dev && ino == st.st_ino;
}

void log_init(const char *process, enum log_level level)
{
	process_name = process;
	most = level;
	to_journal = stderr_is_journal();
	tzset(); /* gmtime_r() would do it later, from inside a sandbox */
}

void log_set_level(enum log_level level) { most = level; }

void log_set_sink(log_sink_fn *fn, void *arg)
{
	sink = fn;
	sink_arg = arg;
}

const char *log_level_name(enum log_level level) { return level_names[level]; }

int log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Everything that could end a line or move a terminal's cursor becomes '?'. */
static void make_printable(char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
	}
}

static size_t prefix(char *out, size_t size, enum log_level level)
{
	uint64_t now = clock_wall_ms();
	time_t s = (time_t)(now / 1000);
	struct tm tm;
	int n;

	if (to_journal) {
		n = snprintf(out, size, "<%c>%s: ", level_priority[level], process_name);
	} else {
		gmtime_r(&s, &tm);
		/* not strftime(): it looks at /etc/localtime each time, which a sandbox does not allow */
		n = snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ %s %s: ", tm.tm_year + 1900, tm.tm_mon + 1,
			     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(now % 1000), level_names[level],
			     process_name);
	}
	return n < 0 ? 0 : MIN((size_t)n, size - 1);
}

static void emit(enum log_level level, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES];
	size_t at = prefix(line, sizeof(line) - 1, level);
	ssize_t written;

	vsnprintf(line + at, sizeof(line) - at - 1, fmt, ap);
	make_printable(line + at);
	if (sink)
		sink(sink_arg, level, line + at);
	at += strlen(line + at);
	line[at] = '\n';
	/* One write per line, so that lines of several processes do not mix. */
	written = write(STDERR_FILENO, line, at + 1);
	(void)written; /* nobody is left to tell */
}

void log_line(enum log_level level, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (level > most)
		return;
	va_start(ap, fmt);
	emit(level, fmt, ap);
	va_end(ap);
	errno = saved;
}

void log_fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_ERROR, fmt, ap);
	va_end(ap);
	exit(1);
}

bool log_limit_pass(struct log_limit *limit)
{
	uint64_t now = clock_now_ms();

	if (limit->window_ms == 0 || now - limit->window_ms >= LIMIT_WINDOW_MS) {
		uint32_t left_out = limit->left_out;

		*limit = (struct log_limit){ .window_ms = now };
		if (left_out > 0)
			log_warn("%u lines like the next one were left out", left_out);
	}
	if (limit->said < LOG_BURST) {
		limit->said++;
		return true;
	}
	limit->left_out++;
	return false;
}
