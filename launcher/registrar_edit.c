/* A change, from what a command says to what is in force: each step may refuse it, and then nothing has happened.
 *
 *	parsed (prepare)	its services alone, against the rest of the configuration
 *	claimed			what they had is taken back, and what they have is entered; addresses are given
 *	committed		on the disk: from here on it cannot fail
 *	in force		with what others must hear of it
 */
#include "launcher/registrar_internal.h"

#include <pwd.h>

#include "launcher/pools.h"

/* ---- what is asked for ---- */

void edit_add(struct edit *ed, enum registry_kind kind, const char *name, const char *body)
{
	if (ed->n == ed->room) {
		ed->room = MAX(ed->room * 2, (size_t)4);
		ed->v = realloc(ed->v, ed->room * sizeof(*ed->v));
		if (!ed->v)
			abort();
	}
	ed->v[ed->n++] = (struct edit_change){ .kind = kind, .name = registrar_copy(name), .body = registrar_copy(body) };
}

void edit_rename(struct edit *ed, const char *name, const char *to, const char *body)
{
	edit_add(ed, REGISTRY_SERVICE, name, NULL);
	edit_add(ed, REGISTRY_SERVICE, to, body);
	ed->v[ed->n - 1].was = registrar_copy(name);
}

static void free_change(struct edit_change *c)
{
	conf_unref(c->ref);
	free(c->name);
	free(c->was);
	free(c->learned);
	free(c->remark);
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

/* ---- parsed ---- */

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
	c->body = registrar_copy(given.text);
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

/* ---- claimed ---- */

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

/* A domain of Xen's has one service, whether that names it or a file that does: what the files say claims do not
 * know.  One that cannot be read is told when it is to be started. */
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
		buf_addf(lines, "machine.%s: domain \"%s\" is service \"%s\"'s already\n",
			 m->xl_config[0] ? "xl_config" : "domain", name, s->conf->name);
		return false;
	}
	return true;
}

static int claim_one(struct edit *ed, struct edit_change *c, struct buf *mistakes)
{
	struct claims *claims = ed->l->registrar->claims;
	cleanup_buf struct buf lines = { 0 };

	if (!pools_known(c->ref->service)) {
		if (!pools_give(ed->l, ed->l->conf, claims, c->ref->service, &lines))
			return say(ed, c, -EADDRNOTAVAIL, &lines, mistakes);
		c->remark = pools_explain_other(ed->l, ed->l->conf, c->ref->service);
	}
	if (!claims_fit(claims, c->ref->service, &lines) || !domain_is_free(ed, c->ref->service, &lines))
		return say(ed, c, -EEXIST, &lines, mistakes);
	if (!claims_add(claims, c->ref->service))
		abort();
	c->claimed = true;
	return 0;
}

/* Those who know their addresses are the first, and those the second whose former ones are free. */
static bool is_turn(struct edit *ed, const struct edit_change *c, unsigned turn)
{
	struct claims *claims = ed->l->registrar->claims;
	struct service_conf *s = c->ref->service;

	switch (turn) {
	case 0: return pools_recall(ed->l, ed->l->conf, claims, s, c->was ? c->was : c->name);
	case 1: return pools_return(ed->l, ed->l->conf, claims, s);
	default: return true;
	}
}

static int claim_new(struct edit *ed, struct buf *mistakes)
{
	int error = 0;

	pools_look_again(ed->l);
	for (unsigned turn = 0; turn < 3; turn++) {
		for (size_t i = 0; i < ed->n; i++) {
			struct edit_change *c = &ed->v[i];
			int r;

			if (!c->ref || c->claimed || c->refused || !is_turn(ed, c, turn))
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

/* ---- committed ---- */

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

/* ---- in force ---- */

/* dns hears of the names that services have had, .. */
static void say_old_names(struct edit *ed)
{
	ed->waits = ed->n > REGISTRAR_MANY;
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

/* Their instances follow them. */
static bool has_templates(const struct edit *ed)
{
	for (size_t i = 0; i < ed->n; i++) {
		if ((ed->v[i].old && conf_is_template(ed->v[i].old->conf)) ||
		    (ed->v[i].ref && conf_is_template(ed->v[i].ref->service)))
			return true;
	}
	return false;
}

/* First, so that their places are free. */
static void remove_services(struct edit *ed)
{
	for (size_t i = 0; i < ed->n; i++) {
		if (!ed->v[i].old || ed->v[i].ref)
			continue;
		registrar_forget(ed->l, ed->v[i].name);
		reload_remove(ed->v[i].old);
	}
}

static void put_services(struct edit *ed)
{
	for (size_t i = 0; i < ed->n; i++) {
		struct edit_change *c = &ed->v[i];

		if (c->ref)
			reload_put(ed->l, c->ref, c->ref->service, ed->n <= REGISTRAR_MANY);
		if (c->remark)
			events_address(service_by_name(ed->l, c->name), "%s", c->remark);
		if (c->learned)
			learning_take_over(service_by_name(ed->l, c->name), c->learned);
	}
}

/* True when services have changed, too. */
static bool put_orders(struct edit *ed)
{
	bool services = false;

	for (size_t i = 0; i < ed->n; i++) {
		struct service *s = ed->v[i].kind == REGISTRY_ORDER ? service_by_name(ed->l, ed->v[i].name) : NULL;

		services |= ed->v[i].kind == REGISTRY_SERVICE;
		if (s)
			orders_set(s, ed->v[i].body);
	}
	return services;
}

static void put_in_force(struct edit *ed)
{
	bool templates = has_templates(ed); /* (old ones go below) */
	struct launcher *l = ed->l;

	say_old_names(ed);
	for (size_t i = 0; i < ed->n; i++)
		keep_learned(&ed->v[i], l);
	remove_services(ed);
	put_services(ed);
	say_new_names(ed);
	if (!put_orders(ed))
		return;
	if (templates) {
		reload_services(l);
		ed->told = true;
		registrar_sweep(l);
		return;
	}
	if (ed->n > REGISTRAR_MANY)
		holds_refresh(l);
	else if (!synproxy_is_current(l))
		synproxy_snapshot(l);
	l->registrar->trim |= ed->n > REGISTRAR_MANY;
	if (ed->waits)
		registrar_tell(l);
	else
		registrar_tell_calmly(l);
	wake_pump(l);
}

/* ---- all of it ---- */

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
