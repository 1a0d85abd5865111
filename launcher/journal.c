#include "launcher/journal.h"

#include "base/clock.h"

struct journal {
	uint64_t newest;
	struct journal_line ring[JOURNAL_MAX];
};

struct journal *journal_new(void) { return calloc(1, sizeof(struct journal)); }

void journal_free(struct journal *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < JOURNAL_MAX; i++)
		free(j->ring[i].text);
	free(j);
}

const struct journal_line *journal_add(struct journal *j, enum log_level level, const char *process, const char *text)
{
	struct journal_line *line = &j->ring[(j->newest + 1) % JOURNAL_MAX];
	char *copy = strdup(text);

	if (!copy)
		return NULL;
	free(line->text);
	line->number = ++j->newest;
	line->wall_ms = clock_wall_ms();
	line->level = level;
	line->text = copy;
	str_copy(line->process, process);
	return line;
}

const struct journal_line *journal_get(const struct journal *j, uint64_t number)
{
	const struct journal_line *line = &j->ring[number % JOURNAL_MAX];

	return number != 0 && line->number == number ? line : NULL;
}

uint64_t journal_newest(const struct journal *j) { return j->newest; }
