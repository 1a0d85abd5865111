/* When is a service ready: every one of its `ready` rules must hold.
 *
 * arp and tcp are asked of the VM by synproxy, through the VM's own port, beginning when the start
 * is asked for: a small guest answers before the hypervisor's call returns, and then it is ready
 * at once.  A domain of somebody else's making has its port only once it runs, so probing begins
 * there when the result tells which.  delay:MS counts from when the VM runs.  What the guest says itself, and keys of
 * XenStore, are guest.c's.
 *
 * A VM whose address is to be learned is probed when it is known, and again when it is another one.
 *
 * Probes go through the first NIC, to all of the service's addresses.  They do not pass the bridge, and
 * clients do: on a bridge with the spanning tree protocol a new port first listens and learns, for twice
 * the forward delay, and until it forwards the VM is not ready, nor is anything handed over to it.
 *
 * Where connections are held, synproxy needs the VM's port in any case, to hand them over.  It has it with
 * the probe, which is then begun whatever the rules are, and keeps it until all is handed over
 * (HOLD_DONE); a VM that is there already, or whose port is another one, is given by MSG_HOLD_PORT.
 */
#include <inttypes.h>

#include "launcher/launcher.h"

enum { PROBE_INTERVAL_MS = 2, SETTLE_LOOK_MS = 20 };

static bool wants_probes(const struct service *s)
{
	for (size_t i = 0; i < s->conf->ready.n; i++) {
		enum ready_kind kind = s->conf->ready.v[i].kind;

		if (kind == READY_ARP || kind == READY_TCP || kind == READY_TCP_PORT)
			return true;
	}
	return false;
}

static uint64_t delay_wanted(const struct service *s)
{
	uint64_t ms = 0;

	for (size_t i = 0; i < s->conf->ready.n; i++) {
		if (s->conf->ready.v[i].kind == READY_DELAY)
			ms = MAX(ms, s->conf->ready.v[i].delay_ms);
	}
	return ms;
}

/* ---- the spanning tree ---- */

static void check(struct service *s);

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct service *s = arg;

	(void)fd;
	(void)what;
	if (s->hold.wants_move)
		hold_move(s);
	check(s);
}

static void look_again(struct service *s)
{
	struct timeval tv = clock_timeval_ms(SETTLE_LOOK_MS);

	if (!s->settle)
		s->settle = evtimer_new(s->l->base, on_settle, s);
	if (!s->settle)
		abort();
	event_add(s->settle, &tv);
}

bool ready_port_forwards(struct service *s)
{
	struct link_info link;
	struct err e;

	if (s->n_nics == 0 || !s->nics[0].ifname[0])
		return true;
	if (netlink_link(s->l->netlink, s->nics[0].ifname, &link, &e) < 0 || !link.settling)
		return true;
	look_again(s);
	return false;
}

/* ---- rules ---- */

static void check(struct service *s)
{
	/* without a probe there is nobody but the hypervisor to say that it is there at all */
	bool seen = s->running || wants_probes(s) || s->run.guest_ready;

	if (learning_is_unknown(s)) /* nobody could be sent to it */
		return;
	if (state_is_starting(s->state) && s->probes_done && s->delay_done && seen && guest_is_ready(s) &&
	    ready_port_forwards(s))
		service_event(s, SVC_READY);
}

void ready_look(struct service *s) { check(s); }

/* ---- probes ---- */

static void add_port(struct msg_probe_start *m, uint16_t port)
{
	for (uint16_t i = 0; i < m->n_tcp; i++) {
		if (m->tcp[i].port == port)
			return;
	}
	if (m->n_tcp < ARRAY_SIZE(m->tcp))
		m->tcp[m->n_tcp++].port = port;
}

static void add_rules(const struct service *s, struct msg_probe_start *m)
{
	const struct service_conf *c = s->conf;

	for (size_t i = 0; i < s->n_addrs; i++)
		m->addrs[m->n_addrs++] = s->addrs[i].addr;
	for (size_t i = 0; i < c->ready.n; i++) {
		if (c->ready.v[i].kind == READY_TCP_PORT)
			add_port(m, c->ready.v[i].port);
		for (size_t p = 0; c->ready.v[i].kind == READY_TCP && p < c->ports.n; p++)
			add_port(m, c->ports.v[p]);
	}
}

int ready_find_prober(const struct service *s, struct prober *out, struct err *e)
{
	static const struct ip_addr none;
	const struct ip_addr *ip4 = &none, *ip6 = &none;
	const struct conf *conf = s->l->conf;
	struct bridge_info info;
	int r = netlink_bridge(s->l->netlink, s->nics[0].bridge, &info, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < conf->bridges.n; i++) {
		if (strcmp(conf->bridges.v[i].name, s->nics[0].bridge) == 0) {
			ip4 = &conf->bridges.v[i].probe_ip;
			ip6 = &conf->bridges.v[i].probe_ip6;
		}
	}
	prober_choose(&s->l->identity, &info, ip4, ip6, out);
	return 0;
}

/* The last close of a packet socket takes the kernel 15 ms: neither synproxy, which closes its copy
 * when it has done with it, nor our loop shall wait for that. */
static void drop_socket(struct service *s)
{
	if (s->probe_fd >= 0)
		reaper_close(s->l->reaper, s->probe_fd);
	s->probe_fd = -1;
}

/* A fresh one, in place of the last. */
static int open_socket(struct service *s, const struct prober *prober, struct err *e)
{
	int fd = port_probe_socket(s->nics[0].ifname, &s->nics[0].mac, &prober->mac, e);

	if (fd < 0)
		return fd;
	drop_socket(s);
	s->probe_fd = fd;
	return 0;
}

static int find_port(const struct service *s, struct prober *out, struct err *e)
{
	if (s->n_nics == 0 || !s->nics[0].ifname[0] || !s->nics[0].bridge[0])
		return err_set(e, -EOPNOTSUPP, "its first NIC is not on a Linux bridge, so that nobody can ask whether it is "
					       "there: use \"ready\": [\"delay:MS\"]");
	return ready_find_prober(s, out, e);
}

static int send_probe(struct service *s, struct err *e)
{
	struct msg_probe_start m = { .svc = s->index, .gen = s->gen, .interval_ms = PROBE_INTERVAL_MS };
	struct prober prober;
	int r = find_port(s, &prober, e);

	if (r < 0)
		return r;
	m.vm_mac = s->nics[0].mac;
	m.probe_mac = prober.mac;
	m.probe_ip4 = prober.ip4;
	m.probe_ip6 = prober.ip6;
	add_rules(s, &m);
	if (m.n_tcp > 0 && ip_is_zero(&m.probe_ip4) && ip_is_zero(&m.probe_ip6))
		return err_set(e, -EADDRNOTAVAIL, "bridge %s has no address to ask from: give it one, or set its \"probe_ip\"",
			       s->nics[0].bridge);
	r = open_socket(s, &prober, e);
	if (r == 0 && s->l->synproxy)
		ipc_send_fd(s->l->synproxy, MSG_PROBE_START, &m, s->probe_fd);
	return r;
}

static int send_port(struct service *s, struct err *e)
{
	struct msg_hold_port m = { .svc = s->index, .gen = s->gen };
	struct prober prober;
	int r = find_port(s, &prober, e);

	if (r == 0)
		r = open_socket(s, &prober, e);
	if (r < 0)
		return r;
	m.vm_mac = s->nics[0].mac;
	m.probe_mac = prober.mac;
	m.probe_ip4 = prober.ip4;
	m.probe_ip6 = prober.ip6;
	if (s->l->synproxy)
		ipc_send_fd(s->l->synproxy, MSG_HOLD_PORT, &m, s->probe_fd);
	return 0;
}

void ready_give_port(struct service *s)
{
	struct err e;

	if (send_port(s, &e) < 0)
		log_debug("service=%s has no port to hand over to: %s", s->conf->name, e.text);
}

/* A service that cannot be probed is taken for ready as soon as it runs; the log says why. */
static void begin_probes(struct service *s)
{
	struct err e;

	if (learning_is_unknown(s))
		return; /* ready_address_known() */
	s->links_known = true;
	if (send_probe(s, &e) == 0)
		return;
	log_warn("service=%s cannot be probed: %s", s->conf->name, e.text);
	s->links_known = false;
	s->probes_done = true;
}

/* ---- delays ---- */

static void on_delay(evutil_socket_t fd, short what, void *arg)
{
	struct service *s = arg;

	(void)fd;
	(void)what;
	s->delay_done = true;
	check(s);
}

static void begin_delay(struct service *s)
{
	struct timeval tv = clock_timeval_ms(delay_wanted(s));

	if (!s->delay)
		s->delay = evtimer_new(s->l->base, on_delay, s);
	if (!s->delay)
		abort();
	event_add(s->delay, &tv);
}

/* ---- events ---- */

/* Somebody must ask it: for its being ready, or to hand over to it. */
const char *ready_explain_silence(const struct service *s)
{
	struct link_info port;
	struct err ignored;

	if (s->probe_fd < 0)
		return "its address and ports were not asked for, since its port on the bridge was not there to ask through";
	if (s->n_nics == 0 || netlink_link(s->l->netlink, s->nics[0].ifname, &port, &ignored) < 0)
		return "its port on the bridge is gone";
	if (!port.carrier)
		return "its port on the bridge has no carrier: the hypervisor has not connected it";
	return "its address or port did not answer; \"jitsuctl console\" shows what it says";
}

static bool wants_a_look(const struct service *s) { return !s->probes_done || holds_need_port(s); }

void ready_begin(struct service *s)
{
	s->probes_done = !wants_probes(s);
	s->delay_done = delay_wanted(s) == 0;
	s->links_known = false;
	if (wants_a_look(s) && s->n_nics > 0 && s->nics[0].ifname[0])
		begin_probes(s);
}

void ready_running(struct service *s)
{
	s->running = true;
	guest_runs(s);
	if (!s->links_known && !wants_probes(s))
		s->probes_done = true;
	if (!s->links_known && s->probe_fd < 0 && wants_a_look(s))
		begin_probes(s);
	if (delay_wanted(s) > 0)
		begin_delay(s);
	else
		s->delay_done = true;
	check(s);
}

void ready_stop(struct service *s)
{
	struct msg_probe_stop m = { s->index, s->gen };

	if (s->delay)
		event_del(s->delay);
	if (s->settle && !s->hold.wants_move)
		event_del(s->settle);
	if (holds_need_port(s) && s->probe_fd >= 0) {
		s->links_known = false;
		return;
	}
	if ((s->links_known || (s->hold.place.bridge && s->probe_fd >= 0)) && s->l->synproxy)
		ipc_send(s->l->synproxy, MSG_PROBE_STOP, &m);
	s->links_known = false;
	drop_socket(s);
}

void ready_address_known(struct service *s)
{
	if (!state_is_starting(s->state))
		return;
	if (wants_probes(s)) {
		s->probes_done = false;
		begin_probes(s);
	}
	check(s);
}

void ready_drop_port(struct service *s) { drop_socket(s); }

void ready_port_back(struct service *s)
{
	if (state_is_starting(s->state) && wants_a_look(s))
		begin_probes(s);
}

void ready_event(struct launcher *l, const struct msg_probe_event *m)
{
	struct service *s = service_find(l, m->svc, m->gen);
	uint64_t now = clock_now_ns(), at = MIN(m->t_ns, now);

	if (!s || !s->links_known)
		return;
	switch (m->what) {
	case PROBE_LINK: trace_mark(l->trace, s->wake, MARK_LINK, at); break;
	case PROBE_PORT:
	case PROBE_SILENT: trace_mark(l->trace, s->wake, MARK_PORT, at); break;
	case PROBE_DONE:
		s->probes_done = true;
		s->links_known = false; /* it has stopped by itself */
		check(s);
		break;
	default: break;
	}
}

void ready_synproxy_new(struct launcher *l)
{
	struct service *s;

	learning_synproxy_new(l);
	FOR_EACH_SERVICE(l, s) {
		if (s->links_known && state_is_starting(s->state))
			begin_probes(s);
		else if (holds_need_port(s) && s->hold.at == HOLD_AT_TAP && s->probe_fd >= 0)
			ready_give_port(s);
	}
}
