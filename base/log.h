/* One structured line per event, to stderr (the journal reads it there).
 *
 *     2026-01-02T03:04:05.678Z info launcher: service=www is up (wake 7, 41 ms)
 *
 * When stderr is the journal's (JOURNAL_STREAM names it) the time is left out and the sd-daemon
 * priority prefix is written instead.
 *
 * Whoever decides logs, once.  Lines about a service say `service=NAME`, lines about a query
 * `query=NAME`.  Anything a packet can trigger goes through log_limited().  Control characters
 * in the text are escaped, so that a foreign name cannot forge a line.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/util.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* `process` appears in each line and must outlive the program ("dns", "launcher"). */
void log_init(const char *process, enum log_level most);
void log_set_level(enum log_level most);

/* Also give each finished line (no time, no newline) to `sink`; NULL takes it back.  The sink
 * must not log. */
typedef void log_sink_fn(void *arg, enum log_level level, const char *line);
void log_set_sink(log_sink_fn *sink, void *arg);

const char *log_level_name(enum log_level level);
/* 0, or -EINVAL for an unknown name. */
int log_level_parse(const char *name, enum log_level *level);

void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* At most `LOG_BURST` lines per 10 s and call site; the next window says how many were left
 * out. */
enum { LOG_BURST = 5 };
struct log_limit {
	uint64_t window_ms;
	uint32_t said, left_out;
};
bool log_limit_pass(struct log_limit *limit);

#define log_limited(level, ...)                                                                    \
	do {                                                                                       \
		static struct log_limit log_limit_here;                                            \
		if (log_limit_pass(&log_limit_here))                                               \
			log_line(level, __VA_ARGS__);                                              \
	} while (0)

/* Logs and exits with status 1: for start-up only. */
void log_fatal(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

#endif
