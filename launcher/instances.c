/* Theory of operation
 *
 * A template is a service whose one name is a wildcard.  It has no VM and no address, and is always off.  dns lets
 * a query for a name that it stands for wait, and says so (MSG_WAKE with a label).  Then an instance is made: a
 * service with the template's record, but a name of its own, the name that was asked for, and an address of the
 * pool.  From there on it is a service like any other, which dns has in its next tables, signed if the zone is; the
 * query finds it there, and the wake that made it has begun its boot meanwhile.
 *
 *	asked for	made, woken; further queries for it find it
 *	stopped		kept for instance_ttl, with its address: clients that have that come back to the same VM
 *	... over	removed wholly: from dns, from the registry, its address, its files
 *
 * An instance is on the disk before it is in force, as something that was learned ("instance": template and label,
 * beside "auto", its address; pools.c), so that the next launcher finds its VM again, and never gives its address to
 * another.  It is no revision: history is for what operators do.  It lives as long as its template; without that, or
 * when another service has got its name, it is taken out as any service is that is configured no more.
 *
 * Who asks for names costs us VMs, addresses and disk writes, so that he is asked what every query that wakes is
 * asked (wake_dns.c), of the template: wake_dns, and the allowances of the network, of the template, and of all who
 * are not verified.  Beyond that there is max_instances; and those made for clients that may be anybody, and that
 * nobody has come to, are at most half of these, so that forged queries never take the last one from those who show
 * who they are.
 *
 * Refused: addresses that dns makes up for a name (a zone that is signed needs records, and the launcher is the one
 * who knows what is free), and instances without an entry in the registry.
 */
#include "launcher/instances.h"

#include <limits.h>

#include "base/json.h"
#include "launcher/pools.h"
#include "launcher/registrar.h"

enum { LOOK_MS = 1000, NAME_MAX_BYTES = 40, HASH_DIGITS = 8 };

const char *instances_template(const struct service *s) { return s->ref->instance_of ? s->ref->instance_of : ""; }

static bool is_of(const struct service *s, const struct service *template)
{
	return !s->removed && strcmp(instances_template(s), template->conf->name) == 0;
}

void instances_follow(struct service *s, bool there)
{
	bool is_made = there && s->ref->instance_of;

	if (is_made && !s->is_made)
		LIST_INSERT_HEAD(&s->l->made, s, made);
	else if (!is_made && s->is_made)
		LIST_REMOVE(s, made);
	s->is_made = is_made;
}

size_t instances_count(const struct service *template)
{
	const struct service *s;
	size_t n = 0;

	LIST_FOREACH(s, &template->l->made, made)
		n += is_of(s, template);
	return n;
}

/* Made for somebody who may be anybody, and nobody has come. */
static bool is_unproven(const struct service *s) { return !s->proven && !s->trusted && !s->came; }

static size_t count_unproven(const struct service *template)
{
	const struct service *s;
	size_t n = 0;

	LIST_FOREACH(s, &template->l->made, made)
		n += is_of(s, template) && is_unproven(s);
	return n;
}

/* ---- names ---- */

static bool label_ok(const char *label)
{
	size_t n = strlen(label);

	for (size_t i = 0; i < n; i++)
		if (!((label[i] >= 'a' && label[i] <= 'z') || (label[i] >= '0' && label[i] <= '9') || label[i] == '-'))
			return false;
	return n > 0 && n < MSG_NAME_MAX && label[0] != '-' && label[n - 1] != '-';
}

/* "vm-a"; where that is too long, or another service's, it ends with a hash of both. */
static void plain_name(const char *template, const char *label, char *out, size_t size)
{
	snprintf(out, size, "%s-%s", template, label);
}

static void hashed_name(const char *template, const char *label, char *out, size_t size)
{
	char whole[2 * MSG_NAME_MAX];
	uint64_t h = 0xcbf29ce484222325;
	size_t n;

	snprintf(whole, sizeof(whole), "%s-%s", template, label);
	n = MIN(strlen(whole), (size_t)NAME_MAX_BYTES - HASH_DIGITS - 1);
	while (n > 0 && whole[n - 1] == '-')
		n--;
	for (const char *c = template; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x100000001b3;
	h = (h ^ '/') * 0x100000001b3;
	for (const char *c = label; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x100000001b3;
	snprintf(out, size, "%.*s-%08x", (int)n, whole, (unsigned)(h ^ h >> 32));
}

static void host_of(const struct service_conf *template, const char *label, char *out, size_t size)
{
	snprintf(out, size, "%s%s", label, template->dns.v[0] + 1);
}

static struct service *find(const struct service *template, const char *label)
{
	char names[2][2 * MSG_NAME_MAX], host[MSG_DOMAIN_NAME_MAX + MSG_NAME_MAX];

	plain_name(template->conf->name, label, names[0], sizeof(names[0]));
	hashed_name(template->conf->name, label, names[1], sizeof(names[1]));
	host_of(template->conf, label, host, sizeof(host));
	for (unsigned i = 0; i < 2; i++) {
		struct service *s = service_by_name(template->l, names[i]);

		if (s && is_of(s, template) && strcmp(s->conf->dns.v[0], host) == 0)
			return s;
	}
	return NULL;
}

/* Also not that of one that is removed and still there. */
static bool choose_name(const struct service *template, const char *label, char *out, size_t size)
{
	plain_name(template->conf->name, label, out, size);
	if (strlen(out) > NAME_MAX_BYTES || service_by_name_any(template->l, out))
		hashed_name(template->conf->name, label, out, size);
	return !service_by_name_any(template->l, out);
}

const char *instances_split(char *text)
{
	char *space = strchr(text, ' ');

	if (!space || !label_ok(space + 1))
		return NULL;
	*space = '\0';
	return space + 1;
}

/* ---- its record ---- */

struct service_conf *instances_conf(const struct conf *conf, const struct service_conf *template, const char *label,
				    const char *name, struct buf *why)
{
	char host[MSG_DOMAIN_NAME_MAX + MSG_NAME_MAX];
	cleanup_buf struct buf whole = { 0 }, own = { 0 }, text = { 0 };
	struct json_writer w = { .out = &own }, to = { .out = &text };
	struct json *record, *change;
	struct service_conf *s = NULL;
	struct json_place at;
	struct err e;

	host_of(template, label, host, sizeof(host));
	conf_print_service(template, &whole);
	json_open(&w, NULL, '{');
	json_put_string(&w, "name", name);
	json_open(&w, "dns", '[');
	json_put_string(&w, NULL, host);
	json_close(&w, ']');
	json_put_raw(&w, "max_instances", "null");
	json_put_raw(&w, "instance_ttl", "null");
	json_close(&w, '}');
	if (whole.error || own.error)
		abort();
	record = json_parse(whole.text, whole.n, &at, &e);
	change = json_parse(own.text, own.n, &at, &e);
	if (record && change) {
		json_put_patched(&to, NULL, json_root(record), json_root(change));
		if (!text.error)
			s = conf_parse_service(conf, text.text, text.n, NULL, why);
	}
	json_free(record);
	json_free(change);
	return s;
}

/* ---- making one ---- */

static size_t count_services(const struct launcher *l)
{
	const struct service *s;
	size_t n = 0;

	FOR_EACH_SERVICE(l, s)
		n++;
	return n;
}

/* It is on the disk, and in force. */
static struct service *put(struct service *template, const char *label, struct service_conf *conf, struct err *e)
{
	struct launcher *l = template->l;
	struct claims *claims = registrar_claims(l);
	cleanup_buf struct buf why = { 0 };
	char fact[2 * MSG_NAME_MAX];
	struct conf_ref *ref;

	snprintf(fact, sizeof(fact), "%s %s", template->conf->name, label);
	pools_look_again(l);
	if (!pools_give(l, l->conf, claims, conf, &why) || !claims_fit(claims, conf, &why)) {
		pools_drop(l);
		conf_free_service(conf);
		err_set(e, -EADDRNOTAVAIL, "%.*s", (int)strcspn(why.text, "\n"), why.text);
		return NULL;
	}
	pools_note(l, conf->name, "instance", fact);
	if (pools_keep(l, e) < 0) {
		pools_drop(l);
		conf_free_service(conf);
		return NULL;
	}
	ref = conf_ref_new(conf);
	ref->instance_of = strdup(template->conf->name);
	if (!ref->instance_of || !claims_add(claims, ref->service))
		abort();
	reload_put(l, ref, ref->service, true);
	conf_unref(ref);
	if (!synproxy_is_current(l))
		synproxy_snapshot(l);
	registrar_tell(l);
	return service_by_name(l, ref->service->name);
}

static struct service *make(struct service *template, const char *label, struct err *e)
{
	cleanup_buf struct buf why = { 0 };
	char name[2 * MSG_NAME_MAX];
	struct service_conf *conf;
	struct service *s;

	if (count_services(template->l) >= SLOTS_MAX) {
		err_set(e, -ENOSPC, "there can be no more than %d services", SLOTS_MAX);
		return NULL;
	}
	if (!choose_name(template, label, name, sizeof(name))) {
		err_set(e, -EEXIST, "another service has its name");
		return NULL;
	}
	conf = instances_conf(template->l->conf, template->conf, label, name, &why);
	if (!conf) {
		err_set(e, -EINVAL, "%.*s", why.text ? (int)strcspn(why.text, "\n") : 0, why.text ? why.text : "");
		return NULL;
	}
	s = put(template, label, conf, e);
	if (s)
		instances_begin(template->l);
	return s;
}

/* ---- who may have one ---- */

static void say_no(struct service *template, const struct msg_wake *m, enum refused_how how, const char *why)
{
	template->wakers.refused++;
	trace_refused(template->l->trace, CAUSE_DNS);
	note_set(&template->last_error, "%s", why);
	log_limited(LOG_WARN, "service=%s no instance is made for \"%s\": %s", template->conf->name, m->label, why);
	if (m->token)
		dns_refuse(template, m->token, how, why);
}

/* False, with an answer given, when no (further) instance may be made for this client. */
static bool may_make(struct service *template, const struct msg_wake *m)
{
	uint32_t most = template->conf->max_instances;
	bool unverified = waker_of(m) == WAKER_UNVERIFIED;
	char why[MSG_TEXT_MAX];
	struct err e;

	if (instances_count(template) >= most) {
		snprintf(why, sizeof(why), "there are %u already (max_instances)", most);
		say_no(template, m, REFUSED_FULL, why);
	} else if (unverified && count_unproven(template) >= MAX(most / 2, 1u)) {
		say_no(template, m, REFUSED_PROVE, "clients that are not verified have half of max_instances, and nobody has "
						   "come to these");
	} else if (!wakers_take(template, m, &e)) {
		say_no(template, m, unverified ? REFUSED_PROVE : REFUSED_FAIL, e.text);
	} else {
		return true;
	}
	return false;
}

void instances_wake(struct service *template, const struct msg_wake *m)
{
	struct msg_wake own = *m;
	struct service *s;
	struct err e;

	if (!label_ok(m->label))
		return;
	s = find(template, m->label);
	if (!s && !may_make(template, m))
		return;
	own.label[0] = '\0';
	own.token = 0; /* the query waits for the template: the tables that have the instance answer it */
	if (s) {
		own.svc = s->index;
		own.gen = s->gen;
		wake_dns_heard(template->l, &own);
		return;
	}
	s = make(template, m->label, &e);
	if (!s) {
		say_no(template, m, REFUSED_FAIL, e.text);
		return;
	}
	own.svc = s->index;
	own.gen = s->gen;
	s->proven = m->verified;
	template->wakes++;
	note_clear(&template->last_error);
	log_info("service=%s is an instance of %s, made for %s", s->conf->name, template->conf->name, s->conf->dns.v[0]);
	wake_paid(s, &own);
}

/* ---- ending one ---- */

/* Or nobody has told yet: what is off after a start of ours may run. */
static bool has_vm(const struct service *s)
{
	return !hypervisor_ready(s->hv) || (state_counts(s->state) && s->state != STATE_SUSPENDED) || state_is_starting(s->state) || s->stop_under_way ||
	       s->queued || s->state == STATE_STOPPING;
}

static uint64_t ttl_of(const struct service *s)
{
	const struct service *template = service_by_name(s->l, instances_template(s));

	return template ? template->conf->instance_ttl_ms : 0;
}

uint64_t instances_left_ms(const struct service *s)
{
	uint64_t over = s->since_ms + ttl_of(s), now = clock_now_ms();

	if (has_vm(s) || order_keeps_up(s))
		return UINT64_MAX;
	return over > now ? over - now : 0;
}

static void end(struct service *s)
{
	struct launcher *l = s->l;
	struct service *template = service_by_name(l, instances_template(s));

	log_info("service=%s is over: nobody used it for instance_ttl", s->conf->name);
	if (template)
		note_clear(&template->last_error); /* there is room again */
	registrar_forget(l, s->conf->name);
	claims_remove(registrar_claims(l), s->conf);
	reload_remove(s);
	registrar_tell(l);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct launcher *l = arg;
	struct service *s;

	(void)fd;
	(void)what;
	FOR_EACH_SERVICE(l, s) {
		if (!s->ref->instance_of || s->removed)
			continue;
		s->proven = s->proven || s->trusted || (s->state == STATE_UP && use_has_come(s));
		if (instances_left_ms(s) == 0)
			end(s);
	}
	instances_begin(l);
}

void instances_begin(struct launcher *l)
{
	struct timeval tv = clock_timeval_ms(LOOK_MS);

	if (!l->instances)
		l->instances = evtimer_new(l->base, on_look, l);
	if (!l->instances)
		abort();
	if (!LIST_EMPTY(&l->made) && !evtimer_pending(l->instances, NULL))
		event_add(l->instances, &tv);
}

static void forget_files(const struct launcher *l, const char *service)
{
	static const struct {
		const char *before, *after;
	} files[] = {
		{ "services/", "" },
		{ "console/jitsu-", ".log" },
		{ "console/jitsu-", ".sock" },
		{ "console/jitsu-", ".talk" },
		{ "qemu/log/qemu/jitsu-", ".log" },
	};
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s%s%s", l->conf->run_dir, files[i].before, service, files[i].after);
		if (unlink(path) < 0 && errno != ENOENT)
			log_warn("service=%s %s cannot be removed: %s", service, path, strerror(errno));
	}
}

void instances_freed(const struct service *s)
{
	hypervisor_end_console(s);
	forget_files(s->l, s->conf->name);
}

static void forget_if_gone(void *arg, const char *service, bool has_vm)
{
	struct launcher *l = arg;

	if (has_vm || service_by_name_any(l, service))
		return;
	log_debug("service=%s is gone, and has no VM: what was left of its files is removed", service);
	forget_files(l, service);
}

void instances_sweep(struct launcher *l)
{
	if (registrar_opened(l))
		run_state_each(l->conf->run_dir, forget_if_gone, l);
}
