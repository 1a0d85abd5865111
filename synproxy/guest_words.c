#include "synproxy/guest_words.h"

static bool parse_seconds(const char *text, uint32_t *out)
{
	uint64_t n = 0;

	if (!text || !text[0])
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = MIN(n * 10 + (uint64_t)(*text - '0'), (uint64_t)GUEST_LEASE_MAX_S);
	}
	*out = (uint32_t)n;
	return true;
}

static bool parse_word(const char *word, char **rest, struct msg_guest_said *said)
{
	if (strcmp(word, "ready") == 0) {
		said->ready = true;
	} else if (strcmp(word, "busy") == 0) {
		said->use = GUEST_BUSY;
	} else if (strcmp(word, "idle") == 0) {
		said->use = GUEST_IDLE;
	} else if (strcmp(word, "lease") == 0) {
		said->has_lease = true;
		return parse_seconds(strtok_r(NULL, " \t\r", rest), &said->lease_s);
	} else {
		return false;
	}
	return true;
}

/* All of it, or nothing. */
static bool parse_line(char *line, struct msg_guest_said *said)
{
	struct msg_guest_said so_far = *said;
	char *rest = NULL;

	for (char *word = strtok_r(line, " \t\r", &rest); word; word = strtok_r(NULL, " \t\r", &rest)) {
		if (!parse_word(word, &rest, &so_far))
			return false;
	}
	*said = so_far;
	return true;
}

static void end_line(struct guest_words *w, struct msg_guest_said *said)
{
	w->line[w->n] = '\0';
	if (w->too_long || strlen(w->line) != w->n || !parse_line(w->line, said))
		said->garbled = true;
	*w = (struct guest_words){ .n = 0 };
}

void guest_words_read(struct guest_words *w, const void *bytes, size_t n, struct msg_guest_said *said)
{
	const char *at = bytes;

	for (size_t i = 0; i < n; i++) {
		if (at[i] == '\n')
			end_line(w, said);
		else if (w->n == GUEST_LINE_MAX)
			w->too_long = true;
		else
			w->line[w->n++] = at[i];
	}
}
