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
#include "launcher/registrar_internal.h"

#include <limits.h>
#include <malloc.h>

#include "launcher/zone_files.h"

enum {
	TELL_MS = 20,
	TELL_CALM_MS = 100,
	TELL_SHARE = 2,
	AGAIN_MS = 5,
	FORGET_MS = 1000,
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
	l->registrar->trim |= v->n > REGISTRAR_MANY;
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

void registrar_begin(struct launcher *l)
{
	struct timeval tv = clock_timeval_ms(FORGET_MS);
	struct registrar *r = l->registrar;
	struct err e;

	if (!r->registry)
		return;
	event_add(r->sweep, &tv);
	if (registry_each(r->registry, REGISTRY_ORDER, "", set_order, l, &e) < 0 ||
	    registrar_recall(l, &e) < 0)
		log_error("%s", e.text);
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

void registrar_tell_calmly(struct launcher *l) { tell_later(l, TELL_CALM_MS); }

/* ---- records ---- */

/* Each line with the service before it. */
void registrar_add_lines(struct buf *out, const char *name, const struct buf *lines)
{
	for (const char *line = lines->text ? lines->text : ""; *line;) {
		size_t n = strcspn(line, "\n");

		buf_addf(out, "%s%s%s%.*s\n", name ? "service \"" : "", name ? name : "", name ? "\": " : "", (int)n, line);
		line += n + (line[n] == '\n');
	}
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
	registrar_on_learn(-1, 0, l);
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
	r->learn = evtimer_new(l->base, registrar_on_learn, l);
	r->sweep = evtimer_new(l->base, registrar_on_sweep, l);
	if (!r->claims || !r->tell || !r->learn || !r->sweep)
		abort();
	return r;
}
