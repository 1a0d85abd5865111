/* The registry's database: opening, versions, errors.
 *
 * SQLite with a write-ahead log and synchronous=FULL: a commit is on the disk when it returns, and
 * whatever ends a process in the middle of one leaves the state before it.  There is one writer,
 * the launcher; other programs may read (sqlite3, backups).  One that holds a lock is not waited
 * for longer than REGISTRY_BUSY_MS, because everything else waits meanwhile.
 *
 * The version of the tables is the database's user_version.  steps[i] leads from version i to the
 * next one; 0 is an empty file.  A step that is in a release never changes.  All that are needed are
 * done in one transaction, so that a database is of one version or another, never between.
 *
 * Damage is looked for when it is opened (quick_check), so that it is told then and not by the
 * change that happens to meet it.
 */
#include <stdarg.h>
#include <sys/stat.h>

#include "config/registry_internal.h"

static const char *const steps[REGISTRY_VERSION] = {
	/* 1: objects and their history */
	"CREATE TABLE object (kind INTEGER NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,"
	" PRIMARY KEY (kind, name)) WITHOUT ROWID;"
	"CREATE TABLE revision (number INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, uid INTEGER NOT NULL,"
	" user TEXT NOT NULL, command TEXT NOT NULL);"
	"CREATE TABLE change (revision INTEGER NOT NULL, kind INTEGER NOT NULL, name TEXT NOT NULL,"
	" before TEXT, after TEXT, PRIMARY KEY (revision, kind, name)) WITHOUT ROWID;"
	"CREATE INDEX change_of ON change (name, revision);",
	/* 2: what was learned */
	"CREATE TABLE learned (name TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, wall_ms INTEGER NOT NULL,"
	" PRIMARY KEY (name, key)) WITHOUT ROWID;",
};

/* ---- errors ---- */

static const struct {
	int code, error;
	const char *text; /* behind the path */
} reasons[] = {
	{ SQLITE_BUSY, -EBUSY, "another program holds a lock on it: end that program, and try again" },
	{ SQLITE_LOCKED, -EBUSY, "another program holds a lock on it: end that program, and try again" },
	{ SQLITE_FULL, -ENOSPC, "there is no room on its disk: make some, and try again" },
	{ SQLITE_READONLY, -EROFS, "it cannot be written: its file system is read-only, or its file was replaced" },
	{ SQLITE_CORRUPT, -EUCLEAN, "it is damaged: put a copy in its place, or move it away to begin an empty one" },
	{ SQLITE_NOTADB, -EUCLEAN, "this is no database: put a copy in its place, or move it away to begin an empty one" },
	{ SQLITE_CANTOPEN, -EACCES, "it cannot be opened: is its directory there, and can it be written?" },
	{ SQLITE_NOMEM, -ENOMEM, "out of memory" },
};

int registry_explain(const struct registry *r, struct err *e)
{
	int code = sqlite3_errcode(r->db) & 0xff, os = sqlite3_system_errno(r->db);

	if (code == SQLITE_IOERR && os == ENOSPC)
		code = SQLITE_FULL;
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (reasons[i].code == code)
			return err_set(e, reasons[i].error, "the registry %s: %s", r->path, reasons[i].text);
	}
	return err_set(e, -EIO, "the registry %s: %s", r->path, sqlite3_errmsg(r->db));
}

/* ---- statements ---- */

static int bind(sqlite3_stmt *s, const char *types, va_list ap)
{
	int code = SQLITE_OK;

	for (int i = 1; *types && code == SQLITE_OK; types++, i++) {
		if (*types == 't')
			code = sqlite3_bind_text(s, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
		else
			code = sqlite3_bind_int64(s, i, (sqlite3_int64)va_arg(ap, uint64_t));
	}
	return code;
}

sqlite3_stmt *registry_ask(struct registry *r, struct err *e, const char *sql, const char *types, ...)
{
	sqlite3_stmt *s = NULL;
	va_list ap;
	int code = sqlite3_prepare_v2(r->db, sql, -1, &s, NULL);

	if (code == SQLITE_OK) {
		va_start(ap, types);
		code = bind(s, types, ap);
		va_end(ap);
	}
	if (code == SQLITE_OK)
		return s;
	registry_explain(r, e);
	sqlite3_finalize(s);
	return NULL;
}

int registry_step(struct registry *r, sqlite3_stmt *s, struct err *e)
{
	switch (sqlite3_step(s)) {
	case SQLITE_ROW: return 1;
	case SQLITE_DONE: return 0;
	default: return registry_explain(r, e);
	}
}

int registry_run(struct registry *r, struct err *e, const char *sql)
{
	if (sqlite3_exec(r->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return registry_explain(r, e);
	return 0;
}

static int ask_number(struct registry *r, const char *sql, uint64_t *out, struct err *e)
{
	cleanup_stmt sqlite3_stmt *s = registry_ask(r, e, sql, "");
	int n = s ? registry_step(r, s, e) : e->code;

	if (n > 0)
		*out = (uint64_t)sqlite3_column_int64(s, 0);
	return n < 0 ? n : 0;
}

/* ---- opening ---- */

int registry_migrate(struct registry *r, unsigned from, struct err *e)
{
	char pragma[96];
	int error = 0;

	for (unsigned v = from; v < REGISTRY_VERSION && error == 0; v++)
		error = registry_run(r, e, steps[v]);
	if (error < 0)
		return error;
	snprintf(pragma, sizeof(pragma), "PRAGMA application_id = %d; PRAGMA user_version = %d", REGISTRY_APPLICATION_ID,
		 REGISTRY_VERSION);
	return registry_run(r, e, pragma);
}

/* Within a transaction, so that nobody else does the same. */
static int make_current(struct registry *r, struct err *e)
{
	uint64_t version = 0, id = 0, tables = 0;
	int error = ask_number(r, "PRAGMA user_version", &version, e);

	if (error == 0)
		error = ask_number(r, "PRAGMA application_id", &id, e);
	if (error == 0)
		error = ask_number(r, "SELECT count(*) FROM sqlite_schema", &tables, e);
	if (error < 0)
		return error;
	if ((tables > 0 || version > 0) && id != REGISTRY_APPLICATION_ID)
		return err_set(e, -EUCLEAN, "the registry %s: this is a database of another program: move it away", r->path);
	if (version > REGISTRY_VERSION)
		return err_set(e, -EPROTONOSUPPORT,
			       "the registry %s is of version %u, which a newer jitsu has made; this one knows up to %d: "
			       "install that jitsu again", r->path, (unsigned)version, REGISTRY_VERSION);
	return version < REGISTRY_VERSION ? registry_migrate(r, (unsigned)version, e) : 0;
}

static int check(struct registry *r, struct err *e)
{
	cleanup_stmt sqlite3_stmt *s = registry_ask(r, e, "PRAGMA quick_check(1)", "");
	int n = s ? registry_step(r, s, e) : e->code;

	if (n < 0)
		return n;
	if (n > 0 && strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0)
		return 0;
	return err_set(e, -EUCLEAN, "the registry %s: it is damaged (%.200s): put a copy in its place, or move it away to "
		       "begin an empty one", r->path, n > 0 ? (const char *)sqlite3_column_text(s, 0) : "no answer");
}

static int prepare(struct registry *r, struct err *e)
{
	static const char settings[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
				       "PRAGMA cell_size_check = ON; PRAGMA cache_size = -1024;"
				       "PRAGMA journal_size_limit = 8388608";
	int error;

	sqlite3_busy_timeout(r->db, REGISTRY_BUSY_MS);
	error = registry_run(r, e, settings);
	if (error == 0)
		error = check(r, e);
	if (error == 0)
		error = registry_run(r, e, "BEGIN IMMEDIATE");
	if (error < 0)
		return error;
	error = make_current(r, e);
	if (error == 0)
		return registry_run(r, e, "COMMIT");
	sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
	return error;
}

int registry_open(const char *path, struct registry **out, struct err *e)
{
	struct registry *r = calloc(1, sizeof(*r));
	mode_t mask = umask(077);
	int error;

	if (r)
		r->path = strdup(path);
	if (!r || !r->path)
		error = err_set(e, -ENOMEM, "out of memory");
	else if (sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
		error = registry_explain(r, e);
	else
		error = prepare(r, e);
	umask(mask);
	if (error < 0) {
		registry_free(r);
		return error;
	}
	*out = r;
	return 0;
}

void registry_shrink(struct registry *r) { sqlite3_db_release_memory(r->db); }

void registry_free(struct registry *r)
{
	if (!r)
		return;
	sqlite3_close(r->db);
	free(r->path);
	free(r);
}
