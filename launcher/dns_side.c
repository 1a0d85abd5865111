/* What dns is told: a whole snapshot whenever its channel or the configuration is new, and each
 * change of a service's state, or of whether its clients are held, on which `answer: auto` depends.
 *
 * After a restart of the launcher dns goes on with its old tables.  The new snapshot is held back
 * until it is known what runs (at most SNAPSHOT_LATE_MS), so that a service that is up is not
 * shown as off for a moment, and clients wait for nothing.
 */
#include "launcher/launcher.h"

enum { SNAPSHOT_LATE_MS = 700, ZONE_REFRESH_S = 3600, ZONE_RETRY_S = 600, ZONE_EXPIRE_S = 604800 };

static void copy_names(struct msg_domain_name *to, uint16_t *n, const struct string_list *from)
{
	*n = 0;
	for (size_t i = 0; i < from->n && i < MSG_LIST_MAX; i++, (*n)++)
		str_copy(to[i].text, from->v[i]);
}

static void send_zone(struct launcher *l, const struct zone_conf *z)
{
	struct msg_dns_zone m = {
		.serial = l->serial,
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

enum answer_when dns_answer_when(const struct service *s)
{
	if (s->conf->answer != ANSWER_AUTO)
		return (enum answer_when)s->conf->answer;
	return holds_now(s) ? ANSWER_AT_ONCE : ANSWER_READY;
}

static void send_service(struct launcher *l, const struct service *s)
{
	const struct service_conf *c = s->conf;
	struct msg_dns_service m = {
		.svc = s->index,
		.gen = s->gen,
		.state = (uint8_t)s->state,
		.answer = (uint8_t)dns_answer_when(s),
		.ttl_s = (uint32_t)(c->ttl_ms / 1000),
		.max_hold_ms = (uint32_t)MIN(c->max_hold_ms, (uint64_t)UINT32_MAX),
	};

	str_copy(m.name, c->name);
	copy_names(m.names, &m.n_names, &c->dns);
	for (size_t i = 0; i < c->ip.n && i < MSG_LIST_MAX; i++)
		m.addrs[m.n_addrs++] = c->ip.v[i].addr;
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
}

void dns_snapshot(struct launcher *l)
{
	struct msg_dns_conf conf = { .max_waiting = l->conf->limits.max_waiting, .max_tcp = l->conf->limits.max_tcp };
	struct service *s;

	if (!l->dns)
		return;
	event_del(l->dns_late);
	l->dns_told = true;
	ipc_send(l->dns, MSG_BEGIN, NULL);
	ipc_send(l->dns, MSG_DNS_CONF, &conf);
	for (size_t i = 0; i < l->conf->zones.n; i++)
		send_zone(l, &l->conf->zones.v[i]);
	send_forwarding(l);
	FOR_EACH_SERVICE(l, s) {
		if (!s->removed)
			send_service(l, s);
	}
	ipc_send(l->dns, MSG_END, NULL);
}

uint32_t dns_tell_state(struct service *s)
{
	struct launcher *l = s->l;
	struct msg_dns_state m = { .svc = s->index, .gen = s->gen, .state = (uint8_t)s->state };

	if (!l->dns || !l->dns_told || s->removed)
		return 0;
	m.answer = (uint8_t)dns_answer_when(s);
	m.seq = ++l->last_seq;
	ipc_send(l->dns, MSG_DNS_STATE, &m);
	return m.seq;
}

void dns_refuse(struct service *s, uint32_t token, const char *why)
{
	struct msg_dns_refused m = { .svc = s->index, .gen = s->gen, .token = token };

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

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct launcher *l = arg;

	(void)ch;
	(void)fd;
	switch (type) {
	case MSG_WAKE: wake_heard(l, body); break;
	case MSG_DNS_STATE_ACK: acknowledged(l, body); break;
	case MSG_DNS_ANSWERED: answered(l, body); break;
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
	l->dns = ipc_new(l->base, fd, on_msg, on_end, l);
	if (!l->dns)
		abort();
	if (l->dns_told || hypervisors_reconciled(l))
		dns_snapshot(l);
	else
		event_add(l->dns_late, &late);
}
