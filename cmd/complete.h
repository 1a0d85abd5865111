/* What a shell may offer at the end of a jitsuctl command line (completions/ has bash's and zsh's part).
 *
 * What may follow is read from the usage that people are shown: a command's `args` is a list of words, of which
 *
 *     NAME, ZONE, REVISION   are asked for at jitsud
 *     up|down                are themselves
 *     FILE                   is the shell's to know
 *     COMMAND, ACTION        are in the tables
 *     KEY=VALUE, --KEY       are the options of a service
 *
 * and others cannot be guessed.  "..." behind one: it may stand there again.
 */
#ifndef CMD_COMPLETE_H
#define CMD_COMPLETE_H

#include "base/buf.h"

struct complete_command {
	const char *name, *args, *usage;
	bool changes; /* it takes --dry-run */
};

struct complete_out;

struct complete_source {
	/* The commands one by one; false behind the last. */
	bool (*command)(size_t i, struct complete_command *out);
	/* Adds what `field` is in each row of the answer to `verb`: complete_add().  Nothing where jitsud
	 * does not answer. */
	void (*rows)(void *arg, const char *verb, const char *field, struct complete_out *out);
	void *arg;
};

/* The lines that are found: those that begin as the last word does. */
struct complete_out {
	struct buf *text;
	const char *begins;
};
void complete_add(struct complete_out *out, const char *word, const char *description);

/* `words` are those after "jitsuctl", the last one, which is to be completed, perhaps "".  Adds a line
 * "WORD<tab>DESCRIPTION" for each that it may become; ":files" alone: the name of a file. */
void complete(const struct complete_source *source, int n, char **words, struct buf *text);

#endif
