/* Between the registry's files: the database and the way to ask it. */
#ifndef CONFIG_REGISTRY_INTERNAL_H
#define CONFIG_REGISTRY_INTERNAL_H

#include <sqlite3.h>

#include "config/registry.h"

enum { REGISTRY_APPLICATION_ID = 0x6a697473, REGISTRY_VERSION = 2 };

struct registry {
	sqlite3 *db;
	char *path;
};

static inline void registry_finalize(sqlite3_stmt **s) { sqlite3_finalize(*s); }

#define cleanup_stmt __attribute__((cleanup(registry_finalize)))

/* What the database said last, as a sentence; its -errno. */
int registry_explain(const struct registry *r, struct err *e);

/* A statement with its values: for each letter of `types` one argument, 't' a const char * (NULL is
 * NULL; it must live until the statement is finalized), 'i' a uint64_t.  NULL with *e. */
sqlite3_stmt *registry_ask(struct registry *r, struct err *e, const char *sql, const char *types, ...);

/* The next row: 1, or 0 behind the last one, or -errno with *e. */
int registry_step(struct registry *r, sqlite3_stmt *s, struct err *e);

/* One that has no rows: 0 or -errno. */
int registry_run(struct registry *r, struct err *e, const char *sql);

/* Brings the database to REGISTRY_VERSION, inside a transaction of the caller's. */
int registry_migrate(struct registry *r, unsigned from, struct err *e);

#endif
