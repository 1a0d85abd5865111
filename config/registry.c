/* Objects and their history.  A commit is one transaction: each object's text before it is read
 * inside it, so that what the history says is what was there. */
#include "config/registry.h"

#include <assert.h>

#include "config/registry_internal.h"

static const char *const kind_names[] = { [REGISTRY_SERVICE] = "service", [REGISTRY_ORDER] = "order" };
static_assert(ARRAY_SIZE(kind_names) == REGISTRY_KIND_N, "a kind has no name");

const char *registry_kind_name(unsigned kind) { return kind < REGISTRY_KIND_N ? kind_names[kind] : "?"; }

static const char *text_of(sqlite3_stmt *s, int column) { return (const char *)sqlite3_column_text(s, column); }

/* ---- reading ---- */

int registry_newest(struct registry *r, uint64_t *number, struct err *e)
{
	cleanup_stmt sqlite3_stmt *s = registry_ask(r, e, "SELECT ifnull(max(number), 0) FROM revision", "");
	int n = s ? registry_step(r, s, e) : e->code;

	if (n > 0)
		*number = (uint64_t)sqlite3_column_int64(s, 0);
	return n < 0 ? n : 0;
}

int registry_get(struct registry *r, enum registry_kind kind, const char *name, struct buf *body, struct err *e)
{
	cleanup_stmt sqlite3_stmt *s = registry_ask(r, e, "SELECT body FROM object WHERE kind = ? AND name = ?", "it",
						    (uint64_t)kind, name);
	int n = s ? registry_step(r, s, e) : e->code;

	if (n > 0)
		buf_adds(body, text_of(s, 0));
	if (n == 0)
		return err_set(e, -ENOENT, "the registry has no %s \"%s\"", registry_kind_name(kind), name);
	return n < 0 ? n : 0;
}

int registry_each(struct registry *r, enum registry_kind kind, const char *after, registry_object_fn *fn, void *arg,
		  struct err *e)
{
	cleanup_stmt sqlite3_stmt *s = registry_ask(
		r, e, "SELECT name, body FROM object WHERE kind = ? AND name > ? ORDER BY name", "it", (uint64_t)kind, after);
	int n = s ? 1 : e->code;

	while (n > 0 && (n = registry_step(r, s, e)) > 0) {
		if (!fn(arg, text_of(s, 0), text_of(s, 1)))
			return 0;
	}
	return n;
}

int registry_history(struct registry *r, const char *name, uint64_t before, unsigned n, registry_revision_fn *fn,
		     void *arg, struct err *e)
{
	static const char all[] = "SELECT number, wall_ms, uid, user, command FROM revision"
				  " WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
	static const char one[] = "SELECT number, wall_ms, uid, user, command FROM revision"
				  " WHERE number IN (SELECT revision FROM change WHERE name = ?3 AND revision < ?1)"
				  " ORDER BY number DESC LIMIT ?2";
	uint64_t below = before ? before : INT64_MAX;
	cleanup_stmt sqlite3_stmt *s = name ? registry_ask(r, e, one, "iit", below, (uint64_t)n, name)
					    : registry_ask(r, e, all, "ii", below, (uint64_t)n);
	int got = s ? 1 : e->code;

	while (got > 0 && (got = registry_step(r, s, e)) > 0) {
		struct registry_revision rev = {
			.number = (uint64_t)sqlite3_column_int64(s, 0),
			.by = { .wall_ms = (uint64_t)sqlite3_column_int64(s, 1),
				.uid = (uint32_t)sqlite3_column_int64(s, 2),
				.user = text_of(s, 3),
				.command = text_of(s, 4) },
		};

		if (!fn(arg, &rev))
			return 0;
	}
	return got;
}

/* Shows the rows of kind, name, before, after; `n` is what the first step has said.  0 or -errno. */
static int each_change(struct registry *r, sqlite3_stmt *s, int n, registry_change_fn *fn, void *arg, struct err *e)
{
	for (; n > 0; n = registry_step(r, s, e)) {
		struct registry_change c = {
			.kind = (enum registry_kind)sqlite3_column_int(s, 0),
			.name = text_of(s, 1),
			.before = text_of(s, 2),
			.after = text_of(s, 3),
		};

		if (!fn(arg, &c))
			return 0;
	}
	return n;
}

int registry_changes(struct registry *r, uint64_t number, registry_change_fn *fn, void *arg, struct err *e)
{
	cleanup_stmt sqlite3_stmt *s = registry_ask(
		r, e, "SELECT kind, name, before, after FROM change WHERE revision = ? ORDER BY kind, name", "i", number);
	int n = s ? registry_step(r, s, e) : e->code;

	if (n == 0)
		return err_set(e, -ENOENT, "there is no revision %llu: \"jitsuctl history\" lists them",
			       (unsigned long long)number);
	return each_change(r, s, n, fn, arg, e);
}

/* The oldest revision that is remembered, and the newest. */
static int ask_range(struct registry *r, uint64_t *oldest, uint64_t *youngest, struct err *e)
{
	cleanup_stmt sqlite3_stmt *s = registry_ask(
		r, e, "SELECT ifnull(min(number), 1), ifnull(max(number), 0) FROM revision", "");
	int n = s ? registry_step(r, s, e) : e->code;

	if (n <= 0)
		return n;
	*oldest = (uint64_t)sqlite3_column_int64(s, 0);
	*youngest = (uint64_t)sqlite3_column_int64(s, 1);
	return 0;
}

int registry_since(struct registry *r, uint64_t number, registry_change_fn *fn, void *arg, struct err *e)
{
	static const char sql[] = "SELECT c.kind, c.name, o.body, c.before FROM change c"
				  " LEFT JOIN object o ON o.kind = c.kind AND o.name = c.name"
				  " WHERE c.revision = (SELECT min(f.revision) FROM change f WHERE f.name = c.name"
				  " AND f.kind = c.kind AND f.revision > ?1) ORDER BY c.kind, c.name";
	uint64_t oldest = 1, youngest = 0;
	int n = ask_range(r, &oldest, &youngest, e);

	if (n < 0)
		return n;
	if (number > youngest || number + 1 < oldest)
		return err_set(e, -ENOENT, "there is no revision %llu to go back to: they go from %llu to %llu",
			       (unsigned long long)number, (unsigned long long)oldest - 1, (unsigned long long)youngest);
	cleanup_stmt sqlite3_stmt *s = registry_ask(r, e, sql, "i", number);

	return each_change(r, s, s ? registry_step(r, s, e) : e->code, fn, arg, e);
}

/* ---- changing ---- */

/* A statement without rows. */
static int finish(struct registry *r, sqlite3_stmt *s, struct err *e)
{
	int n = s ? registry_step(r, s, e) : e->code;

	sqlite3_finalize(s);
	return n;
}

static int begin(struct registry *r, struct err *e) { return registry_run(r, e, "BEGIN IMMEDIATE"); }

/* Ends what was begun, one way or the other; `error` is how it went until now. */
static int end(struct registry *r, int error, struct err *e)
{
	if (error == 0)
		error = registry_run(r, e, "COMMIT");
	if (error < 0 && !sqlite3_get_autocommit(r->db))
		sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
	return error;
}

static int put_object(struct registry *r, const struct registry_change *c, struct err *e)
{
	if (!c->after)
		return finish(r, registry_ask(r, e, "DELETE FROM object WHERE kind = ? AND name = ?", "it",
					      (uint64_t)c->kind, c->name), e);
	return finish(r, registry_ask(r, e, "INSERT OR REPLACE INTO object (kind, name, body) VALUES (?, ?, ?)", "itt",
				      (uint64_t)c->kind, c->name, c->after), e);
}

static int put_change(struct registry *r, uint64_t number, const struct registry_change *c, struct err *e)
{
	cleanup_buf struct buf before = { 0 };
	struct err none;
	int error = registry_get(r, c->kind, c->name, &before, &none);

	if (error == -ENOENT && c->after)
		error = 0;
	if (error < 0) {
		*e = none;
		return error;
	}
	if (before.error)
		return err_set(e, before.error, "out of memory");
	error = finish(r, registry_ask(r, e, "INSERT INTO change (revision, kind, name, before, after)"
				       " VALUES (?, ?, ?, ?, ?)", "iittt", number, (uint64_t)c->kind, c->name,
				       before.text, c->after), e);
	return error < 0 ? error : put_object(r, c, e);
}

static int put_revision(struct registry *r, uint64_t number, const struct registry_author *by, struct err *e)
{
	return finish(r, registry_ask(r, e, "INSERT INTO revision (number, wall_ms, uid, user, command)"
				      " VALUES (?, ?, ?, ?, ?)", "iiitt", number, by->wall_ms, (uint64_t)by->uid,
				      by->user, by->command), e);
}

static int forget_old(struct registry *r, uint64_t newest, struct err *e)
{
	uint64_t old = newest > REGISTRY_REVISIONS_MAX ? newest - REGISTRY_REVISIONS_MAX : 0;
	int error;

	if (!old)
		return 0;
	error = finish(r, registry_ask(r, e, "DELETE FROM change WHERE revision <= ?", "i", old), e);
	if (error == 0)
		error = finish(r, registry_ask(r, e, "DELETE FROM revision WHERE number <= ?", "i", old), e);
	return error;
}

static int put_all(struct registry *r, const struct registry_change *changes, size_t n,
		   const struct registry_author *by, uint64_t *number, struct err *e)
{
	uint64_t newest = 0;
	int error = registry_newest(r, &newest, e);

	if (error == 0)
		error = put_revision(r, newest + 1, by, e);
	for (size_t i = 0; i < n && error == 0; i++)
		error = put_change(r, newest + 1, &changes[i], e);
	if (error == 0)
		error = forget_old(r, newest + 1, e);
	if (error == 0)
		*number = newest + 1;
	return error;
}

int registry_commit(struct registry *r, const struct registry_change *changes, size_t n,
		    const struct registry_author *by, uint64_t *number, struct err *e)
{
	uint64_t fresh = 0;
	int error = begin(r, e);

	if (error < 0)
		return error;
	error = end(r, put_all(r, changes, n, by, &fresh, e), e);
	if (error == 0)
		*number = fresh;
	return error;
}

/* ---- what was learned ---- */

static int put_fact(struct registry *r, const struct registry_fact *f, struct err *e)
{
	if (!f->key)
		return finish(r, registry_ask(r, e, "DELETE FROM learned WHERE name = ?", "t", f->name), e);
	if (!f->value)
		return finish(r, registry_ask(r, e, "DELETE FROM learned WHERE name = ? AND key = ?", "tt", f->name, f->key), e);
	return finish(r, registry_ask(r, e, "INSERT OR REPLACE INTO learned (name, key, value, wall_ms)"
				      " VALUES (?, ?, ?, ?)", "ttti", f->name, f->key, f->value, f->wall_ms), e);
}

int registry_learn(struct registry *r, const struct registry_fact *facts, size_t n, struct err *e)
{
	int error = begin(r, e);

	if (error < 0)
		return error;
	for (size_t i = 0; i < n && error == 0; i++)
		error = put_fact(r, &facts[i], e);
	return end(r, error, e);
}

int registry_fact(struct registry *r, const char *name, const char *key, struct buf *out, struct err *e)
{
	cleanup_stmt sqlite3_stmt *s = registry_ask(r, e, "SELECT value FROM learned WHERE name = ? AND key = ?", "tt",
						    name, key);
	int n = s ? registry_step(r, s, e) : e->code;

	if (n > 0)
		buf_adds(out, text_of(s, 0));
	if (n == 0)
		return err_set(e, -ENOENT, "of service \"%s\" no \"%s\" is known", name, key);
	return n < 0 ? n : 0;
}

int registry_learned(struct registry *r, registry_learned_fn *fn, void *arg, struct err *e)
{
	cleanup_stmt sqlite3_stmt *s = registry_ask(
		r, e, "SELECT name, key, value, wall_ms FROM learned ORDER BY name, key", "");
	int n = s ? 1 : e->code;

	while (n > 0 && (n = registry_step(r, s, e)) > 0) {
		struct registry_fact f = { text_of(s, 0), text_of(s, 1), text_of(s, 2), (uint64_t)sqlite3_column_int64(s, 3) };

		if (!fn(arg, &f))
			return 0;
	}
	return n;
}
