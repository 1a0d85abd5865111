/* One change of one service costs what that service costs.
 *
 * A reload parses, judges and compares all services.  A command does not: its services alone are
 * parsed, against the rest of the configuration that is in force, and judged by an index of what the
 * others have (claims.h).  Then it is committed, and only then put in force, so that whatever ends the
 * launcher in between leaves something that the next one finds whole.  What is committed can no longer
 * fail.  dns is told at once which names change, and all the rest later, with what has changed by then: many
 * commands become one snapshot, and while one is on its way there is no other.
 *
 * The registry may be away: locked, damaged, on a full disk.  Then its services that are in force go on
 * as they are, what asks for it is refused with the reason, and each such question tries anew.  A launcher
 * that starts without it knows the file's services only; the others' VMs are left alone until it is back.
 */
#include "launcher/registrar.h"

#include <limits.h>
#include <malloc.h>
#include <pwd.h>

#include "launcher/pools.h"
#include "launcher/zone_files.h"

enum {
	TELL_MS = 20,
	TELL_CALM_MS = 100, /* when nobody waits for it */
	TELL_SHARE = 2,
	AGAIN_MS = 5,
	LEARN_MS = 5000,
	LEARN_SOON_MS = 100,
	FORGET_MS = 1000,
	MANY = 64,
};

struct registrar {
	struct launcher *l;
	struct registry *registry; /* NULL: not to be had */
	struct claims *claims; /* of what is in force */
	struct event *tell, *learn, *sweep;
	bool trim; /* much memory was freed */
	char why[MSG_TEXT_MAX]; /* it could not be opened */
};

bool registrar_has_address(const struct launcher *l, const struct ip_addr *addr, char *owner, size_t size)
{
	const struct service_conf *s = NULL;

	if (!claims_find_address(l->registrar->claims, addr, &s))
		return false;
	snprintf(owner, size, "%s", s ? s->name : "");
	return true;
}

bool service_is_in_file(const struct service *s) { return s->conf->line != 0; }

size_t registrar_count(const struct launcher *l) { return claims_count(l->registrar->claims); }

/* ---- the database ---- */

static int open_registry(struct registrar *r, const char *state_dir, struct err *e)
{
	char path[PATH_MAX];
	int error;

	snprintf(path, sizeof(path), "%.4000s/registry.db", state_dir);
	error = registry_open(path, &r->registry, e);
	if (error < 0)
		str_copy(r->why, e->text);
	else
		r->why[0] = '\0';
	return error;
}

struct registry *registrar_open(struct launcher *l, const struct conf *conf, struct err *e)
{
	struct registrar *r = l->registrar;

	return r->registry || open_registry(r, conf->state_dir, e) == 0 ? r->registry : NULL;
}

struct registry *registrar_opened(const struct launcher *l) { return l->registrar->registry; }

struct claims *registrar_claims(const struct launcher *l) { return l->registrar->claims; }

struct registry *registrar_registry(struct launcher *l, struct err *e)
{
	struct registrar *r = l->registrar;

	if (r->registry)
		return r->registry;
	if (open_registry(r, l->conf->state_dir, e) < 0)
		return NULL;
	log_info("the registry is there again");
	reload_services(l);
	registrar_begin(l);
	return r->registry;
}

void registrar_explain(struct launcher *l, char *out, size_t size)
{
	struct registrar *r = l->registrar;
	uint64_t number = 0;
	struct err e;

	if (!r->registry)
		snprintf(out, size, "%s", r->why);
	else if (registry_newest(r->registry, &number, &e) < 0)
		snprintf(out, size, "%s", e.text);
	else
		snprintf(out, size, "revision %llu", (unsigned long long)number);
}

/* ---- what is in force ---- */

void registrar_take(struct launcher *l, struct inventory *v)
{
	claims_free(l->registrar->claims);
	l->registrar->claims = v->claims;
	l->registrar->trim |= v->n > MANY;
	v->claims = NULL;
	inventory_clear(v);
}

static bool set_order(void *arg, const char *name, const char *body)
{
	struct service *s = service_by_name(arg, name);

	if (s)
		orders_set(s, body);
	return true;
}

static bool know_fact(void *arg, const struct registry_fact *f)
{
	struct service *s = service_by_name(arg, f->name);

	if (s && s->wakes == 0 && strcmp(f->key, "last_wake_ms") == 0)
		s->last_wake_ms = strtoull(f->value, NULL, 10);
	if (s && strcmp(f->key, "address") == 0)
		learning_know(s, f->value);
	if (s && s->wakes == 0 && strcmp(f->key, "wakes") == 0) /* the last of its keys */
		s->wakes = strtoull(f->value, NULL, 10);
	return true;
}

void registrar_begin(struct launcher *l)
{
	struct timeval tv = clock_timeval_ms(FORGET_MS);
	struct registrar *r = l->registrar;
	struct err e;

	if (!r->registry)
		return;
	event_add(r->sweep, &tv);
	if (registry_each(r->registry, REGISTRY_ORDER, "", set_order, l, &e) < 0 ||
	    registry_learned(r->registry, know_fact, l, &e) < 0)
		log_error("%s", e.text);
}

/* ---- what is learned ---- */

static char *copy(const char *text)
{
	char *s = text ? strdup(text) : NULL;

	if (text && !s)
		abort();
	return s;
}

/* All at once: each commit waits for the disk. */
struct lesson {
	struct registry_fact *facts;
	char (*texts)[LEARNED_TEXT_MAX];
	size_t n;
};

enum { FACTS = 3 /* of a service */ };

/* Where its text goes. */
static char *new_fact(struct lesson *lesson, const struct service *s, const char *key)
{
	char *text = lesson->texts[lesson->n];

	lesson->facts[lesson->n++] = (struct registry_fact){ s->conf->name, key, text, clock_wall_ms() };
	return text;
}

static void add_fact(struct lesson *lesson, const struct service *s, const char *key, uint64_t value)
{
	snprintf(new_fact(lesson, s, key), sizeof(lesson->texts[0]), "%llu", (unsigned long long)value);
}

static void add_address(struct lesson *lesson, const struct service *s)
{
	char text[LEARNED_TEXT_MAX];

	if (learning_print(s, text))
		memcpy(new_fact(lesson, s, "address"), text, sizeof(text));
	else if (s->learning)
		lesson->facts[lesson->n++] = (struct registry_fact){ s->conf->name, "address", NULL, 0 };
}

static void on_learn(evutil_socket_t fd, short what, void *arg)
{
	struct launcher *l = arg;
	struct lesson lesson = { 0 };
	struct service *s;
	struct err e;
	size_t n = 0;

	(void)fd;
	(void)what;
	if (pools_keep(l, &e) < 0)
		log_limited(LOG_WARN, "which addresses services were given is not kept: %s", e.text);
	TAILQ_FOREACH(s, &l->unlearned, unlearned)
		n++;
	lesson.facts = calloc(FACTS * n + 1, sizeof(*lesson.facts));
	lesson.texts = calloc(FACTS * n + 1, sizeof(*lesson.texts));
	if (!lesson.facts || !lesson.texts)
		abort();
	while ((s = TAILQ_FIRST(&l->unlearned))) {
		if (!s->removed) {
			add_fact(&lesson, s, "last_wake_ms", s->last_wake_ms);
			add_fact(&lesson, s, "wakes", s->wakes);
			add_address(&lesson, s);
		}
		registrar_learned(s);
	}
	if (lesson.n > 0 && l->registrar->registry && registry_learn(l->registrar->registry, lesson.facts, lesson.n, &e) < 0)
		log_limited(LOG_WARN, "what was learned of services is not kept: %s", e.text);
	free(lesson.facts);
	free(lesson.texts);
}

void registrar_learned(struct service *s)
{
	if (s->is_unlearned)
		TAILQ_REMOVE(&s->l->unlearned, s, unlearned);
	s->is_unlearned = false;
}

void registrar_learn(struct service *s)
{
	struct timeval tv = clock_timeval_ms(LEARN_MS);
	struct registrar *r = s->l->registrar;

	if (!s->is_unlearned)
		TAILQ_INSERT_TAIL(&s->l->unlearned, s, unlearned);
	s->is_unlearned = true;
	if (r && !evtimer_pending(r->learn, NULL))
		event_add(r->learn, &tv);
}

void registrar_learn_soon(struct service *s)
{
	struct timeval tv = clock_timeval_ms(LEARN_SOON_MS);

	registrar_learn(s);
	if (s->l->registrar)
		event_add(s->l->registrar->learn, &tv);
}

/* What is remembered of services that are gone: from the file while nobody looked, with the launcher that was about
 * to forget them, or with their template.  When they come back, others may have got their addresses. */
struct stale {
	const struct launcher *l;
	size_t n, room;
	struct registry_fact *facts;
};

/* In force; or it would be, but for what was wrong with it. */
static bool is_configured(const struct launcher *l, const char *name)
{
	cleanup_buf struct buf body = { 0 };
	struct err e;

	if (claims_find(l->registrar->claims, name))
		return true;
	for (size_t i = 0; i < l->conf->services.n; i++)
		if (strcmp(l->conf->services.v[i].name, name) == 0)
			return true;
	return registry_get(l->registrar->registry, REGISTRY_SERVICE, name, &body, &e) != -ENOENT;
}

static bool find_stale(void *arg, const struct registry_fact *f)
{
	struct stale *s = arg;

	if ((s->n > 0 && strcmp(s->facts[s->n - 1].name, f->name) == 0) || is_configured(s->l, f->name))
		return true;
	if (s->n == s->room) {
		s->room = MAX(s->room * 2, (size_t)16);
		s->facts = reallocarray(s->facts, s->room, sizeof(*s->facts));
		if (!s->facts)
			abort();
	}
	s->facts[s->n++] = (struct registry_fact){ .name = copy(f->name) };
	return true;
}

void registrar_sweep(struct launcher *l)
{
	struct registrar *r = l->registrar;
	struct stale stale = { .l = l };
	struct err e;

	if (r->registry && registry_learned(r->registry, find_stale, &stale, &e) == 0 && stale.n > 0 &&
	    registry_learn(r->registry, stale.facts, stale.n, &e) < 0)
		log_warn("addresses of services that are gone are not forgotten: %s", e.text);
	for (size_t i = 0; i < stale.n; i++)
		free((char *)stale.facts[i].name);
	free(stale.facts);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	registrar_sweep(arg);
}

void registrar_forget(struct launcher *l, const char *name)
{
	struct registrar *r = l->registrar;
	const struct registry_fact all = { .name = name };
	struct err e;

	if (!r->registry)
		err_set(&e, -ENODEV, "%s", r->why);
	if (!r->registry || registry_learn(r->registry, &all, 1, &e) < 0)
		log_warn("service=%s what was learned of it is not forgotten: %s", name, e.text);
}

/* ---- telling ---- */

static void tell_after(struct launcher *l, uint64_t ms)
{
	struct timeval tv = clock_timeval_ms(ms);

	if (!evtimer_pending(l->registrar->tell, NULL))
		event_add(l->registrar->tell, &tv);
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
	struct launcher *l = arg;

	(void)fd;
	(void)what;
	if (dns_is_behind(l)) { /* another one would end the one that it is about to go by */
		tell_after(l, AGAIN_MS);
		return;
	}
	zone_files_changed(l->zone_files, (uint32_t)(clock_wall_ms() / MS_PER_S));
	operators_edits_told(l);
	if (l->dns_told)
		dns_snapshot(l);
}

/* An import, and a start, are some times as large as what stays of them. */
void registrar_told(struct launcher *l)
{
	struct registrar *r = l->registrar;

	if (!r->trim)
		return;
	r->trim = false;
	if (r->registry)
		registry_shrink(r->registry);
	malloc_trim(0);
}

/* With many services there shall be time left for more of them. */
static void tell_later(struct launcher *l, uint64_t ms)
{
	l->dns_loading = true;
	tell_after(l, MAX(ms, TELL_SHARE * l->dns_took_ms));
}

void registrar_tell(struct launcher *l) { tell_later(l, TELL_MS); }

/* ---- a change ---- */

/* Each line with the service before it. */
void registrar_add_lines(struct buf *out, const char *name, const struct buf *lines)
{
	for (const char *line = lines->text ? lines->text : ""; *line;) {
		size_t n = strcspn(line, "\n");

		buf_addf(out, "%s%s%s%.*s\n", name ? "service \"" : "", name ? name : "", name ? "\": " : "", (int)n, line);
		line += n + (line[n] == '\n');
	}
}

void edit_add(struct edit *ed, enum registry_kind kind, const char *name, const char *body)
{
	if (ed->n == ed->room) {
		ed->room = MAX(ed->room * 2, (size_t)4);
		ed->v = realloc(ed->v, ed->room * sizeof(*ed->v));
		if (!ed->v)
			abort();
	}
	ed->v[ed->n++] = (struct edit_change){ .kind = kind, .name = copy(name), .body = copy(body) };
}

void edit_rename(struct edit *ed, const char *name, const char *to, const char *body)
{
	edit_add(ed, REGISTRY_SERVICE, name, NULL);
	edit_add(ed, REGISTRY_SERVICE, to, body);
	ed->v[ed->n - 1].was = copy(name);
}

static void free_change(struct edit_change *c)
{
	conf_unref(c->ref);
	free(c->name);
	free(c->was);
	free(c->learned);
	free(c->body);
}

void edit_clear(struct edit *ed)
{
	for (size_t i = 0; i < ed->n; i++)
		free_change(&ed->v[i]);
	free(ed->v);
	ed->v = NULL;
	ed->n = ed->room = 0;
}

static int say(struct edit *ed, const struct edit_change *c, int error, const struct buf *lines, struct buf *mistakes)
{
	registrar_add_lines(mistakes, ed->named ? c->name : NULL, lines);
	return error;
}

/* Its text becomes what the registry keeps. */
static int parse_change(struct edit *ed, struct edit_change *c, struct buf *mistakes)
{
	cleanup_buf struct buf lines = { 0 }, given = { 0 };
	struct service_conf *s = conf_parse_service(ed->l->conf, c->body, strlen(c->body), &given, &lines);

	if (!s)
		return say(ed, c, -EINVAL, &lines, mistakes);
	c->ref = conf_ref_new(s);
	s = c->ref->service;
	if (given.error)
		abort();
	free(c->body);
	c->body = copy(given.text);
	if (strcmp(s->name, c->name) == 0)
		return 0;
	buf_addf(&lines, "name: this is \"%s\", and the service \"%s\"\n", s->name, c->name);
	return say(ed, c, -EINVAL, &lines, mistakes);
}

/* True when the registry says so already. */
static bool says_so(struct registry *reg, const struct edit_change *c)
{
	cleanup_buf struct buf body = { 0 };
	struct err e;
	int error = registry_get(reg, c->kind, c->name, &body, &e);

	if (!c->body)
		return error == -ENOENT;
	return error == 0 && body.text && strcmp(body.text, c->body) == 0;
}

static int check_origin(struct edit *ed, const struct edit_change *c, struct buf *mistakes)
{
	const struct service_conf *known = claims_find(ed->l->registrar->claims, c->name);
	cleanup_buf struct buf lines = { 0 };

	if (c->kind != REGISTRY_SERVICE || !c->body || !known || !known->line)
		return 0;
	buf_addf(&lines, "\"%s\" is in the configuration file, line %u: change it there, and reload\n", c->name,
		 known->line);
	return say(ed, c, -EPERM, &lines, mistakes);
}

static int prepare(struct edit *ed, struct registry *reg, struct buf *mistakes)
{
	size_t kept = 0;
	int error = 0;

	for (size_t i = 0; i < ed->n; i++) {
		struct edit_change *c = &ed->v[i];
		int r = check_origin(ed, c, mistakes);

		if (r == 0 && c->kind == REGISTRY_SERVICE && c->body)
			r = parse_change(ed, c, mistakes);
		if (r < 0)
			error = r;
	}
	if (error < 0)
		return error;
	for (size_t i = 0; i < ed->n; i++) {
		if (says_so(reg, &ed->v[i]))
			free_change(&ed->v[i]);
		else
			ed->v[kept++] = ed->v[i];
	}
	ed->n = kept;
	return 0;
}

static void unclaim_old(struct edit *ed)
{
	for (size_t i = 0; i < ed->n; i++) {
		struct edit_change *c = &ed->v[i];

		c->old = c->kind == REGISTRY_SERVICE ? service_by_name(ed->l, c->name) : NULL;
		if (c->old && service_is_in_file(c->old)) /* the registry has one that was left out for it */
			c->old = NULL;
		if (c->old)
			claims_remove(ed->l->registrar->claims, c->old->conf);
	}
}

static bool is_in_edit(const struct edit *ed, const struct service *s)
{
	for (size_t i = 0; i < ed->n; i++) {
		if (ed->v[i].old == s)
			return true;
	}
	return false;
}

/* A domain of Xen's has one service, whether that names it or a file that does: what the files say claims do not know.
 * One that cannot be read is told when it is to be started. */
static bool domain_is_free(const struct edit *ed, const struct service_conf *c, struct buf *lines)
{
	const struct machine_conf *m = &c->machine;
	const struct hypervisor_conf *hv = conf_hypervisor(ed->l->conf, m->hypervisor);
	char name[MSG_NAME_MAX * 2];
	const struct service *s;
	struct err ignored;

	if (!hv || !uri_is_xen(hv->uri) || !machine_is_defined(m))
		return true;
	str_copy(name, m->domain);
	if (m->xl_config[0] && start_xl_name(ed->l, c, name, sizeof(name), &ignored) < 0)
		return true;
	FOR_EACH_SERVICE(ed->l, s) {
		if (s->removed || is_in_edit(ed, s) || !start_is_domain_of(s, hv->name, name))
			continue;
		buf_addf(lines, "machine.%s: domain \"%s\" is service \"%s\"'s already\n", m->xl_config[0] ? "xl_config" :
			 "domain", name, s->conf->name);
		return false;
	}
	return true;
}

static int claim_one(struct edit *ed, struct edit_change *c, struct buf *mistakes)
{
	struct claims *claims = ed->l->registrar->claims;
	cleanup_buf struct buf lines = { 0 };

	if (!pools_known(c->ref->service) && !pools_give(ed->l, ed->l->conf, claims, c->ref->service, &lines))
		return say(ed, c, -EADDRNOTAVAIL, &lines, mistakes);
	if (!claims_fit(claims, c->ref->service, &lines) || !domain_is_free(ed, c->ref->service, &lines))
		return say(ed, c, -EEXIST, &lines, mistakes);
	if (!claims_add(claims, c->ref->service))
		abort();
	c->claimed = true;
	return 0;
}

/* Those first who know their addresses. */
static int claim_new(struct edit *ed, struct buf *mistakes)
{
	struct claims *claims = ed->l->registrar->claims;
	int error = 0;

	pools_look_again(ed->l);
	for (unsigned given = 0; given < 2; given++) {
		for (size_t i = 0; i < ed->n; i++) {
			struct edit_change *c = &ed->v[i];
			int r;

			if (!c->ref || c->claimed || c->refused)
				continue;
			if (!given && !pools_recall(ed->l, ed->l->conf, claims, c->ref->service, c->was ? c->was : c->name))
				continue;
			r = claim_one(ed, c, mistakes);
			c->refused = r < 0;
			error = r < 0 ? r : error;
		}
	}
	return error;
}

/* As if nothing had been asked. */
static void undo(struct edit *ed)
{
	struct claims *claims = ed->l->registrar->claims;

	pools_drop(ed->l);
	for (size_t i = 0; i < ed->n; i++) {
		if (ed->v[i].claimed)
			claims_remove(claims, ed->v[i].ref->service);
	}
	for (size_t i = 0; i < ed->n; i++) {
		if (ed->v[i].old && !claims_add(claims, ed->v[i].old->conf))
			abort();
	}
}

/* Those that are removed may keep their places until their VMs are off. */
static int check_room(const struct edit *ed, struct buf *mistakes)
{
	size_t n = 0, fresh = 0;
	const struct service *s;

	FOR_EACH_SERVICE(ed->l, s)
		n++;
	for (size_t i = 0; i < ed->n; i++)
		fresh += ed->v[i].ref && !ed->v[i].old;
	if (fresh == 0 || n + fresh <= SLOTS_MAX)
		return 0;
	buf_addf(mistakes, "there can be no more than %d services, and there are %zu: remove some\n", SLOTS_MAX, n);
	return -ENOSPC;
}

static void user_name(uint32_t uid, char *out, size_t size)
{
	struct passwd pw, *found = NULL;
	char room[1024];

	out[0] = '\0';
	if (getpwuid_r(uid, &pw, room, sizeof(room), &found) == 0 && found)
		snprintf(out, size, "%s", found->pw_name);
}

static int commit(struct edit *ed, struct registry *reg, uint64_t *number, struct buf *mistakes)
{
	struct registry_change *changes = calloc(ed->n, sizeof(*changes));
	char user[MSG_NAME_MAX];
	struct registry_author by = { ed->uid, user, ed->command, clock_wall_ms() };
	struct err e;
	int error;

	if (!changes)
		abort();
	error = pools_keep(ed->l, &e);
	user_name(ed->uid, user, sizeof(user));
	for (size_t i = 0; i < ed->n; i++)
		changes[i] = (struct registry_change){ .kind = ed->v[i].kind, .name = ed->v[i].name, .after = ed->v[i].body };
	if (error == 0)
		error = registry_commit(reg, changes, ed->n, &by, number, &e);
	if (error < 0)
		buf_addf(mistakes, "%s\n", e.text);
	free(changes);
	return error;
}

/* dns hears of the names that services have had, .. */
static void say_old_names(struct edit *ed)
{
	ed->waits = ed->n > MANY;
	for (size_t i = 0; i < ed->n && !ed->waits; i++) {
		if (ed->v[i].old)
			ed->waits = !dns_say_changing(ed->l, ed->v[i].old->conf, ed->v[i].old);
	}
}

/* .. and of those that they have now. */
static void say_new_names(struct edit *ed)
{
	for (size_t i = 0; i < ed->n && !ed->waits; i++) {
		const struct edit_change *c = &ed->v[i];

		if (c->ref)
			ed->waits = !dns_say_changing(ed->l, c->ref->service, service_by_name(ed->l, c->name));
	}
}

/* Before the service of that name is forgotten. */
static void keep_learned(struct edit_change *c, struct launcher *l)
{
	const struct service *s = c->was ? service_by_name(l, c->was) : NULL;

	if (s && c->ref)
		c->learned = learning_to_keep(s, c->ref->service);
}

static void put_in_force(struct edit *ed)
{
	struct launcher *l = ed->l;
	bool services = false, templates = false;

	for (size_t i = 0; i < ed->n; i++)
		templates = templates || (ed->v[i].old && conf_is_template(ed->v[i].old->conf)) ||
			    (ed->v[i].ref && conf_is_template(ed->v[i].ref->service));

	say_old_names(ed);
	for (size_t i = 0; i < ed->n; i++)
		keep_learned(&ed->v[i], l);
	for (size_t i = 0; i < ed->n; i++) { /* first, so that their places are free */
		if (!ed->v[i].old || ed->v[i].ref)
			continue;
		registrar_forget(l, ed->v[i].name);
		reload_remove(ed->v[i].old);
	}
	for (size_t i = 0; i < ed->n; i++) {
		struct edit_change *c = &ed->v[i];

		services |= c->kind == REGISTRY_SERVICE;
		if (c->ref)
			reload_put(l, c->ref, c->ref->service, ed->n <= MANY);
		if (c->learned)
			learning_take_over(service_by_name(l, c->name), c->learned);
	}
	say_new_names(ed);
	for (size_t i = 0; i < ed->n; i++) {
		struct service *s = ed->v[i].kind == REGISTRY_ORDER ? service_by_name(l, ed->v[i].name) : NULL;

		if (s)
			orders_set(s, ed->v[i].body);
	}
	if (!services)
		return;
	if (templates) { /* their instances follow them */
		reload_services(l);
		registrar_sweep(l);
		return;
	}
	if (ed->n > MANY)
		holds_refresh(l);
	else if (!synproxy_is_current(l))
		synproxy_snapshot(l);
	l->registrar->trim |= ed->n > MANY;
	tell_later(l, ed->waits ? TELL_MS : TELL_CALM_MS);
	wake_pump(l);
}

int registrar_edit(struct edit *ed, uint64_t *number, struct buf *mistakes)
{
	uint64_t fresh = 0;
	struct err e;
	struct registry *reg = registrar_registry(ed->l, &e);
	int error;

	if (!reg) {
		buf_addf(mistakes, "%s\n", e.text);
		return e.code;
	}
	error = prepare(ed, reg, mistakes);
	if (error < 0)
		return error;
	unclaim_old(ed);
	error = claim_new(ed, mistakes);
	if (error == 0)
		error = check_room(ed, mistakes);
	if (error == 0 && ed->n > 0 && !ed->dry_run)
		error = commit(ed, reg, &fresh, mistakes);
	if (error < 0 || ed->dry_run) {
		undo(ed);
		return error;
	}
	put_in_force(ed);
	if (fresh)
		events_revision(ed->l, fresh, ed->n == 1 ? ed->v[0].name : "", (uint32_t)ed->n, ed->uid, ed->command);
	*number = fresh;
	return 0;
}

int registrar_record(struct launcher *l, const char *name, struct buf *body, struct err *e)
{
	struct registry *reg = registrar_registry(l, e);
	const struct service_conf *known;
	const struct service *s;
	int error;

	if (!reg)
		return e->code;
	error = registry_get(reg, REGISTRY_SERVICE, name, body, e);
	if (error != -ENOENT)
		return error;
	known = claims_find(l->registrar->claims, name);
	if (known && known->line)
		return err_set(e, -EPERM, "\"%s\" is in the configuration file, line %u: change it there, and reload", name,
			       known->line);
	s = service_by_name(l, name);
	if (s && s->ref->instance_of)
		return err_set(e, -EPERM, "\"%s\" is an instance of \"%s\", and as that has it: it goes when its VM has been "
			       "stopped for instance_ttl", name, s->ref->instance_of);
	return err_set(e, -ENOENT, "there is no service \"%s\"; \"jitsuctl list\" shows them", name);
}

void registrar_stop(struct launcher *l)
{
	on_learn(-1, 0, l);
	registry_free(l->registrar->registry);
	l->registrar->registry = NULL;
	str_copy(l->registrar->why, "jitsud is stopping");
}

struct registrar *registrar_new(struct launcher *l)
{
	struct registrar *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	r->l = l;
	r->claims = claims_new();
	r->tell = evtimer_new(l->base, on_tell, l);
	r->learn = evtimer_new(l->base, on_learn, l);
	r->sweep = evtimer_new(l->base, on_sweep, l);
	if (!r->claims || !r->tell || !r->learn || !r->sweep)
		abort();
	return r;
}
