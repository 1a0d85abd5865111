/* The registry: what operators told jitsud by command, kept so that nothing acknowledged is lost.
 *
 * It keeps objects, JSON texts with a name, of a few kinds; and every change of them, as numbered
 * revisions: who, when, by which command, and what each object was before and after.  What the
 * texts mean is not its business.  A service's name is its id.
 *
 * Beside these it keeps what was learned by running services (addresses, boot times, counters),
 * which belongs to no revision.
 *
 * This header is an interface: nobody but registry*.c knows where the truth is stored (today an
 * SQLite database).  All calls block: readers hardly, a commit until it is on the disk.
 *
 * Errors: every function that takes *e returns 0 or -errno with a sentence:
 *     -EBUSY      another program holds the database
 *     -ENOSPC     no room
 *     -EROFS      it cannot be written
 *     -EUCLEAN    it is damaged, or is something else
 *     -EPROTONOSUPPORT  a newer version of jitsu wrote it
 *     -EIO ...    whatever else the disk says
 * After an error nothing has changed that anybody can see; whoever likes may try again.
 */
#ifndef CONFIG_REGISTRY_H
#define CONFIG_REGISTRY_H

#include "base/buf.h"
#include "base/err.h"

struct registry;

enum {
	REGISTRY_BUSY_MS = 250, /* how long another program's lock is waited for */
	REGISTRY_REVISIONS_MAX = 100000, /* older ones are forgotten */
};

enum registry_kind {
	REGISTRY_SERVICE, /* a service's record, as in `services` of the configuration file */
	REGISTRY_ORDER, /* what an operator ordered of a service: stay up, stay down, until when */
	REGISTRY_KIND_N
};

struct registry_author {
	uint32_t uid;
	const char *user; /* its name then; "" when it has none */
	const char *command;
	uint64_t wall_ms; /* since 1970 */
};

struct registry_revision {
	uint64_t number; /* from 1, without gaps */
	struct registry_author by;
};

/* One object's change; also what is to be committed, and then `before` does not count. */
struct registry_change {
	enum registry_kind kind;
	const char *name;
	const char *before, *after; /* NULL: it is not there */
};

struct registry_fact {
	const char *name, *key, *value;
	uint64_t wall_ms; /* when it was so */
};

/* Opens, or makes, the database; brings one of an older version up to date.  Its directory must
 * exist. */
int registry_open(const char *path, struct registry **out, struct err *e);
void registry_free(struct registry *r); /* NULL is fine */

/* All or nothing, and on the disk when it returns 0.  Several changes of one object are a mistake
 * of the caller's.  *number: the new revision's.  Removing what is not there is -ENOENT. */
int registry_commit(struct registry *r, const struct registry_change *changes, size_t n,
		    const struct registry_author *by, uint64_t *number, struct err *e);

/* The newest revision's number; 0: none yet. */
int registry_newest(struct registry *r, uint64_t *number, struct err *e);

/* Adds the object's text to `body`.  -ENOENT: it is not there. */
int registry_get(struct registry *r, enum registry_kind kind, const char *name, struct buf *body, struct err *e);

/* What callbacks are given dies on return from them.  They return false to hear no more, and do
 * not change the registry. */
typedef bool registry_object_fn(void *arg, const char *name, const char *body);
typedef bool registry_revision_fn(void *arg, const struct registry_revision *rev);
typedef bool registry_change_fn(void *arg, const struct registry_change *c);
typedef bool registry_learned_fn(void *arg, const struct registry_fact *fact);

/* Each object of the kind whose name comes behind `after` ("": all), in the order of their names. */
int registry_each(struct registry *r, enum registry_kind kind, const char *after, registry_object_fn *fn, void *arg,
		  struct err *e);

/* The newest `n` revisions before number `before` (0: of all), that changed an object with this name
 * (NULL: any), the newest first. */
int registry_history(struct registry *r, const char *name, uint64_t before, unsigned n, registry_revision_fn *fn,
		     void *arg, struct err *e);

/* What the revision changed, by kind and name.  -ENOENT: there is none such, or it is forgotten. */
int registry_changes(struct registry *r, uint64_t number, registry_change_fn *fn, void *arg, struct err *e);

/* What later revisions than `number` changed, taken together: of each object `before`, its text now, and
 * `after`, its text then.  -ENOENT: so far back nothing is remembered, or the number is in the future. */
int registry_since(struct registry *r, uint64_t number, registry_change_fn *fn, void *arg, struct err *e);

/* What came of services: all of it, or nothing.  value NULL: forget it; key NULL: forget all of that service. */
int registry_learn(struct registry *r, const struct registry_fact *facts, size_t n, struct err *e);
/* Adds one fact's value to `out`.  -ENOENT: there is none. */
int registry_fact(struct registry *r, const char *name, const char *key, struct buf *out, struct err *e);
/* Each fact, by name and key. */
int registry_learned(struct registry *r, registry_learned_fn *fn, void *arg, struct err *e);

/* What it keeps in memory to be quick is given back, for now. */
void registry_shrink(struct registry *r);

const char *registry_kind_name(unsigned kind); /* "service", "order" */

#endif
