/* What synproxy is told: a whole snapshot whenever its channel or a bridge is new, and each change
 * of a held service's stage.  And what it says, sent on to whom it concerns.
 *
 * As with dns, the first snapshot after a start of the launcher is held back until it is known
 * what runs, at most SNAPSHOT_LATE_MS, so that synproxy goes on holding what it holds; and until it is known
 * which taps were kept.  Sockets of VMs that are being probed or handed over follow behind the
 * snapshot.
 */
#include <event2/event.h>

#include "launcher/launcher.h"

enum { SNAPSHOT_LATE_MS = 700 };

bool synproxy_is_told(const struct launcher *l) { return l->synproxy && l->synproxy_told; }

bool synproxy_is_current(struct launcher *l)
{
	const struct limits_conf *limits = &l->conf->limits;
	struct hold_bridge *b = NULL;

	while ((b = hold_bridges_next(l, b))) {
		if (!b->told)
			return false;
	}
	return synproxy_is_told(l) && !l->synproxy_stale && l->synproxy_conf.max_held == limits->max_held &&
	       l->synproxy_conf.held_per_source == limits->held_per_source;
}

/* ---- news ---- */

static void fill_service(const struct service *s, struct msg_hold_service *m)
{
	const struct service_conf *c = s->conf;
	const struct hold *h = &s->hold;

	*m = (struct msg_hold_service){
		.svc = s->index,
		.gen = s->gen,
		.bridge = h->place.bridge->number,
		.mac = h->place.mac,
		.n_addrs = h->place.addrs.n,
		.stage = h->stage == HOLD_STAGE_FAILED ? HOLD_STAGE_SLEEP : h->stage, /* who waited then, was told then */
		.at_vm = h->known ? h->at == HOLD_AT_VM || (h->at == HOLD_AT_UNKNOWN && h->stage == HOLD_STAGE_UP)
				  : s->run.moved && h->stage == HOLD_STAGE_UP,
		.ping = (uint8_t)c->wake_ping,
		.defend = c->on_conflict == CONFLICT_DEFEND,
		.wakes = c->wake_syn != WAKE_OFF,
		.hold_udp = c->hold_udp,
		.max_hold_ms = (uint32_t)MIN(c->max_hold_ms, (uint64_t)UINT32_MAX),
	};
	str_copy(m->name, c->name);
	for (uint16_t i = 0; i < m->n_addrs; i++)
		m->addrs[i] = h->place.addrs.v[i];
	for (size_t i = 0; i < c->ports.n && i < ARRAY_SIZE(m->ports); i++)
		m->ports[m->n_ports++].port = c->ports.v[i];
}

static void send_service(struct service *s)
{
	struct msg_hold_service m;

	fill_service(s, &m);
	ipc_send(s->l->synproxy, MSG_HOLD_SERVICE, &m);
}

void synproxy_say_service(struct service *s)
{
	struct launcher *l = s->l;
	struct timeval now = { 0 };

	if (!synproxy_is_told(l))
		return;
	if (s->hold.place.bridge->told)
		send_service(s);
	else
		event_add(l->synproxy_late, &now); /* once, for all that are new on it */
}

uint32_t synproxy_say_stage(struct service *s)
{
	struct launcher *l = s->l;
	struct msg_hold_stage m = { .svc = s->index, .gen = s->gen, .stage = s->hold.stage };

	if (!synproxy_is_told(l))
		return 0;
	m.seq = ++l->last_seq;
	ipc_send(l->synproxy, MSG_HOLD_STAGE, &m);
	return m.seq;
}

void synproxy_say_drop(struct service *s, const struct ip_addr *client, bool reset)
{
	struct msg_hold_drop m = { .svc = s->index, .gen = s->gen, .client = *client, .reset = reset };

	if (synproxy_is_told(s->l))
		ipc_send(s->l->synproxy, MSG_HOLD_DROP, &m);
}

/* ---- the snapshot ---- */

static void send_bridge(struct hold_bridge *b)
{
	struct msg_hold_bridge m = { .bridge = b->number, .conflict_probe_ms = b->conflict_probe_ms };

	str_copy(m.name, b->info.name);
	ipc_send_fd(b->l->synproxy, MSG_HOLD_BRIDGE, &m, b->tap.fd);
	b->told = true;
}

void synproxy_say_bridge(struct hold_bridge *b)
{
	if (synproxy_is_told(b->l) && b->told)
		send_bridge(b);
}

static void send_bridges(struct launcher *l)
{
	struct hold_bridge *b = NULL;

	while ((b = hold_bridges_next(l, b)))
		send_bridge(b);
}

static void send_services(struct launcher *l)
{
	struct service *s;

	FOR_EACH_SERVICE(l, s) {
		if (s->hold.place.bridge)
			send_service(s);
	}
}

/* Who is drained now must be acknowledged by this synproxy. */
static void say_drains(struct launcher *l)
{
	struct service *s;

	FOR_EACH_SERVICE(l, s) {
		if (s->hold.stage == HOLD_STAGE_DRAIN)
			s->hold.drain_seq = synproxy_say_stage(s);
	}
}

void synproxy_snapshot(struct launcher *l)
{
	if (!l->synproxy || !hold_bridges_ready(l) || !(l->synproxy_waited || hypervisors_reconciled(l)))
		return;
	event_del(l->synproxy_late);
	hold_bridges_filter(l);
	l->synproxy_waited = l->synproxy_told = true;
	l->synproxy_stale = false;
	l->synproxy_conf = (struct msg_hold_conf){ l->conf->limits.max_held, l->conf->limits.held_per_source };
	ipc_send(l->synproxy, MSG_BEGIN, NULL);
	ipc_send(l->synproxy, MSG_HOLD_CONF, &l->synproxy_conf);
	send_bridges(l);
	send_services(l);
	guests_tell_synproxy(l);
	ipc_send(l->synproxy, MSG_END, NULL);
	ready_synproxy_new(l);
	say_drains(l);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct launcher *l = arg;

	(void)fd;
	(void)what;
	l->synproxy_waited = true;
	synproxy_snapshot(l);
}

/* ---- the channel ---- */

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct launcher *l = arg;

	(void)ch;
	(void)fd;
	switch (type) {
	case MSG_PROBE_EVENT: ready_event(l, body); break;
	case MSG_LEARN_FOUND: learning_found(l, body); break;
	case MSG_WAKE: wake_packet_heard(l, body); break;
	case MSG_HOLD_EVENT: hold_event(l, body); break;
	case MSG_HOLD_ACK: hold_ack(l, body); break;
	case MSG_HOLD_COUNTS: hold_counts(l, body); break;
	case MSG_FLOWS_ROWS: flows_rows(l, body); break;
	case MSG_FLOWS_END: flows_end(l, body); break;
	case MSG_GUEST_SAID: guest_said(l, body); break;
	case MSG_LOG: launcher_hear_log(l, "synproxy", body); break;
	default: log_limited(LOG_WARN, "synproxy said %s, which it may not", msg_name(type));
	}
}

static void on_end(void *arg, struct ipc *ch, int error)
{
	struct launcher *l = arg;

	ipc_free(ch);
	if (l->synproxy == ch) {
		l->synproxy = NULL;
		flows_synproxy_gone(l);
	}
	if (error < 0)
		launcher_stuck(l, ROLE_SYNPROXY, "synproxy");
}

void synproxy_channel(struct launcher *l, int fd)
{
	struct timeval late = clock_timeval_ms(SNAPSHOT_LATE_MS);
	struct hold_bridge *b = NULL;

	ipc_free(l->synproxy);
	l->synproxy = ipc_new(l->base, fd, on_msg, on_end, l);
	if (!l->synproxy)
		abort();
	flows_synproxy_gone(l);
	l->synproxy_told = false;
	while ((b = hold_bridges_next(l, b)))
		b->told = false;
	event_add(l->synproxy_late, &late);
	synproxy_snapshot(l);
}

int synproxy_init(struct launcher *l)
{
	l->synproxy_late = evtimer_new(l->base, on_late, l);
	return l->synproxy_late ? 0 : -ENOMEM;
}
