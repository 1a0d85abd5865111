/* Theory of operation
 *
 * A service with `ip: auto` gets an address of its bridge's pools when it is first in force, by a command or by a
 * reload, and has it from then on in its record in memory, like one that was written there: nothing else in the
 * launcher knows the difference.  What is printed of the record stays "auto".
 *
 * The address is its own until it is removed.  It lies in the registry as a learned fact ("auto" or "auto6" of the
 * service), for services of the file, too, and is on the disk before anybody is told of it: pools_keep() comes before
 * the commit of the service, so that whatever ends the launcher in between leaves an address that nobody has, and no
 * service that changes its own.  Without the registry nothing is given, since somebody may have it already.
 *
 *	pools_recall()	what it has in force; else the fact; if it lies in the pools still, and nobody has it
 *	pools_return()	what it had when it was removed ("had" or "had6"), or before its record named another one; if
 *			nobody has got it since: so a rollback makes good what a command took
 *	pools_give()	that; or the next one behind the last that was given in that bridge's pools
 *
 * The next one, and not the first that is free: clients remember addresses, and one that was given back is given
 * again only when all others were.  A new launcher begins behind the newest that the registry has, given or given
 * back.
 *
 * What could not be kept at a start, because the disk is full, say, is in force all the same.  It is *owed*: kept
 * with what is given next, and not dropped with that where it is refused.
 *
 * Not given: what others in force have, also as a bridge's probe address, or as services that are removed and still
 * run; what was learned of others' VMs, also at a start, when only the registry knows of it; this host's own
 * addresses; gateways; and for BAD_MS what was found in use elsewhere (RFC 5227).  Then its service moves to another
 * one, as if its record had been changed, but never while it has a VM.
 */
#include "launcher/pools.h"

#include "config/pool.h"
#include "config/value.h"
#include "config/registry.h"
#include "launcher/addresses.h"
#include "launcher/learned.h"
#include "launcher/registrar.h"

enum { BAD_MAX = 256, BAD_MS = 600 * 1000, NAMES_SHOWN = 5 };

struct cursor {
	char bridge[MSG_IFNAME_MAX];
	struct ip_addr last[2]; /* of IPv6, IPv4 */
	uint64_t wall_ms[2];
};

struct given {
	char name[MSG_NAME_MAX];
	const char *key;
	char text[2 * MSG_NAME_MAX];
	bool owed;
};

struct pools {
	bool looked; /* `own` is current */
	bool begun; /* the cursors are behind what the registry has */
	struct addresses {
		size_t n, room;
		struct ip_addr *v;
	} own, learned; /* this host's; those in the registry, until the services that have them are there */
	size_t n_cursors;
	struct cursor cursors[HOLD_BRIDGES_MAX * 2];
	size_t n_bad;
	struct bad {
		struct ip_addr addr;
		uint64_t until_ms;
	} bad[BAD_MAX];
	size_t n_given, room_given;
	struct given *given; /* and not on the disk yet */
};

struct pools *pools_new(struct launcher *l)
{
	struct pools *p = calloc(1, sizeof(*p));

	(void)l;
	if (!p)
		abort();
	return p;
}

const struct pools_key pools_keys[2] = { { "auto", "had" }, { "auto6", "had6" } };

static const struct pools_key *keys_of(const struct service_ip *ip) { return &pools_keys[ip->how == IP_AUTO6]; }

static const char *key_of(const struct service_ip *ip) { return keys_of(ip)->has; }

bool pools_known(const struct service_conf *s)
{
	if (conf_is_template(s)) /* its instances will */
		return true;
	for (size_t i = 0; i < s->ip.n; i++)
		if (service_ip_wanted(&s->ip.v[i]))
			return false;
	return true;
}

bool pools_same(const struct service_conf *a, const struct service_conf *b)
{
	for (size_t i = 0; i < a->ip.n && i < b->ip.n; i++)
		if (!ip_equal(&a->ip.v[i].addr, &b->ip.v[i].addr) || a->ip.v[i].len != b->ip.v[i].len)
			return false;
	return a->ip.n == b->ip.n;
}

/* ---- what is taken ---- */

static void addresses_add(struct addresses *list, const struct ip_addr *a)
{
	if (list->n == list->room) {
		list->room = MAX(list->room * 2, (size_t)16);
		list->v = reallocarray(list->v, list->room, sizeof(*list->v));
		if (!list->v)
			abort();
	}
	list->v[list->n++] = *a;
}

static bool addresses_have(const struct addresses *list, const struct ip_addr *a)
{
	for (size_t i = 0; i < list->n; i++)
		if (ip_equal(a, &list->v[i]))
			return true;
	return false;
}

static void add_own(void *arg, const struct own_address *a)
{
	struct pools *p = arg;

	if (a)
		addresses_add(&p->own, &a->prefix.addr);
	else
		p->own.n = 0;
}

void pools_look_again(struct launcher *l) { l->pools->looked = false; }

static void look(struct launcher *l)
{
	struct err e;

	if (l->pools->looked)
		return;
	l->pools->looked = true;
	if (addresses_each(l->netlink, add_own, l->pools, &e) < 0)
		log_warn("%s", e.text);
}

struct question {
	struct launcher *l;
	const struct claims *claims;
	const struct service_conf *s;
	const struct conf *conf;
};

/* But for that of this name, which is the same VM. */
static bool is_of_removed(const struct launcher *l, const struct ip_addr *a, const char *name)
{
	const struct service *s;

	TAILQ_FOREACH(s, &l->busy, busy)
	{
		if (strcmp(s->conf->name, name) == 0)
			continue;
		for (size_t i = 0; i < s->conf->ip.n && s->removed; i++)
			if (ip_equal(a, &s->conf->ip.v[i].addr))
				return true;
		for (size_t i = 0; i < s->run.addrs.n; i++) /* that its VM was started with */
			if (s->run.domain_id >= 0 && ip_equal(a, &s->run.addrs.v[i]))
				return true;
	}
	return false;
}

static bool is_named(const struct service_conf *s, const struct ip_addr *a)
{
	struct ip_addr b;

	if (s->gateway[0] && ip_parse(s->gateway, &b) == 0 && ip_equal(a, &b))
		return true;
	for (size_t i = 0; i < s->fallback_ip.n; i++)
		if (ip_parse(s->fallback_ip.v[i], &b) == 0 && ip_equal(a, &b))
			return true;
	for (size_t i = 0; i < s->ip.n; i++)
		if (service_ip_known(&s->ip.v[i]) && ip_equal(a, &s->ip.v[i].addr))
			return true;
	return false;
}

static bool is_bad(struct pools *p, const struct ip_addr *a)
{
	uint64_t now = clock_now_ms();

	for (size_t i = 0; i < p->n_bad;) {
		if (p->bad[i].until_ms <= now)
			p->bad[i] = p->bad[--p->n_bad];
		else if (ip_equal(a, &p->bad[i].addr))
			return true;
		else
			i++;
	}
	return false;
}

static bool is_taken(void *arg, const struct ip_addr *a)
{
	const struct question *q = arg;
	struct pools *p = q->l->pools;

	if (addresses_have(&p->own, a) || addresses_have(&p->learned, a))
		return true;
	return claims_has_address(q->claims, a) || learning_has(q->l, a) || is_named(q->s, a) || is_bad(p, a) ||
	       is_of_removed(q->l, a, q->s->name);
}

/* ---- what it has ---- */

static struct cursor *cursor_of(struct pools *p, const char *bridge)
{
	struct cursor *c;

	for (size_t i = 0; i < p->n_cursors; i++)
		if (strcmp(p->cursors[i].bridge, bridge) == 0)
			return &p->cursors[i];
	c = &p->cursors[p->n_cursors < ARRAY_SIZE(p->cursors) ? p->n_cursors++ : 0];
	*c = (struct cursor){ 0 };
	str_copy(c->bridge, bridge);
	return c;
}

static bool is_of_pool(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(pools_keys); i++)
		if (strcmp(key, pools_keys[i].has) == 0 || strcmp(key, pools_keys[i].had) == 0)
			return true;
	return false;
}

static bool take_newest(void *arg, const struct registry_fact *f)
{
	struct question *q = arg;
	const struct conf *conf = q->conf;
	struct learned_address learned;
	struct ip_prefix ip;
	uint8_t len;

	if (strcmp(f->key, "address") == 0 && learned_parse(f->value, &learned) == 0)
		addresses_add(&q->l->pools->learned, &learned.at.addr);
	if (!is_of_pool(f->key) || prefix_parse(f->value, &ip) < 0)
		return true;
	for (size_t i = 0; i < conf->bridges.n; i++) {
		struct cursor *c = cursor_of(q->l->pools, conf->bridges.v[i].name);
		bool v4 = ip_is_v4(&ip.addr);

		if (!pools_contain(&conf->bridges.v[i].pools, &ip.addr, &len) || f->wall_ms < c->wall_ms[v4])
			continue;
		c->wall_ms[v4] = f->wall_ms;
		c->last[v4] = ip.addr;
	}
	return true;
}

void pools_begin(struct launcher *l, const struct conf *conf, struct registry *reg)
{
	struct question q = { .l = l, .conf = conf };
	bool any = false;
	struct err e;

	for (size_t i = 0; i < conf->bridges.n; i++)
		any = any || conf->bridges.v[i].pools.n > 0;
	if (any && reg && !l->pools->begun && registry_learned(reg, take_newest, &q, &e) == 0)
		l->pools->begun = true;
}

void pools_gathered(struct launcher *l)
{
	free(l->pools->learned.v);
	l->pools->learned = (struct addresses){ 0 };
}

static bool recall_fact(struct registry *reg, const char *name, const char *key, struct ip_addr *out)
{
	cleanup_buf struct buf text = { 0 };
	struct ip_prefix p;
	struct err e;

	if (registry_fact(reg, name, key, &text, &e) < 0 || !text.text || prefix_parse(text.text, &p) < 0)
		return false;
	*out = p.addr;
	return true;
}

/* The one of `from` that came in the same way; or what the registry remembers. */
static bool find_known(struct launcher *l, const struct service *from, const char *name, const struct service_ip *ip,
		       struct ip_addr *out)
{
	struct registry *reg = registrar_opened(l);

	for (size_t i = 0; from && i < from->conf->ip.n; i++) {
		if (from->conf->ip.v[i].how != ip->how || !service_ip_known(&from->conf->ip.v[i]))
			continue;
		*out = from->conf->ip.v[i].addr;
		return true;
	}
	return !from && reg && recall_fact(reg, name, key_of(ip), out);
}

void pools_note(struct launcher *l, const char *name, const char *key, const char *value)
{
	struct pools *p = l->pools;
	struct given *g;

	if (p->n_given == p->room_given) {
		p->room_given = MAX(p->room_given * 2, (size_t)16);
		p->given = reallocarray(p->given, p->room_given, sizeof(*p->given));
		if (!p->given)
			abort();
	}
	g = &p->given[p->n_given++];
	g->key = key;
	g->owed = false;
	str_copy(g->name, name);
	str_copy(g->text, value);
}

static void note_given(struct launcher *l, const char *name, const struct service_ip *ip)
{
	char text[ADDR_TEXT_MAX];

	pools_note(l, name, key_of(ip), prefix_format(&ip->prefix, text));
}

bool pools_recall(struct launcher *l, const struct conf *conf, const struct claims *claims, struct service_conf *s,
		  const char *name)
{
	const struct bridge_conf *b = pools_bridge(conf, s);
	const struct service *from = service_by_name(l, name);
	bool whole = true;

	if (pools_known(s))
		return true;
	for (size_t i = 0; i < s->ip.n; i++) {
		struct service_ip *ip = &s->ip.v[i];
		struct ip_addr a;
		uint8_t len;

		if (!service_ip_wanted(ip))
			continue;
		if (!b || !find_known(l, from, name, ip, &a) || ip_is_v4(&a) != ip_is_v4(&ip->addr) ||
		    !pools_contain(&b->pools, &a, &len) || claims_has_address(claims, &a) || is_named(s, &a)) {
			whole = false;
			continue;
		}
		ip->prefix = (struct ip_prefix){ a, len };
		if (strcmp(name, s->name) != 0)
			note_given(l, s->name, ip);
	}
	return whole;
}

/* ---- what it had ---- */

static bool find_former(struct launcher *l, const char *name, const struct service_ip *ip, struct ip_addr *out)
{
	struct registry *reg = registrar_opened(l);

	return reg && (recall_fact(reg, name, keys_of(ip)->has, out) || recall_fact(reg, name, keys_of(ip)->had, out));
}

bool pools_return(struct launcher *l, const struct conf *conf, const struct claims *claims, struct service_conf *s)
{
	struct question q = { l, claims, s, conf };
	const struct bridge_conf *b = pools_bridge(conf, s);

	if (pools_known(s))
		return true;
	look(l);
	for (size_t i = 0; b && i < s->ip.n; i++) {
		struct service_ip *ip = &s->ip.v[i];
		struct ip_addr a;
		uint8_t len;

		if (!service_ip_wanted(ip) || !find_former(l, s->name, ip, &a) || ip_is_v4(&a) != ip_is_v4(&ip->addr) ||
		    !pools_contain(&b->pools, &a, &len) || is_taken(&q, &a))
			continue;
		ip->prefix = (struct ip_prefix){ a, len };
		note_given(l, s->name, ip);
	}
	return pools_known(s);
}

char *pools_explain_other(struct launcher *l, const struct conf *conf, const struct service_conf *s)
{
	const struct bridge_conf *b = pools_bridge(conf, s);
	char was[ADDR_TEXT_MAX], now[ADDR_TEXT_MAX];
	cleanup_buf struct buf text = { 0 };

	for (size_t i = 0; b && i < s->ip.n; i++) {
		const struct service_ip *ip = &s->ip.v[i];
		struct ip_addr a;
		uint8_t len;

		if (ip->how == IP_GIVEN || !service_ip_known(ip) || !find_former(l, s->name, ip, &a) ||
		    ip_equal(&a, &ip->addr))
			continue;
		buf_addf(&text, "%sit had %s, which is %s: it is given %s", text.n > 0 ? "; " : "", ip_format(&a, was),
			 pools_contain(&b->pools, &a, &len) ? "taken" : "in no pool of its bridge any more",
			 ip_format(&ip->addr, now));
	}
	return text.text ? strdup(text.text) : NULL;
}

/* ---- giving ---- */

struct users {
	const struct range_list *pools;
	bool v4;
	size_t n;
	struct buf names;
};

static void add_user(void *arg, const struct service_conf *s)
{
	struct users *u = arg;
	uint8_t len;

	for (size_t i = 0; i < s->ip.n; i++) {
		if (ip_is_v4(&s->ip.v[i].addr) != u->v4 || !pools_contain(u->pools, &s->ip.v[i].addr, &len))
			continue;
		if (++u->n <= NAMES_SHOWN)
			buf_addf(&u->names, "%s%s", u->n > 1 ? ", " : "", s->name);
	}
}

/* "there is none left": of which pool, and who has them. */
static void explain(const struct claims *claims, const struct bridge_conf *b, size_t nth, bool v4,
		    struct buf *mistakes)
{
	struct users u = { .pools = &b->pools, .v4 = v4 };
	char text[VALUE_TEXT_MAX];
	const char *between = "";

	claims_each(claims, add_user, &u);
	buf_addf(mistakes, "ip[%zu]: the pools of bridge \"%s\" (", nth, b->name);
	for (size_t i = 0; i < b->pools.n; i++) {
		if (ip_is_v4(&b->pools.v[i].first) != v4)
			continue;
		buf_addf(mistakes, "%s%s", between, range_format(&b->pools.v[i], text));
		between = ", ";
	}
	buf_addf(mistakes, ") have no address left: services have %zu (%s%s), and what else there is are this host's, "
			   "gateways', or in use elsewhere: make the pools larger, or remove a service\n",
		 u.n, u.names.text ? u.names.text : "", u.n > NAMES_SHOWN ? ", ..." : "");
	buf_free(&u.names);
}

bool pools_give(struct launcher *l, const struct conf *conf, const struct claims *claims, struct service_conf *s,
		struct buf *mistakes)
{
	struct question q = { l, claims, s, conf };
	const struct bridge_conf *b = pools_bridge(conf, s);
	struct registry *reg = registrar_opened(l);

	if (pools_known(s))
		return true;
	if (!reg || !b) {
		buf_addf(mistakes, "ip: without the registry nobody knows which addresses are free\n");
		return false;
	}
	pools_return(l, conf, claims, s);
	for (size_t i = 0; i < s->ip.n; i++) {
		struct service_ip *ip = &s->ip.v[i];
		bool v4 = ip_is_v4(&ip->addr);
		struct cursor *c = cursor_of(l->pools, b->name);
		struct ip_prefix fresh = { 0 };

		if (!service_ip_wanted(ip))
			continue;
		if (!pools_next(&b->pools, v4, &c->last[v4], is_taken, &q, &fresh)) {
			explain(claims, b, i, v4, mistakes);
			return false;
		}
		c->last[v4] = fresh.addr;
		ip->prefix = fresh;
		note_given(l, s->name, ip);
	}
	return true;
}

static void keep_first(struct pools *p, size_t n)
{
	p->n_given = n;
	if (n > 0)
		return;
	free(p->given);
	p->given = NULL;
	p->room_given = 0;
}

int pools_keep(struct launcher *l, struct err *e)
{
	struct pools *p = l->pools;
	struct registry *reg = registrar_opened(l);
	struct registry_fact *facts;
	int error;

	if (p->n_given == 0)
		return 0;
	if (!reg)
		return err_set(e, -ENODEV, "the registry is not there");
	facts = calloc(p->n_given, sizeof(*facts));
	if (!facts)
		abort();
	for (size_t i = 0; i < p->n_given; i++)
		facts[i] = (struct registry_fact){ p->given[i].name, p->given[i].key, p->given[i].text, clock_wall_ms() };
	error = registry_learn(reg, facts, p->n_given, e);
	free(facts);
	if (error == 0)
		keep_first(p, 0);
	return error;
}

void pools_owe(struct launcher *l)
{
	for (size_t i = 0; i < l->pools->n_given; i++)
		l->pools->given[i].owed = true;
}

/* What is owed came first. */
void pools_drop(struct launcher *l)
{
	size_t n = 0;

	while (n < l->pools->n_given && l->pools->given[n].owed)
		n++;
	keep_first(l->pools, n);
}

/* ---- in use elsewhere ---- */

static void note_bad(struct pools *p, const struct ip_addr *a)
{
	struct bad *b = &p->bad[p->n_bad < BAD_MAX ? p->n_bad++ : (size_t)a->b[15] % BAD_MAX];

	*b = (struct bad){ *a, clock_now_ms() + BAD_MS };
}

static bool came_from_pool(const struct service *s, const struct ip_addr *a, size_t *nth)
{
	for (*nth = 0; *nth < s->conf->ip.n; ++*nth)
		if (s->conf->ip.v[*nth].how != IP_GIVEN && ip_equal(a, &s->conf->ip.v[*nth].addr))
			return true;
	return false;
}

/* As if its record had been changed: what it says of it is the same, but for the address. */
static bool readdress(struct service *s, const struct ip_addr *taken, struct buf *why)
{
	struct launcher *l = s->l;
	struct claims *claims = registrar_claims(l);
	cleanup_buf struct buf text = { 0 };
	struct service_conf *fresh;
	struct conf_ref *ref;
	struct err e = { 0 };

	conf_print_service(s->conf, &text);
	fresh = text.text ? conf_parse_service(l->conf, text.text, text.n, NULL, why) : NULL;
	if (!fresh)
		return false;
	fresh->line = s->conf->line;
	for (size_t i = 0; i < fresh->ip.n && i < s->conf->ip.n; i++)
		if (!ip_equal(&s->conf->ip.v[i].addr, taken))
			fresh->ip.v[i] = s->conf->ip.v[i];
	claims_remove(claims, s->conf);
	if (!pools_give(l, l->conf, claims, fresh, why) || pools_keep(l, &e) < 0) {
		if (e.code < 0)
			buf_addf(why, "%s\n", e.text);
		pools_drop(l);
		if (!claims_add(claims, s->conf))
			abort();
		conf_free_service(fresh);
		return false;
	}
	ref = conf_ref_new(fresh);
	ref->instance_of = s->ref->instance_of ? strdup(s->ref->instance_of) : NULL;
	if ((s->ref->instance_of && !ref->instance_of) || !claims_add(claims, ref->service))
		abort();
	reload_put(l, ref, ref->service, true);
	conf_unref(ref);
	registrar_tell(l);
	return true;
}

bool pools_move(struct service *s, const struct ip_addr *taken)
{
	cleanup_buf struct buf why = { 0 }, text = { 0 };
	char who[MSG_VALUE_MAX], now[ADDR_TEXT_MAX];
	size_t nth;

	if (!came_from_pool(s, taken, &nth) || state_counts(s->state) || s->stop_under_way || s->removed)
		return false;
	hold_conflict_text(s, who, sizeof(who));
	note_bad(s->l->pools, taken);
	pools_look_again(s->l);
	if (!readdress(s, taken, &why)) {
		log_warn("service=%s its address is in use elsewhere, and there is no other: %.*s", s->conf->name,
			 (int)strcspn(why.text ? why.text : "", "\n"), why.text ? why.text : "");
		return false;
	}
	buf_addf(&text, "another machine uses %s: it is given %s", who, ip_format(&s->conf->ip.v[nth].addr, now));
	log_warn("service=%s %s", s->conf->name, text.text);
	events_readdressed(s, text.text);
	return true;
}
