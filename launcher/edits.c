/* Operators' commands about the registry: what each of them changes or shows.
 *
 * Each that changes becomes one `struct edit`, and so one revision, or nothing.  An import comes in
 * parts, because a message is bounded; they are kept, up to IMPORT_MAX bytes, until the last one makes
 * them one edit.  There is one import at a time; one whose next part does not come within
 * IMPORT_WAIT_MS makes room for another.
 */
#include <assert.h>
#include <inttypes.h>

#include "base/json.h"
#include "config/value.h"
#include "launcher/registrar.h"
#include "launcher/rows.h"

enum { IMPORT_MAX = 32 * 1024 * 1024, IMPORT_WAIT_MS = 5000, EXPORT_PAGE_MAX = 512 * 1024, SHOWN_MAX = 400,
       TOLD_MAX = 32, REMARKS_MAX = 16 };

struct import {
	uint32_t client;
	uint64_t last_ms;
	size_t bytes, n, room;
	char **records;
};

/* Text that control has written, or the registry: an object, or our bug. */
struct json *edits_parse(const char *text, struct err *e)
{
	struct json_place at;
	struct err why;
	struct json *doc = json_parse(text, strlen(text), &at, &why);

	if (doc && json_type(json_root(doc)) == JSON_OBJECT)
		return doc;
	err_set(e, -EINVAL, "%.300s", doc ? "expected an object" : why.text);
	json_free(doc);
	return NULL;
}

/* {"name": NAME} */
static struct json *name_only(const char *name, struct err *e)
{
	cleanup_buf struct buf text = { 0 };
	struct json_writer w = { .out = &text };

	json_open(&w, NULL, '{');
	json_put_string(&w, "name", name);
	json_close(&w, '}');
	if (text.error)
		err_set(e, text.error, "out of memory");
	return text.error ? NULL : edits_parse(text.text, e);
}

void edits_patch(const struct json *doc, const struct json_node *change, struct buf *out)
{
	struct json_writer w = { .out = out };

	json_put_patched(&w, NULL, json_root(doc), change);
}

/* ---- ending ---- */

static int refuse(struct launcher *l, const struct msg_ctl_request *ask, const struct err *e)
{
	operators_end(l, ask->id, e->code, e->text);
	return e->code;
}

/* Then dns must hear of it. */
static bool changes_services(const struct edit *ed)
{
	for (size_t i = 0; i < ed->n; i++) {
		if (ed->v[i].kind == REGISTRY_SERVICE)
			return true;
	}
	return false;
}

static void tell_changes(const struct edit *ed, uint32_t id);

static void put_remarks(const struct edit *ed, struct msg_ctl_row *row)
{
	for (size_t i = 0, n = 0; i < ed->n && n < REMARKS_MAX; i++) {
		if (!ed->v[i].remark)
			continue;
		row_list_str(row, "remarks", "service \"%s\": %s", ed->v[i].name, ed->v[i].remark);
		n++;
	}
}

/* Does it, and answers; `ed` is empty afterwards. */
static void finish(struct launcher *l, const struct msg_ctl_request *ask, struct edit *ed)
{
	struct msg_ctl_row row = { .id = ask->id };
	cleanup_buf struct buf mistakes = { 0 };
	uint64_t number = 0;
	int error = registrar_edit(ed, &number, &mistakes);

	if (error < 0) {
		operators_end_with(l, ask->id, error, &mistakes);
	} else {
		if (ask->dry_run)
			tell_changes(ed, ask->id);
		row_num(&row, "revision", number);
		row_num(&row, "changes", ed->n);
		row_bool(&row, "dry_run", ask->dry_run);
		put_remarks(ed, &row);
		operators_row(l, &row);
		if (number && changes_services(ed))
			operators_edit_made(l, ask, ed->waits, ed->told);
		else
			operators_end(l, ask->id, 0, "");
	}
	edit_clear(ed);
}

static struct edit edit_of(struct launcher *l, const struct msg_ctl_request *ask, const char *command)
{
	return (struct edit){ .l = l, .command = command, .uid = ask->uid, .dry_run = ask->dry_run };
}

/* ---- one service ---- */

/* Where only what is new is taken. */
static int check_new(struct launcher *l, const char *name, struct err *e)
{
	cleanup_buf struct buf body = { 0 };
	struct err none;

	if (service_by_name(l, name) || registrar_record(l, name, &body, &none) == 0)
		return err_set(e, -EEXIST, "name: there is a service \"%.60s\" already: \"jitsuctl set\" changes it", name);
	return 0;
}

static void do_add(struct launcher *l, const struct msg_ctl_request *ask)
{
	cleanup_buf struct buf body = { 0 }, command = { 0 }, known = { 0 };
	struct edit ed = edit_of(l, ask, NULL);
	struct err e;
	cleanup_json struct json *doc = edits_parse(ask->record, &e), *name = NULL;
	const struct json_node *v = doc ? json_get(json_root(doc), "name") : NULL;

	if (!doc) {
		refuse(l, ask, &e);
		return;
	}
	buf_adds(&known, ask->service);
	if (!ask->service[0]) {
		buf_clear(&known);
		buf_adds(&known, v && json_type(v) == JSON_STRING ? json_string(v) : "");
	} else { /* it counts more than the record's */
		name = name_only(ask->service, &e);
		if (!name) {
			refuse(l, ask, &e);
			return;
		}
	}
	if (check_new(l, known.text, &e) < 0) {
		refuse(l, ask, &e);
		return;
	}
	edits_patch(doc, name ? json_root(name) : json_root(doc), &body);
	buf_addf(&command, "%s %s", ctl_verb_name(ask->verb), known.text);
	ed.command = command.text;
	edit_add(&ed, REGISTRY_SERVICE, known.text, body.text);
	finish(l, ask, &ed);
}

/* What was said to jitsuctl, which sends both as this. */
static void set_command(const struct msg_ctl_request *ask, struct buf *out)
{
	if (strcmp(ask->record, "{\"enabled\":false}") == 0)
		buf_addf(out, "disable %s", ask->service);
	else if (strcmp(ask->record, "{\"enabled\":null}") == 0)
		buf_addf(out, "enable %s", ask->service);
	else
		buf_addf(out, "set %s %s", ask->service, ask->record);
}

static void do_set(struct launcher *l, const struct msg_ctl_request *ask)
{
	cleanup_buf struct buf was = { 0 }, body = { 0 }, command = { 0 };
	struct edit ed = edit_of(l, ask, NULL);
	struct err e;
	cleanup_json struct json *change = edits_parse(ask->record, &e), *doc = NULL;

	if (!change || registrar_record(l, ask->service, &was, &e) < 0) {
		refuse(l, ask, &e);
		return;
	}
	if (json_get(json_root(change), "name")) {
		err_set(&e, -EINVAL, "name: it is changed by \"jitsuctl rename %s NEW\"", ask->service);
		refuse(l, ask, &e);
		return;
	}
	doc = edits_parse(was.text, &e);
	if (!doc) {
		refuse(l, ask, &e);
		return;
	}
	edits_patch(doc, json_root(change), &body);
	set_command(ask, &command);
	ed.command = command.text;
	edit_add(&ed, REGISTRY_SERVICE, ask->service, body.text);
	finish(l, ask, &ed);
}

/* Its order, if there is one, goes with it, or to `to`. */
static void move_order(struct edit *ed, const char *name, const char *to)
{
	cleanup_buf struct buf order = { 0 };
	struct err e;
	struct registry *reg = registrar_registry(ed->l, &e);

	if (!reg || registry_get(reg, REGISTRY_ORDER, name, &order, &e) < 0)
		return;
	edit_add(ed, REGISTRY_ORDER, name, NULL);
	if (to)
		edit_add(ed, REGISTRY_ORDER, to, order.text);
}

static void do_remove(struct launcher *l, const struct msg_ctl_request *ask)
{
	cleanup_buf struct buf was = { 0 }, command = { 0 };
	struct edit ed = edit_of(l, ask, NULL);
	struct err e;

	if (registrar_record(l, ask->service, &was, &e) < 0) {
		refuse(l, ask, &e);
		return;
	}
	buf_addf(&command, "remove %s", ask->service);
	ed.command = command.text;
	edit_add(&ed, REGISTRY_SERVICE, ask->service, NULL);
	move_order(&ed, ask->service, NULL);
	finish(l, ask, &ed);
}

/* A VM has its service's name, and so its UUID and MACs: under another name it would be another one. */
static int may_rename(struct launcher *l, const struct msg_ctl_request *ask, struct err *e)
{
	const struct service *s = service_by_name(l, ask->service);

	if (!text_ok(&text_name, ask->to))
		return err_set(e, -EINVAL, "\"%s\": expected %s", ask->to, text_name.expected);
	if (service_by_name_any(l, ask->to))
		return err_set(e, -EEXIST, "there is a service \"%s\" already: take another name", ask->to);
	if (s && (state_counts(s->state) || s->stop_under_way))
		return err_set(e, -EBUSY, "its VM is there (%s): \"jitsuctl stop %s\" first", state_name(s->state),
			       ask->service);
	return 0;
}

static void do_rename(struct launcher *l, const struct msg_ctl_request *ask)
{
	cleanup_buf struct buf was = { 0 }, body = { 0 }, command = { 0 };
	struct edit ed = edit_of(l, ask, NULL);
	cleanup_json struct json *doc = NULL, *name = NULL;
	struct err e;

	if (registrar_record(l, ask->service, &was, &e) < 0 || may_rename(l, ask, &e) < 0) {
		refuse(l, ask, &e);
		return;
	}
	doc = edits_parse(was.text, &e);
	name = doc ? name_only(ask->to, &e) : NULL;
	if (!name) {
		refuse(l, ask, &e);
		return;
	}
	edits_patch(doc, json_root(name), &body);
	buf_addf(&command, "rename %s %s", ask->service, ask->to);
	ed.command = command.text;
	edit_rename(&ed, ask->service, ask->to, body.text);
	move_order(&ed, ask->service, ask->to);
	finish(l, ask, &ed);
}

/* ---- orders ---- */

static int order_of(const char *to, struct buf *body, struct err *e)
{
	uint64_t ms;

	if (strcmp(to, "none") == 0)
		return 0;
	if (strcmp(to, "up") == 0 || strcmp(to, "down") == 0) {
		orders_print(to[0] == 'u' ? ORDER_UP : ORDER_DOWN, 0, body);
		return 0;
	}
	if (duration_parse(to, &ms) < 0 || ms == 0 || ms > 366ull * 24 * 3600 * 1000)
		return err_set(e, -EINVAL, "\"%s\": expected \"up\", \"down\", or a time of 1ms to 366d such as \"2h\"", to);
	orders_print(ORDER_UP, clock_wall_ms() + ms, body);
	return 0;
}

/* Likewise. */
static void pin_command(const struct msg_ctl_request *ask, struct buf *out)
{
	if (strcmp(ask->to, "none") == 0)
		buf_addf(out, "release %s", ask->service);
	else
		buf_addf(out, "%s %s %s", strcmp(ask->to, "up") == 0 || strcmp(ask->to, "down") == 0 ? "pin" : "lease",
			 ask->service, ask->to);
}

static void do_pin(struct launcher *l, const struct msg_ctl_request *ask)
{
	cleanup_buf struct buf body = { 0 }, command = { 0 };
	struct edit ed = edit_of(l, ask, NULL);
	const struct service *s = service_by_name(l, ask->service);
	struct err e;

	if (!s) {
		err_set(&e, -ENOENT, "there is no service \"%s\"; \"jitsuctl list\" shows them", ask->service);
		refuse(l, ask, &e);
		return;
	}
	if (conf_is_template(s->conf) || s->ref->instance_of) {
		err_set(&e, -EINVAL, "\"%s\" is %s", ask->service,
			s->ref->instance_of ? "an instance, which comes and goes with its clients: \"jitsuctl add\" makes a service"
					    : "a template, which has no VM");
		refuse(l, ask, &e);
		return;
	}
	if (order_of(ask->to, &body, &e) < 0) {
		refuse(l, ask, &e);
		return;
	}
	pin_command(ask, &command);
	ed.command = command.text;
	edit_add(&ed, REGISTRY_ORDER, ask->service, body.text);
	finish(l, ask, &ed);
}

/* ---- history ---- */

struct rows {
	struct launcher *l;
	struct registry *reg;
	uint32_t id;
	uint64_t revision;
};

static bool add_changed(void *arg, const struct registry_change *c)
{
	struct msg_ctl_row *row = arg;

	row_list_str(row, "changed", "%s", c->name);
	return row->n_fields < 32; /* an import may have changed thousands */
}

static bool send_revision(void *arg, const struct registry_revision *rev)
{
	struct rows *rows = arg;
	struct msg_ctl_row row = { .id = rows->id };
	struct err e;

	row_num(&row, "revision", rev->number);
	row_num(&row, "wall_ms", rev->by.wall_ms);
	row_num(&row, "uid", rev->by.uid);
	row_str(&row, "user", "%s", rev->by.user);
	row_str(&row, "command", "%.*s", SHOWN_MAX, rev->by.command);
	registry_changes(rows->reg, rev->number, add_changed, &row, &e);
	operators_row(rows->l, &row);
	return true;
}

static void do_history(struct launcher *l, const struct msg_ctl_request *ask)
{
	struct err e;
	struct rows rows = { l, registrar_registry(l, &e), ask->id, 0 };

	if (!rows.reg || registry_history(rows.reg, ask->service[0] ? ask->service : NULL, ask->revision, ask->n,
					  send_revision, &rows, &e) < 0)
		refuse(l, ask, &e);
	else
		operators_end(l, ask->id, 0, "");
}

static void put_text(const struct json_node *v, const char *field, struct msg_ctl_row *row)
{
	cleanup_buf struct buf text = { 0 };
	struct json_writer w = { .out = &text };

	if (!v)
		return;
	json_put_node(&w, NULL, v);
	row_str(row, field, "%.*s", SHOWN_MAX, text.text ? text.text : "");
}

static bool same_text(const struct json_node *a, const struct json_node *b)
{
	cleanup_buf struct buf x = { 0 }, y = { 0 };
	struct json_writer wx = { .out = &x }, wy = { .out = &y };

	json_put_node(&wx, NULL, a);
	json_put_node(&wy, NULL, b);
	return x.text && y.text && strcmp(x.text, y.text) == 0;
}

struct comparison {
	const struct rows *rows;
	const struct registry_change *c;
};

static void send_difference(const struct comparison *cmp, const char *path, const struct json_node *before,
			    const struct json_node *after)
{
	struct msg_ctl_row row = { .id = cmp->rows->id };

	row_num(&row, "revision", cmp->rows->revision);
	row_str(&row, "kind", "%s", registry_kind_name(cmp->c->kind));
	row_str(&row, "name", "%s", cmp->c->name);
	row_str(&row, "option", "%s", path);
	put_text(before, "before", &row);
	put_text(after, "after", &row);
	operators_row(cmp->rows->l, &row);
}

static bool is_object(const struct json_node *v) { return v && json_type(v) == JSON_OBJECT; }

/* Either may be NULL: not there.  Depth is that of the schema. */
static void compare(const struct comparison *cmp, const char *path, const struct json_node *before,
		    const struct json_node *after)
{
	char inner[128];

	if (!is_object(before) && !is_object(after)) {
		if (!before || !after || !same_text(before, after))
			send_difference(cmp, path, before, after);
		return;
	}
	for (const struct json_node *v = is_object(before) ? json_first(before) : NULL; v; v = json_next(v)) {
		snprintf(inner, sizeof(inner), "%s%s%s", path, *path ? "." : "", json_key(v));
		compare(cmp, inner, v, is_object(after) ? json_get(after, json_key(v)) : NULL);
	}
	for (const struct json_node *v = is_object(after) ? json_first(after) : NULL; v; v = json_next(v)) {
		if (is_object(before) && json_get(before, json_key(v)))
			continue;
		snprintf(inner, sizeof(inner), "%s%s%s", path, *path ? "." : "", json_key(v));
		compare(cmp, inner, NULL, v);
	}
}

static bool send_change(void *arg, const struct registry_change *c)
{
	struct comparison cmp = { arg, c };
	struct err e;
	cleanup_json struct json *before = c->before ? edits_parse(c->before, &e) : NULL;
	cleanup_json struct json *after = c->after ? edits_parse(c->after, &e) : NULL;

	if (before || after)
		compare(&cmp, "", before ? json_root(before) : NULL, after ? json_root(after) : NULL);
	return true;
}

/* What a command would do, which is in no revision: as a diff of it. */
static void tell_changes(const struct edit *ed, uint32_t id)
{
	struct err e;
	struct rows rows = { ed->l, registrar_registry(ed->l, &e), id, 0 };

	for (size_t i = 0; rows.reg && i < MIN(ed->n, (size_t)TOLD_MAX); i++) {
		const struct edit_change *c = &ed->v[i];
		cleanup_buf struct buf before = { 0 };

		registry_get(rows.reg, c->kind, c->name, &before, &e);
		send_change(&rows, &(struct registry_change){ .kind = c->kind, .name = c->name, .before = before.text,
							      .after = c->body });
	}
}

static void do_diff(struct launcher *l, const struct msg_ctl_request *ask)
{
	struct err e;
	struct rows rows = { l, registrar_registry(l, &e), ask->id, ask->revision };

	if (!rows.reg || registry_changes(rows.reg, ask->revision, send_change, &rows, &e) < 0)
		refuse(l, ask, &e);
	else
		operators_end(l, ask->id, 0, "");
}

static bool add_back(void *arg, const struct registry_change *c)
{
	edit_add(arg, c->kind, c->name, c->after);
	return true;
}

static void do_rollback(struct launcher *l, const struct msg_ctl_request *ask)
{
	char command[64];
	struct edit ed = edit_of(l, ask, command);
	struct err e;
	struct registry *reg = registrar_registry(l, &e);

	snprintf(command, sizeof(command), "rollback %" PRIu64, ask->revision);
	ed.named = true;
	if (reg && registry_since(reg, ask->revision, add_back, &ed, &e) == 0) {
		finish(l, ask, &ed);
		return;
	}
	edit_clear(&ed);
	refuse(l, ask, &e);
}

/* ---- export and import ---- */

struct page {
	struct buf text;
	uint32_t n, left;
	char last[MSG_NAME_MAX];
};

static bool add_line(void *arg, const char *name, const char *body)
{
	struct page *p = arg;

	if (p->left == 0 || p->text.n > EXPORT_PAGE_MAX)
		return false;
	buf_addf(&p->text, "%s\n", body);
	str_copy(p->last, name);
	p->left--;
	p->n++;
	return true;
}

static void do_export(struct launcher *l, const struct msg_ctl_request *ask)
{
	struct msg_ctl_row row = { .id = ask->id };
	struct page p = { .left = ask->n };
	uint64_t revision = 0;
	struct err e;
	struct registry *reg = registrar_registry(l, &e);

	if (!reg || registry_newest(reg, &revision, &e) < 0 ||
	    registry_each(reg, REGISTRY_SERVICE, ask->service, add_line, &p, &e) < 0) {
		buf_free(&p.text);
		refuse(l, ask, &e);
		return;
	}
	if (p.text.n > 0)
		operators_data(l, ask->id, p.text.text, p.text.n);
	row_num(&row, "revision", revision);
	row_num(&row, "n", p.n);
	row_str(&row, "last", "%s", p.last);
	operators_row(l, &row);
	operators_end(l, ask->id, 0, "");
	buf_free(&p.text);
}

void edits_free_import(struct launcher *l)
{
	struct import *im = l->import;

	l->import = NULL;
	if (!im)
		return;
	for (size_t i = 0; i < im->n; i++)
		free(im->records[i]);
	free(im->records);
	free(im);
}

/* The one of this client, or a new one. */
static struct import *import_of(struct launcher *l, const struct msg_ctl_request *ask, struct err *e)
{
	uint64_t now = clock_now_ms();

	if (l->import && l->import->client != ask->client && now - l->import->last_ms < IMPORT_WAIT_MS) {
		err_set(e, -EBUSY, "another import is under way: try again when it is over");
		return NULL;
	}
	if (l->import && l->import->client != ask->client)
		edits_free_import(l);
	if (!l->import)
		l->import = calloc(1, sizeof(*l->import));
	if (!l->import)
		abort();
	l->import->client = ask->client;
	l->import->last_ms = now;
	return l->import;
}

static int keep_record(struct import *im, const struct json_node *v, struct err *e)
{
	cleanup_buf struct buf text = { 0 };
	struct json_writer w = { .out = &text };

	json_put_node(&w, NULL, v);
	if (text.error || im->bytes + text.n > IMPORT_MAX)
		return err_set(e, -EMSGSIZE, "more than %d MiB cannot be imported at once", IMPORT_MAX >> 20);
	if (im->n == im->room) {
		im->room = MAX(im->room * 2, (size_t)64);
		im->records = realloc(im->records, im->room * sizeof(*im->records));
		if (!im->records)
			abort();
	}
	im->bytes += text.n;
	im->records[im->n++] = strdup(text.text);
	return 0;
}

static int keep_part(struct launcher *l, const struct msg_ctl_request *ask, struct err *e)
{
	struct import *im = import_of(l, ask, e);
	cleanup_json struct json *doc = im ? edits_parse(ask->record, e) : NULL;
	const struct json_node *list = doc ? json_get(json_root(doc), "services") : NULL;
	int error = 0;

	if (!doc)
		return e->code;
	if (!list || json_type(list) != JSON_ARRAY)
		return err_set(e, -EINVAL, "\"record\": expected an array \"services\"");
	for (const struct json_node *v = json_first(list); v && error == 0; v = json_next(v))
		error = keep_record(im, v, e);
	return error;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct edit_change *)a)->name, ((const struct edit_change *)b)->name);
}

static int add_records(struct edit *ed, const struct import *im, struct err *e)
{
	for (size_t i = 0; i < im->n; i++) {
		cleanup_json struct json *doc = edits_parse(im->records[i], e);
		const struct json_node *v = doc ? json_get(json_root(doc), "name") : NULL;

		if (!doc)
			return e->code;
		if (!v || json_type(v) != JSON_STRING)
			return err_set(e, -EINVAL, "services[%zu].name: missing", i);
		edit_add(ed, REGISTRY_SERVICE, json_string(v), im->records[i]);
	}
	if (ed->n > 0)
		qsort(ed->v, ed->n, sizeof(*ed->v), by_name);
	for (size_t i = 1; i < ed->n; i++) {
		if (strcmp(ed->v[i].name, ed->v[i - 1].name) == 0)
			return err_set(e, -EINVAL, "service \"%s\" is there twice", ed->v[i].name);
	}
	return 0;
}

struct others {
	struct edit *ed;
	size_t n; /* of ed->v that are of the import, sorted */
};

static bool remove_other(void *arg, const char *name, const char *body)
{
	struct others *o = arg;
	struct edit_change key = { .name = (char *)name };

	(void)body;
	if (o->n == 0 || !bsearch(&key, o->ed->v, o->n, sizeof(key), by_name)) {
		edit_add(o->ed, REGISTRY_SERVICE, name, NULL);
		move_order(o->ed, name, NULL);
	}
	return true;
}

static void finish_import(struct launcher *l, const struct msg_ctl_request *ask)
{
	char command[64];
	struct edit ed = edit_of(l, ask, command);
	struct others others = { .ed = &ed };
	struct err e;
	struct registry *reg = registrar_registry(l, &e);
	int error = reg ? add_records(&ed, l->import, &e) : e.code;

	for (size_t i = 0; ask->fresh && i < ed.n && error == 0; i++)
		error = check_new(l, ed.v[i].name, &e);
	others.n = ed.n;
	ed.named = true;
	snprintf(command, sizeof(command), "import%s%s (%zu services)", ask->exact ? " --exact" : "",
		 ask->fresh ? " of new ones" : "", ed.n);
	if (error == 0 && ask->exact)
		error = registry_each(reg, REGISTRY_SERVICE, "", remove_other, &others, &e);
	edits_free_import(l);
	if (error == 0) {
		finish(l, ask, &ed);
		return;
	}
	edit_clear(&ed);
	refuse(l, ask, &e);
}

static void do_import(struct launcher *l, const struct msg_ctl_request *ask)
{
	struct err e;

	if (keep_part(l, ask, &e) < 0) {
		if (e.code != -EBUSY)
			edits_free_import(l);
		refuse(l, ask, &e);
	} else if (ask->more) {
		operators_end(l, ask->id, 0, "");
	} else {
		finish_import(l, ask);
	}
}

/* ---- dispatch ---- */

void edits_run(struct launcher *l, const struct msg_ctl_request *ask)
{
	static void (*const runs[CTL_VERB_N])(struct launcher *, const struct msg_ctl_request *) = {
		[CTL_ADD] = do_add,	    [CTL_SET] = do_set,	      [CTL_REMOVE] = do_remove,
		[CTL_RENAME] = do_rename,   [CTL_PIN] = do_pin,	      [CTL_HISTORY] = do_history,
		[CTL_DIFF] = do_diff,	    [CTL_ROLLBACK] = do_rollback, [CTL_EXPORT] = do_export,
		[CTL_IMPORT] = do_import,  [CTL_ADOPT] = do_add, /* whose record is made */
	};

	assert(runs[ask->verb]);
	runs[ask->verb](l, ask);
}
