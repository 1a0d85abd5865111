/* What dns is told: a whole snapshot whenever its channel or the configuration is new, and each
 * change of a service's state, or of whether its clients are held, on which `answer: auto` depends.
 *
 * After a restart of the launcher dns goes on with its old tables.  The new snapshot is held back
 * until it is known what runs (at most SNAPSHOT_LATE_MS), so that a service that is up is not
 * shown as off for a moment, and clients wait for nothing.
 */
#include "launcher/dnssec.h"
#include "launcher/launcher.h"
#include "launcher/metrics.h"
#include "launcher/registrar.h"
#include "launcher/secondaries.h"
#include "launcher/zone_files.h"

enum { SNAPSHOT_LATE_MS = 700, BEHIND_MS = 10000, ZONE_REFRESH_S = 3600, ZONE_RETRY_S = 600, ZONE_EXPIRE_S = 604800 };

static void copy_names(struct msg_domain_name *to, uint16_t *n, const struct string_list *from)
{
	*n = 0;
	for (size_t i = 0; i < from->n && i < MSG_LIST_MAX; i++, (*n)++)
		str_copy(to[i].text, from->v[i]);
}

static void send_zone(struct launcher *l, const struct zone_conf *z)
{
	struct msg_dns_zone m = {
		.serial = zone_files_serial(l->zone_files, z->name),
		.refresh_s = ZONE_REFRESH_S,
		.retry_s = ZONE_RETRY_S,
		.expire_s = ZONE_EXPIRE_S,
		.minimum_s = (uint32_t)(z->negative_ttl_ms / 1000),
		.ttl_s = (uint32_t)(z->ttl_ms / 1000),
	};

	str_copy(m.name, z->name);
	str_copy(m.hostmaster, z->hostmaster);
	copy_names(m.ns, &m.n_ns, &z->ns);
	ipc_send(l->dns, MSG_DNS_ZONE, &m);
}

static void send_zone_file(struct launcher *l, const struct zone_conf *z)
{
	struct msg_dns_zone_file m = { 0 };
	cleanup_close int fd = zone_files_open(l->zone_files, z->name, &m.lenient);

	if (fd < 0)
		return;
	str_copy(m.zone, z->name);
	str_copy(m.path, z->file);
	ipc_send_fd(l->dns, MSG_DNS_ZONE_FILE, &m, fd);
}

enum answer_when dns_answer_when(const struct service *s)
{
	enum answer_when when = (enum answer_when)s->conf->answer;

	if (s->conf->answer == ANSWER_AUTO)
		when = holds_now(s) || s->conf->wake_dns == WAKE_DNS_OFF ? ANSWER_AT_ONCE : ANSWER_READY;
	/* whoever has the address and may not wake it would come to nothing */
	if (when == ANSWER_AT_ONCE && s->conf->wake_dns == WAKE_DNS_VERIFIED && !holds_now(s))
		when = ANSWER_STARTED;
	/* nor is an address given that may be another one by now */
	return holds_now(s) || learning_is_sure(s) ? when : ANSWER_READY;
}

static void send_service(struct launcher *l, const struct service *s)
{
	const struct service_conf *c = s->conf;
	struct msg_dns_service m = {
		.svc = s->index,
		.gen = s->gen,
		.state = (uint8_t)s->state,
		.answer = (uint8_t)dns_answer_when(s),
		.wake_dns = (uint8_t)c->wake_dns,
		.unknown = learning_is_unknown(s),
		.ttl_s = (uint32_t)(c->ttl_ms / 1000),
		.ttl_down_s = (uint32_t)(c->ttl_down_ms / 1000),
		.max_hold_ms = (uint32_t)MIN(c->max_hold_ms, (uint64_t)UINT32_MAX),
	};

	str_copy(m.name, c->name);
	copy_names(m.names, &m.n_names, &c->dns);
	for (size_t i = 0; i < s->n_addrs; i++)
		m.addrs[m.n_addrs++] = s->addrs[i].addr;
	for (size_t i = 0; i < c->ip.n && conf_is_template(c); i++) {
		if (ip_is_v4(&c->ip.v[i].addr))
			m.template4 = true;
		else
			m.template6 = true;
	}
	for (size_t i = 0; i < c->fallback_ip.n && i < MSG_LIST_MAX; i++)
		m.n_fallback += ip_parse(c->fallback_ip.v[i], &m.fallback[m.n_fallback]) == 0;
	ipc_send(l->dns, MSG_DNS_SERVICE, &m);
}

static void send_forwarding(struct launcher *l)
{
	for (size_t i = 0; i < l->conf->forward.n; i++) {
		struct msg_dns_forward m = { l->conf->forward.v[i].addr, l->conf->forward.v[i].port };

		ipc_send(l->dns, MSG_DNS_FORWARD, &m);
	}
	for (size_t i = 0; i < l->conf->forward_allow.n; i++) {
		struct msg_dns_allow m = { l->conf->forward_allow.v[i] };

		ipc_send(l->dns, MSG_DNS_ALLOW, &m);
	}
	for (size_t i = 0; i < l->conf->dns.rate_exempt.n; i++) {
		struct msg_dns_allow m = { l->conf->dns.rate_exempt.v[i] };

		ipc_send(l->dns, MSG_DNS_EXEMPT, &m);
	}
}

/* 32 hex digits, which the configuration's check has seen. */
static void read_secret(const char *text, struct msg_secret *out)
{
	for (size_t i = 0; i < sizeof(out->b); i++) {
		unsigned b = 0;

		sscanf(text + 2 * i, "%2x", &b);
		out->b[i] = (uint8_t)b;
	}
}

static void send_conf(struct launcher *l)
{
	const struct dns_conf *c = &l->conf->dns;
	struct msg_dns_conf m = { .max_waiting = l->conf->limits.max_waiting, .max_tcp = l->conf->limits.max_tcp,
				  .seq = l->dns_seq, .rate = xdp_side_rate(l), .slip = c->rate_slip };

	str_copy(m.nsid, c->nsid);
	for (size_t i = 0; i < c->cookie_secrets.n && i < MSG_SECRETS_MAX; i++)
		read_secret(c->cookie_secrets.v[i], &m.secrets[m.n_secrets++]);
	ipc_send(l->dns, MSG_DNS_CONF, &m);
}

/* dns may make other signatures than it did: another process always does.  Secondaries must not take them for
 * those that they have, or changes to them for changes to their own. */
static void raise_signed(struct launcher *l)
{
	uint32_t now_s = (uint32_t)(clock_wall_ms() / MS_PER_S);

	for (size_t i = 0; i < l->conf->zones.n; i++) {
		const char *name = l->conf->zones.v[i].name;
		const struct dnssec_zone *z = dnssec_zone(l->dnssec, name);

		if (z && z->keys.n > 0)
			zone_files_zone_again(l->zone_files, name, now_s);
	}
}

void dns_snapshot(struct launcher *l)
{
	uint64_t begin_ms = clock_now_ms();
	struct service *s;

	xdp_side_withdraw(l);
	if (!l->dns)
		return;
	event_del(l->dns_late);
	l->dns_told = true;
	l->dns_seq = ++l->last_seq;
	raise_signed(l);
	ipc_send(l->dns, MSG_BEGIN, NULL);
	send_conf(l);
	secondaries_send_keys(l->secondaries, l->dns);
	for (size_t i = 0; i < l->conf->zones.n; i++) {
		send_zone(l, &l->conf->zones.v[i]);
		send_zone_file(l, &l->conf->zones.v[i]);
		dnssec_send_keys(l, l->conf->zones.v[i].name);
		secondaries_send_zone(&l->conf->zones.v[i], l->dns);
	}
	send_forwarding(l);
	FOR_EACH_SERVICE(l, s) {
		if (service_is_served(s))
			send_service(l, s);
	}
	ipc_send(l->dns, MSG_END, NULL);
	l->dns_sent_ms = clock_now_ms();
	l->dns_took_ms = l->dns_sent_ms - begin_ms;
}

bool dns_is_behind(const struct launcher *l)
{
	return l->dns && l->dns_told && l->dns_loaded != l->dns_seq && clock_now_ms() < l->dns_sent_ms + BEHIND_MS;
}

bool dns_say_changing(struct launcher *l, const struct service_conf *c, const struct service *s)
{
	struct msg_dns_changing m = { .seq = l->last_seq + 1 };

	if (!l->dns || !l->dns_told || conf_is_template(c)) /* names that change could not be told one by one */
		return false;
	copy_names(m.names, &m.n_names, &c->dns);
	for (size_t i = 0; i < c->ip.n && m.n_addrs < MSG_LIST_MAX; i++)
		m.addrs[m.n_addrs++] = c->ip.v[i].addr;
	for (size_t i = 0; s && i < s->n_addrs && m.n_addrs < MSG_LIST_MAX; i++)
		m.addrs[m.n_addrs++] = s->addrs[i].addr;
	if (ipc_send(l->dns, MSG_DNS_CHANGING, &m) < 0)
		return false;
	l->dns_changing = ++l->last_seq;
	return true;
}

uint32_t dns_tell_state(struct service *s)
{
	struct launcher *l = s->l;
	struct msg_dns_state m = { .svc = s->index, .gen = s->gen, .state = (uint8_t)s->state };

	xdp_side_judge(s);
	if (!l->dns || !l->dns_told || !service_is_served(s))
		return 0;
	m.answer = (uint8_t)dns_answer_when(s);
	m.seq = ++l->last_seq;
	ipc_send(l->dns, MSG_DNS_STATE, &m);
	return m.seq;
}

void dns_refuse(struct service *s, uint32_t token, enum refused_how how, const char *why)
{
	struct msg_dns_refused m = { .svc = s->index, .gen = s->gen, .token = token, .how = (uint8_t)how };

	if (!s->l->dns)
		return;
	str_copy(m.text, why);
	ipc_send(s->l->dns, MSG_DNS_REFUSED, &m);
}

/* ---- the channel ---- */

static void answered(struct launcher *l, const struct msg_dns_answered *m)
{
	struct service *s = service_find(l, m->svc, m->gen);

	if (!s)
		return;
	trace_mark(l->trace, s->wake, MARK_ANSWERED, MIN(m->t_answer_ns, clock_now_ns()));
	if (m->rcode == 0) {
		s->answered_ms = clock_now_ms();
		s->answers++;
	}
}

static void acknowledged(struct launcher *l, const struct msg_dns_state *m)
{
	struct service *s = service_find(l, m->svc, m->gen);

	if (!s || m->seq == 0 || m->seq != s->drain_seq)
		return;
	s->drain_seq = 0;
	service_drained(s);
}

/* The snapshot is in force, or one of its zone files has a mistake and another text is to be used. */
static void loaded(struct launcher *l, const struct msg_dns_loaded *m)
{
	if (m->seq != l->dns_seq)
		return;
	l->dns_loaded = m->seq;
	if (m->error && zone_files_refused(l->zone_files, m->zone, m->text)) {
		dns_snapshot(l);
		return;
	}
	l->dns_loading = false;
	if (m->error) {
		log_error("dns goes on with what it had: %s", m->text);
		dnssec_refused(l);
	} else {
		zone_files_accepted(l->zone_files);
		dnssec_loaded(l);
		xdp_side_loaded(l);
	}
	operators_zones_loaded(l, m->error ? m->text : "");
	registrar_told(l);
}

static void served(struct launcher *l, const struct msg_dns_zone_serial *m)
{
	zone_files_served(l->zone_files, m->zone, m->serial);
	dnssec_told_ttl(l->dnssec, m->zone, m->ttl_s);
}

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct launcher *l = arg;

	(void)ch;
	(void)fd;
	switch (type) {
	case MSG_WAKE: wake_dns_heard(l, body); break;
	case MSG_DNS_STATE_ACK: acknowledged(l, body); break;
	case MSG_DNS_CHANGING_ACK: operators_edits_seen(l, ((const struct msg_dns_changing *)body)->seq); break;
	case MSG_DNS_ANSWERED: answered(l, body); break;
	case MSG_DNS_ZONE_SERIAL: served(l, body); break;
	case MSG_DNS_LOADED: loaded(l, body); break;
	case MSG_DNS_COUNTS:
		metrics_dns_counted(l, body);
		operators_dns_counted(l, body);
		break;
	case MSG_LOG: launcher_hear_log(l, "dns", body); break;
	default: log_limited(LOG_WARN, "dns said %s, which it may not", msg_name(type));
	}
}

static void on_end(void *arg, struct ipc *ch, int error)
{
	struct launcher *l = arg;

	ipc_free(ch);
	if (l->dns == ch)
		l->dns = NULL;
	if (error < 0)
		launcher_stuck(l, ROLE_DNS, "dns");
}

void dns_channel(struct launcher *l, int fd)
{
	struct timeval late = clock_timeval_ms(SNAPSHOT_LATE_MS);

	ipc_free(l->dns);
	metrics_dns_new(l);
	l->dns = ipc_new(l->base, fd, on_msg, on_end, l);
	if (!l->dns)
		abort();
	if (l->dns_told || hypervisors_reconciled(l))
		dns_snapshot(l);
	else
		event_add(l->dns_late, &late);
}
