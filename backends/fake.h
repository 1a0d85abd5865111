/* A hypervisor in memory, for unit tests: the same functions, no guests.  Beyond that it can be
 * told to misbehave.  Safe from any thread. */
#ifndef BACKENDS_FAKE_H
#define BACKENDS_FAKE_H

#include "backends/backend.h"

struct event_base;
struct fake;

extern const struct backend_ops fake_ops; /* hv: struct fake */

struct fake *fake_new(struct event_base *base);
void fake_set_backend(struct fake *f, struct backend *b); /* where events go */
void fake_free(struct fake *f);

/* A domain that is defined, off, with one NIC on `bridge`. */
int fake_define(struct fake *f, const char *name, const char *uuid, const char *bridge);

/* The guest dies by itself.  -ENOENT when it does not run. */
int fake_kill(struct fake *f, const char *name);

/* Opening fails with this sentence; NULL: works again. */
void fake_refuse(struct fake *f, const char *why);

/* Calls for this domain do not return until fake_release(); "" also holds up warm(), and FAKE_OPEN open(). */
#define FAKE_OPEN "open()"
void fake_hang(struct fake *f, const char *name);
void fake_release(struct fake *f);

/* Each call takes that long, and how many ran at once at most. */
void fake_set_delay(struct fake *f, unsigned ms);
unsigned fake_most_at_once(struct fake *f);

#endif
