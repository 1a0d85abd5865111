/* The consoles of domains on Xen: xenconsoled has a pseudo-terminal for each, and we are who reads those of the
 * domains whose console is to be kept.  Loop thread.
 */
#ifndef BACKENDS_LIBXL_CONSOLE_H
#define BACKENDS_LIBXL_CONSOLE_H

#include "base/err.h"

struct event_base;
struct xl_consoles;

/* Ring files in DIR, as console.h says.  NULL with *e. */
struct xl_consoles *xl_consoles_new(struct event_base *base, const char *dir, struct err *e);
void xl_consoles_free(struct xl_consoles *c);

/* The console of this domain is to be kept, now and each time it runs. */
void xl_consoles_keep(struct xl_consoles *c, const char *name);

/* There will be no such domain any more: its file goes. */
void xl_consoles_forget(struct xl_consoles *c, const char *name);

/* A domain of this name has its console there. */
void xl_consoles_found(struct xl_consoles *c, const char *name, const char *tty);

#endif
