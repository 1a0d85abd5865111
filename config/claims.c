/* A hash table of texts, each of a kind ("ip", "mac" ...) and with its owner.  Equal texts of one kind
 * stand side by side in a chain; a disk that is only read has any number of owners. */
#include "config/claims.h"

#include <ctype.h>

enum { BUCKETS_MIN = 64 };

enum kind { KIND_NAME, KIND_HOST, KIND_IP, KIND_MAC, KIND_DOMAIN, KIND_DISK };

struct claim {
	struct claim *next;
	const struct service_conf *owner; /* NULL: a bridge */
	uint64_t hash;
	uint8_t kind;
	bool shared;
	char key[];
};

struct claims {
	struct claim **buckets;
	size_t n_buckets, n, n_services;
};

/* ---- what a service claims ---- */

/* One of them: `path` is its option.  False ends the walk. */
typedef bool claim_fn(void *arg, enum kind kind, const char *path, const char *key, bool shared);

static bool each_host(const struct service_conf *s, claim_fn *fn, void *arg)
{
	char path[48], key[MSG_DOMAIN_NAME_MAX];

	for (size_t i = 0; i < s->dns.n; i++) {
		str_copy(key, s->dns.v[i]);
		for (char *c = key; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		snprintf(path, sizeof(path), "dns[%zu]", i);
		if (!fn(arg, KIND_HOST, path, key, false))
			return false;
	}
	return true;
}

static bool each_address(const struct service_conf *s, claim_fn *fn, void *arg)
{
	char path[48], key[ADDR_TEXT_MAX];

	for (size_t i = 0; i < s->ip.n; i++) {
		if (!service_ip_known(&s->ip.v[i]))
			continue;
		snprintf(path, sizeof(path), "ip[%zu]", i);
		if (!fn(arg, KIND_IP, path, ip_format(&s->ip.v[i].addr, key), false))
			return false;
	}
	return true;
}

static bool each_nic(const struct machine_conf *m, claim_fn *fn, void *arg)
{
	char path[48], key[MAC_TEXT_MAX];

	for (size_t i = 0; i < m->nics.n; i++) {
		snprintf(path, sizeof(path), "machine.nics[%zu].mac", i);
		if (!mac_is_zero(&m->nics.v[i].mac) && !fn(arg, KIND_MAC, path, mac_format(&m->nics.v[i].mac, key), false))
			return false;
	}
	return true;
}

static bool each_disk(const struct machine_conf *m, claim_fn *fn, void *arg)
{
	char path[48];

	for (size_t i = 0; i < m->disks.n; i++) {
		snprintf(path, sizeof(path), "machine.disks[%zu].path", i);
		if (!fn(arg, KIND_DISK, path, m->disks.v[i].path, m->disks.v[i].read_only))
			return false;
	}
	return true;
}

static bool each_claim(const struct service_conf *s, claim_fn *fn, void *arg)
{
	char domain[MSG_NAME_MAX * 3 + 1];

	snprintf(domain, sizeof(domain), "%s/%s", s->machine.hypervisor, s->machine.domain);
	return fn(arg, KIND_NAME, "name", s->name, false) && each_host(s, fn, arg) && each_address(s, fn, arg) &&
	       (!s->machine.domain[0] || fn(arg, KIND_DOMAIN, "machine.domain", domain, false)) &&
	       (!s->machine.xl_config[0] || fn(arg, KIND_DOMAIN, "machine.xl_config", s->machine.xl_config, false)) &&
	       each_nic(&s->machine, fn, arg) && each_disk(&s->machine, fn, arg);
}

/* ---- the table ---- */

/* FNV-1a: administrators choose the texts, so that nobody gains by making them meet. */
static uint64_t hash_of(enum kind kind, const char *key)
{
	uint64_t h = 0xcbf29ce484222325 + (uint64_t)kind;

	for (; *key; key++)
		h = (h ^ (uint8_t)*key) * 0x100000001b3;
	return h;
}

static struct claim **bucket(const struct claims *c, uint64_t hash) { return &c->buckets[hash & (c->n_buckets - 1)]; }

static bool grow(struct claims *c)
{
	struct claims more = *c;

	more.n_buckets = c->n_buckets * 2;
	more.buckets = calloc(more.n_buckets, sizeof(*more.buckets));
	if (!more.buckets)
		return false;
	for (size_t i = 0; i < c->n_buckets; i++) {
		for (struct claim *cl = c->buckets[i], *next; cl; cl = next) {
			struct claim **to = bucket(&more, cl->hash);

			next = cl->next;
			cl->next = *to;
			*to = cl;
		}
	}
	free(c->buckets);
	*c = more;
	return true;
}

static bool put(struct claims *c, const struct service_conf *owner, enum kind kind, const char *key, bool shared)
{
	size_t n = strlen(key) + 1;
	struct claim *cl, **to;

	if (c->n >= c->n_buckets && !grow(c))
		return false;
	cl = malloc(sizeof(*cl) + n);
	if (!cl)
		return false;
	*cl = (struct claim){ .owner = owner, .hash = hash_of(kind, key), .kind = (uint8_t)kind, .shared = shared };
	memcpy(cl->key, key, n);
	to = bucket(c, cl->hash);
	cl->next = *to;
	*to = cl;
	c->n++;
	return true;
}

static bool is_of(const struct claim *cl, uint64_t hash, enum kind kind, const char *key)
{
	return cl->hash == hash && cl->kind == kind && strcmp(cl->key, key) == 0;
}

/* ---- adding and removing ---- */

struct walk {
	struct claims *c;
	const struct service_conf *s;
};

static bool add_one(void *arg, enum kind kind, const char *path, const char *key, bool shared)
{
	struct walk *w = arg;

	(void)path;
	return put(w->c, w->s, kind, key, shared);
}

static bool remove_one(void *arg, enum kind kind, const char *path, const char *key, bool shared)
{
	struct walk *w = arg;
	uint64_t hash = hash_of(kind, key);

	(void)path;
	(void)shared;
	for (struct claim **at = bucket(w->c, hash); *at; at = &(*at)->next) {
		struct claim *cl = *at;

		if (cl->owner != w->s || !is_of(cl, hash, kind, key))
			continue;
		*at = cl->next;
		free(cl);
		w->c->n--;
		break;
	}
	return true;
}

bool claims_add(struct claims *c, const struct service_conf *s)
{
	struct walk w = { c, s };

	if (each_claim(s, add_one, &w)) {
		c->n_services++;
		return true;
	}
	each_claim(s, remove_one, &w);
	return false;
}

void claims_remove(struct claims *c, const struct service_conf *s)
{
	struct walk w = { c, s };

	each_claim(s, remove_one, &w);
	c->n_services--;
}

bool claims_add_bridges(struct claims *c, const struct conf *conf)
{
	char key[ADDR_TEXT_MAX];

	for (size_t i = 0; i < conf->bridges.n; i++) {
		const struct bridge_conf *b = &conf->bridges.v[i];

		if (!ip_is_zero(&b->probe_ip) && !put(c, NULL, KIND_IP, ip_format(&b->probe_ip, key), true))
			return false;
		if (!ip_is_zero(&b->probe_ip6) && !put(c, NULL, KIND_IP, ip_format(&b->probe_ip6, key), true))
			return false;
	}
	return true;
}

/* ---- asking ---- */

struct fit {
	const struct claims *c;
	const struct service_conf *s;
	struct buf *mistakes;
	bool fits;
};

static void say_taken(struct fit *f, const char *path, const struct claim *by)
{
	const struct service_conf *owner = by->owner;

	if (!owner)
		buf_addf(f->mistakes, "%s: \"%s\" is the address that a bridge is probed from: take another one\n", path,
			 by->key);
	else if (by->kind == KIND_NAME)
		buf_addf(f->mistakes, "%s: there is a service \"%s\" already%s: take another name\n", path, by->key,
			 owner->line ? ", in the configuration file" : "");
	else
		buf_addf(f->mistakes, "%s: \"%s\" is used already by service \"%s\"%s: take another one\n", path, by->key,
			 owner->name, owner->line ? ", in the configuration file" : "");
}

static bool fit_one(void *arg, enum kind kind, const char *path, const char *key, bool shared)
{
	struct fit *f = arg;
	uint64_t hash = hash_of(kind, key);

	for (const struct claim *cl = *bucket(f->c, hash); cl; cl = cl->next) {
		if (cl->owner == f->s || !is_of(cl, hash, kind, key) || (shared && cl->shared))
			continue;
		f->fits = false;
		say_taken(f, path, cl);
		break;
	}
	return true;
}

/* A service that has something twice. */
struct own {
	enum kind kind;
	const char *path, *key;
	unsigned n;
	struct fit *f;
};

static bool count_own(void *arg, enum kind kind, const char *path, const char *key, bool shared)
{
	struct own *o = arg;

	if (kind != o->kind || strcmp(key, o->key) != 0)
		return true;
	if (o->n++ > 0 && !shared && strcmp(path, o->path) == 0) {
		o->f->fits = false;
		buf_addf(o->f->mistakes, "%s: \"%s\" is there twice\n", path, key);
	}
	return true;
}

static bool own_one(void *arg, enum kind kind, const char *path, const char *key, bool shared)
{
	struct fit *f = arg;
	struct own o = { .kind = kind, .path = path, .key = key, .f = f };

	(void)shared;
	return each_claim(f->s, count_own, &o);
}

bool claims_fit(const struct claims *c, const struct service_conf *s, struct buf *mistakes)
{
	struct fit f = { .c = c, .s = s, .mistakes = mistakes, .fits = true };

	each_claim(s, fit_one, &f);
	each_claim(s, own_one, &f);
	return f.fits;
}

const struct service_conf *claims_find(const struct claims *c, const char *name)
{
	uint64_t hash = hash_of(KIND_NAME, name);

	for (const struct claim *cl = *bucket(c, hash); cl; cl = cl->next) {
		if (is_of(cl, hash, KIND_NAME, name))
			return cl->owner;
	}
	return NULL;
}

bool claims_find_address(const struct claims *c, const struct ip_addr *a, const struct service_conf **owner)
{
	char key[ADDR_TEXT_MAX];
	uint64_t hash = hash_of(KIND_IP, ip_format(a, key));

	for (const struct claim *cl = *bucket(c, hash); cl; cl = cl->next) {
		if (!is_of(cl, hash, KIND_IP, key))
			continue;
		*owner = cl->owner;
		return true;
	}
	return false;
}

bool claims_has_address(const struct claims *c, const struct ip_addr *a)
{
	const struct service_conf *owner;

	return claims_find_address(c, a, &owner);
}

void claims_each(const struct claims *c, void (*fn)(void *arg, const struct service_conf *s), void *arg)
{
	for (size_t i = 0; i < c->n_buckets; i++)
		for (const struct claim *cl = c->buckets[i]; cl; cl = cl->next)
			if (cl->kind == KIND_NAME && cl->owner)
				fn(arg, cl->owner);
}

size_t claims_count(const struct claims *c) { return c->n_services; }

struct claims *claims_new(void)
{
	struct claims *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->n_buckets = BUCKETS_MIN;
	c->buckets = calloc(c->n_buckets, sizeof(*c->buckets));
	if (c->buckets)
		return c;
	free(c);
	return NULL;
}

void claims_free(struct claims *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_buckets; i++) {
		for (struct claim *cl = c->buckets[i], *next; cl; cl = next) {
			next = cl->next;
			free(cl);
		}
	}
	free(c->buckets);
	free(c);
}
