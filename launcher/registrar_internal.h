/* What registrar.c, registrar_facts.c and registrar_edit.c share, and nobody else uses. */
#ifndef LAUNCHER_REGISTRAR_INTERNAL_H
#define LAUNCHER_REGISTRAR_INTERNAL_H

#include "launcher/registrar.h"

enum { REGISTRAR_MANY = 64 }; /* services: one snapshot is less than a message for each */

struct registrar {
	struct launcher *l;
	struct registry *registry; /* NULL: not to be had */
	struct claims *claims; /* of what is in force */
	struct event *tell, *learn, *sweep;
	bool trim; /* much memory was freed */
	char why[MSG_TEXT_MAX]; /* it could not be opened */
};

/* NULL stays NULL. */
static inline char *registrar_copy(const char *text)
{
	char *s = text ? strdup(text) : NULL;

	if (text && !s)
		abort();
	return s;
}

/* ---- registrar.c ---- */

/* As registrar_tell(), when nobody waits for it. */
void registrar_tell_calmly(struct launcher *l);

/* ---- registrar_facts.c ---- */

/* What services' facts were when it was last written.  0, or -errno with *e. */
int registrar_recall(struct launcher *l, struct err *e);
/* Timers: what was learned is written; what is remembered of others is forgotten.  `arg` is the launcher. */
void registrar_on_learn(evutil_socket_t fd, short what, void *arg);
void registrar_on_sweep(evutil_socket_t fd, short what, void *arg);

#endif
