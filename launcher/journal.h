/* The last log lines of all processes, for `jitsuctl log`.  A ring; the oldest make room. */
#ifndef LAUNCHER_JOURNAL_H
#define LAUNCHER_JOURNAL_H

#include "base/log.h"
#include "base/msg.h"

enum { JOURNAL_MAX = 1000 };

struct journal_line {
	uint64_t number; /* from 1 */
	uint64_t wall_ms;
	enum log_level level;
	char process[MSG_NAME_MAX];
	char *text;
};

struct journal;

struct journal *journal_new(void);
void journal_free(struct journal *j);
/* The line just added, or NULL when memory ran out. */
const struct journal_line *journal_add(struct journal *j, enum log_level level, const char *process, const char *text);
/* The line, or NULL when it has left the ring. */
const struct journal_line *journal_get(const struct journal *j, uint64_t number);
uint64_t journal_newest(const struct journal *j); /* 0: none yet */

#endif
