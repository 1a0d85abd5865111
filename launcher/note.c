#include "launcher/note.h"

const char note_none[] = "";

void note_set_v(const char **note, const char *fmt, va_list ap)
{
	char text[MSG_TEXT_MAX];

	vsnprintf(text, sizeof(text), fmt, ap); /* which may speak of what was there */
	if (*note == note_none)
		*note = malloc(MSG_TEXT_MAX);
	if (!*note)
		abort();
	memcpy((char *)*note, text, strlen(text) + 1);
}

void note_set(const char **note, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note_set_v(note, fmt, ap);
	va_end(ap);
}

void note_clear(const char **note)
{
	if (*note != note_none)
		*(char *)*note = '\0';
}

void note_free(const char **note)
{
	if (*note != note_none)
		free((char *)*note);
	*note = note_none;
}
