/* Theory of operation
 *
 * The addresses of a service are those of its record; for "learned" stands the one that its VM turned out
 * to have.  s->addrs is the list that everybody goes by, and change() the one place where it becomes another
 * one while the service is in force: its claim on the bridge ends, answers are withdrawn and dns gets its
 * tables anew, the guard of the VM's port lets the new one through, a boot that waits for it goes on.
 *
 * While the VM runs and has a port on a bridge, synproxy listens there (synproxy/learn.h) and says which
 * address it answers for.  Who else may know are the hypervisor (its leases, the guest's agent) and the host's
 * neighbour table; they are asked while nothing is known, and what they say the VM is asked by ARP, too.  So an address
 * is taken for a VM's only if the VM answers for it at its own port.
 *
 * A guest can lie.  It may have one address, in a network of the bridge's own, that is not the host's, a
 * gateway's, a bridge's probe address, or another service's; the other service may be learned, too: who
 * had it first keeps it.  What is refused is told once, as an event, and changes nothing.
 *
 * A guest may take one address after the other.  Each change has dns make its tables anew, and costs the registry a
 * write.  So of one boot LEARNED_CHANGES are believed at once, and then one in LEARNED_CHANGE_MS: the last one that
 * was found meanwhile is asked for again when that is over.
 *
 * A learned address is a promise of the past: the next boot may get another one.  So queries wait for the
 * VM (`answer` counts as ready), and clients are not held, until it proved stable: LEARNED_BOOTS boots with
 * it, or LEARNED_STABLE_MS in one.  Then it is like one of the record, until it changes.  What is known is
 * kept in the registry, with what else was learned; it goes when the service goes.
 */
#include "launcher/learning.h"

#include <inttypes.h>

#include "launcher/launcher.h"
#include "launcher/addresses.h"
#include "launcher/registrar.h"
#include "launcher/rows.h"

enum {
	ASK_FIRST_MS = 500, /* the hypervisor, while nothing is known; each time twice as late, until .. */
	ASK_LAST_MS = 30000,
	FOREIGN_BOOT = 1, /* in the upper half of a boot's number: it is the domain's id */
};

struct learning {
	LIST_ENTRY(learning) next;
	struct service *s;
	struct learned_address address;
	int fd; /* of the VM's port, which synproxy has too; -1: it is not listened to */
	bool seen; /* with its address, in this boot */
	uint64_t seen_ms;
	uint64_t ask_ms; /* the hypervisor, after this long */
	struct event *timer;
	struct learned_changes changes; /* in this boot */
	struct ip_addr later; /* it is asked for again when it may change again; zero: none */
	uint64_t later_ms;
	const char *refused; /* a note: the last one that was refused, and why */
	struct service_ip addrs[MSG_LIST_MAX]; /* s->addrs */
};

static bool is_learned(const struct service_conf *c)
{
	for (size_t i = 0; i < c->ip.n; i++) {
		if (c->ip.v[i].how == IP_LEARNED)
			return true;
	}
	return false;
}

bool learning_is_unknown(const struct service *s) { return s->learning && !learned_is_known(&s->learning->address); }

static bool boot_is_known(const struct service *s) { return s->by_us || s->domain_id >= 0; }

const char *learning_why_unknown(const struct service *s)
{
	if (s->learning->refused[0])
		return s->learning->refused;
	return "its address is not known: it has asked no DHCP server and said nothing in ARP that would tell";
}

bool learning_has(const struct launcher *l, const struct ip_addr *addr)
{
	const struct learning *ln;

	LIST_FOREACH(ln, &l->learning, next) {
		if (learned_is_known(&ln->address) && ip_equal(&ln->address.at.addr, addr))
			return true;
	}
	return false;
}

bool learning_is_sure(const struct service *s) { return !s->learning || s->learning->address.stable; }

/* Which one of its VM's boots this is: libvirt's id of one that somebody else started. */
static uint64_t boot_of(const struct service *s)
{
	return s->by_us ? s->run.boots : (uint64_t)FOREIGN_BOOT << 32 | (uint32_t)s->domain_id;
}

/* ---- the list ---- */

static void list(struct service *s)
{
	const struct service_conf *c = s->conf;
	struct learning *ln = s->learning;

	if (!ln) {
		s->addrs = c->ip.v;
		s->n_addrs = conf_is_template(c) ? 0 : MIN(c->ip.n, (size_t)MSG_LIST_MAX); /* its instances have some */
		return;
	}
	s->addrs = ln->addrs;
	s->n_addrs = 0;
	for (size_t i = 0; i < c->ip.n && s->n_addrs < MSG_LIST_MAX; i++) {
		if (c->ip.v[i].how != IP_LEARNED)
			ln->addrs[s->n_addrs++] = c->ip.v[i];
		else if (learned_is_known(&ln->address))
			ln->addrs[s->n_addrs++] = (struct service_ip){ .prefix = ln->address.at, .how = IP_LEARNED };
	}
}

/* Everybody hears that it is another one.  The VM may be ready before dns has its tables: until then its names wait. */
static void change(struct service *s)
{
	xdp_side_leave(s);
	if (s->conf->dns.n > 0)
		dns_say_changing(s->l, s->conf, s);
	list(s);
	start_guard_again(s);
	holds_judge(s, true);
	registrar_tell(s->l);
	registrar_learn_soon(s);
	ready_address_known(s);
}

/* ---- time ---- */

static void tell_synproxy(const struct service *s, bool known, enum learn_how how, const struct ip_addr *addr)
{
	struct msg_learn_tell m = { .svc = s->index, .gen = s->gen, .known = known, .how = (uint8_t)how, .addr = *addr };

	if (s->l->synproxy && s->learning->fd >= 0)
		ipc_send(s->l->synproxy, MSG_LEARN_TELL, &m);
}

static void arm(struct learning *ln)
{
	uint64_t now_ms = clock_now_ms(), for_ms = now_ms - ln->seen_ms, in_ms = UINT64_MAX;
	struct timeval tv;

	if (!ln->seen)
		in_ms = ln->ask_ms;
	else if (!ln->address.stable)
		in_ms = LEARNED_STABLE_MS - MIN(for_ms, (uint64_t)LEARNED_STABLE_MS);
	if (!ip_is_zero(&ln->later))
		in_ms = MIN(in_ms, ln->later_ms - MIN(now_ms, ln->later_ms));
	if (ln->fd < 0 || in_ms == UINT64_MAX) {
		event_del(ln->timer);
		return;
	}
	tv = clock_timeval_ms(in_ms);
	event_add(ln->timer, &tv);
}

/* The VM has its address; whether that makes it stable. */
static void count(struct service *s)
{
	struct learning *ln = s->learning;
	bool was = ln->address.stable;

	if (!ln->seen || !boot_is_known(s))
		return;
	if (!learned_seen(&ln->address, boot_of(s), clock_now_ms() - ln->seen_ms))
		return;
	registrar_learn_soon(s);
	if (was || !ln->address.stable)
		return;
	log_info("service=%s its learned address proved stable: its clients can be held", s->conf->name);
	holds_judge(s, true);
	dns_tell_state(s);
}

static void add_neighbour(void *arg, const struct ip_addr *addr)
{
	tell_synproxy(arg, false, LEARN_NEIGHBOUR, addr);
}

/* Who may know it: what they say, the VM is asked. */
static void ask_others(struct service *s)
{
	struct bridge_info info;
	struct err e;

	if (netlink_bridge(s->l->netlink, s->nics[0].bridge, &info, &e) < 0 ||
	    addresses_neighbours(s->l->netlink, info.ifindex, &s->nics[0].mac, add_neighbour, s, &e) < 0)
		log_debug("service=%s %s", s->conf->name, e.text);
	hypervisor_ask_addresses(s);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct learning *ln = arg;

	(void)fd;
	(void)what;
	if (!ip_is_zero(&ln->later) && clock_now_ms() >= ln->later_ms) {
		tell_synproxy(ln->s, false, LEARN_ARP, &ln->later);
		ln->later = (struct ip_addr){ 0 };
		note_clear(&ln->refused);
	}
	if (ln->seen) {
		count(ln->s);
	} else {
		ask_others(ln->s);
		ln->ask_ms = MIN(ln->ask_ms * 2, (uint64_t)ASK_LAST_MS);
	}
	arm(ln);
}

void learning_up(struct service *s)
{
	if (s->learning)
		count(s);
}

/* ---- findings ---- */

static void add_own(void *arg, const struct own_address *a)
{
	struct learned_host *h = arg;

	if (!a)
		h->n = 0;
	else if (h->n < ARRAY_SIZE(h->own))
		h->own[h->n++] = (struct learned_own){ .at = a->prefix, .on_bridge = a->ifindex == h->ifindex };
}

static void add_gateway(void *arg, const struct ip_addr *gateway)
{
	struct learned_host *h = arg;

	if (h->n < ARRAY_SIZE(h->own))
		h->own[h->n++] = (struct learned_own){ .at = { *gateway, 128 }, .is_gateway = true };
}

static int check_host(const struct service *s, const struct ip_addr *addr, struct ip_prefix *at, struct err *e)
{
	struct learned_host h = { .bridge = s->nics[0].bridge };
	struct launcher *l = s->l;
	struct bridge_info info;
	struct ip_addr gateway;
	int r = netlink_bridge(l->netlink, h.bridge, &info, e);

	if (r < 0)
		return r;
	h.ifindex = info.ifindex;
	r = addresses_each(l->netlink, add_own, &h, e);
	if (r == 0)
		r = addresses_gateways(l->netlink, add_gateway, &h, e);
	if (r < 0)
		return r;
	if (s->conf->gateway[0] && ip_parse(s->conf->gateway, &gateway) == 0)
		add_gateway(&h, &gateway);
	return learned_check(&h, addr, at, e);
}

/* Of the records, and of those that were learned. */
static int check_others(const struct service *s, const struct ip_addr *addr, struct err *e)
{
	const struct learning *ln;
	char owner[MSG_NAME_MAX], text[ADDR_TEXT_MAX];

	ip_format(addr, text);
	if (registrar_has_address(s->l, addr, owner, sizeof(owner)))
		return err_set(e, -EADDRINUSE, "%s is %s%s", text, owner[0] ? "the address of service " : "a probe_ip", owner);
	LIST_FOREACH(ln, &s->l->learning, next) {
		if (ln->s != s && ip_equal(&ln->address.at.addr, addr))
			return err_set(e, -EADDRINUSE, "%s was learned of service %s", text, ln->s->conf->name);
	}
	return 0;
}

static void refuse(struct service *s, enum learn_how how, const struct err *e)
{
	bool was_told = strstr(s->learning->refused, e->text);

	note_set(&s->learning->refused, "its VM has an address that it may not have: %s", e->text);
	if (was_told)
		return;
	log_limited(LOG_WARN, "service=%s %s (%s)", s->conf->name, s->learning->refused, learn_name(how));
	events_address(s, "refused: %s", e->text);
}

static void take(struct service *s, enum learn_how how, const struct ip_prefix *at)
{
	struct learning *ln = s->learning;
	char was[ADDR_TEXT_MAX] = "", is[ADDR_TEXT_MAX];
	uint64_t boot = boot_is_known(s) ? boot_of(s) : 0;

	if (learned_is_known(&ln->address))
		prefix_format(&ln->address.at, was);
	prefix_format(at, is);
	log_info("service=%s its VM has the address %s (%s)%s%s", s->conf->name, is, learn_name(how),
		 was[0] ? "; before it was " : "", was);
	learned_set(&ln->address, at, how, clock_wall_ms(), boot);
	ln->later = (struct ip_addr){ 0 };
	ln->seen = true;
	ln->seen_ms = clock_now_ms();
	note_clear(&ln->refused);
	tell_synproxy(s, true, how, &at->addr);
	arm(ln);
	change(s);
	events_address(s, "%s%s%s by %s", is, was[0] ? ", before " : "", was, learn_name(how));
}

/* A new boot may bring a new address, and is not had for nothing. */
static bool changes_too_often(struct service *s, const struct ip_prefix *at)
{
	struct learning *ln = s->learning;
	char has[ADDR_TEXT_MAX], found[ADDR_TEXT_MAX];
	uint64_t wait_ms;

	if (!learned_is_known(&ln->address) || !boot_is_known(s) || ln->address.boot != boot_of(s))
		return false;
	wait_ms = learned_change(&ln->changes, clock_now_ms());
	if (wait_ms == 0)
		return false;
	if (ip_is_zero(&ln->later)) {
		note_set(&ln->refused, "its VM changes its address too often: %s counts for another %" PRIu64 " s, though "
				       "it has %s", ip_format(&ln->address.at.addr, has),
			 (wait_ms + MS_PER_S - 1) / MS_PER_S, ip_format(&at->addr, found));
		log_limited(LOG_WARN, "service=%s %s", s->conf->name, ln->refused);
		events_address(s, "%s", ln->refused);
		ln->later_ms = clock_now_ms() + wait_ms;
	}
	ln->later = at->addr;
	arm(ln);
	return true;
}

static void seen(struct service *s)
{
	struct learning *ln = s->learning;

	if (!ln->seen)
		ln->seen_ms = clock_now_ms();
	ln->seen = true;
	count(s);
	arm(ln);
}

void learning_found(struct launcher *l, const struct msg_learn_found *m)
{
	struct service *s = service_find(l, m->svc, m->gen);
	struct ip_prefix at;
	struct err e;

	if (!s || !s->learning || s->learning->fd < 0 || m->how >= LEARN_N)
		return;
	if (learned_is_known(&s->learning->address) && ip_equal(&m->addr, &s->learning->address.at.addr)) {
		seen(s);
		return;
	}
	if (check_host(s, &m->addr, &at, &e) < 0 || check_others(s, &m->addr, &e) < 0)
		refuse(s, (enum learn_how)m->how, &e);
	else if (!changes_too_often(s, &at))
		take(s, (enum learn_how)m->how, &at);
}

void learning_told(struct service *s, const struct msg_be_domain *d)
{
	for (uint16_t i = 0; s->learning && s->n_nics > 0 && i < d->n_addrs; i++) {
		const struct msg_be_address *a = &d->addrs[i];

		if (memcmp(&a->mac, &s->nics[0].mac, sizeof(a->mac)) == 0 && a->how < LEARN_N)
			tell_synproxy(s, false, (enum learn_how)a->how, &a->addr);
	}
}

/* ---- while it runs ---- */

static void send_start(struct service *s)
{
	struct learning *ln = s->learning;
	struct msg_learn_start m = { .svc = s->index, .gen = s->gen, .vm_mac = s->nics[0].mac };
	struct bridge_info info;
	struct prober prober;
	struct err e;

	if (!s->l->synproxy || ready_find_prober(s, &prober, &e) < 0 ||
	    netlink_bridge(s->l->netlink, s->nics[0].bridge, &info, &e) < 0)
		return;
	m.net = info.ip4;
	m.probe_mac = prober.mac;
	m.probe_ip4 = prober.ip4;
	if (learned_is_known(&ln->address))
		m.addr = ln->address.at.addr;
	ipc_send_fd(s->l->synproxy, MSG_LEARN_START, &m, ln->fd);
}

void learning_begin(struct service *s)
{
	struct learning *ln = s->learning;
	struct prober prober;
	struct err e;

	if (!ln || ln->fd >= 0 || s->n_nics == 0 || !s->nics[0].ifname[0] || !s->nics[0].bridge[0])
		return;
	if (ready_find_prober(s, &prober, &e) == 0)
		ln->fd = port_probe_socket(s->nics[0].ifname, &s->nics[0].mac, &prober.mac, &e);
	if (ln->fd < 0) {
		log_limited(LOG_WARN, "service=%s its address cannot be learned: %s", s->conf->name, e.text);
		ln->fd = -1;
		return;
	}
	ln->seen = false;
	ln->later = (struct ip_addr){ 0 };
	ln->changes = (struct learned_changes){ 0 };
	ln->ask_ms = ASK_FIRST_MS;
	send_start(s);
	arm(ln);
}

void learning_end(struct service *s)
{
	struct learning *ln = s->learning;
	struct msg_probe_stop m = { s->index, s->gen };

	if (!ln || ln->fd < 0)
		return;
	if (s->l->synproxy)
		ipc_send(s->l->synproxy, MSG_LEARN_STOP, &m);
	reaper_close(s->l->reaper, ln->fd);
	ln->fd = -1;
	arm(ln);
}

void learning_synproxy_new(struct launcher *l)
{
	struct learning *ln;

	LIST_FOREACH(ln, &l->learning, next) {
		if (ln->fd >= 0)
			send_start(ln->s);
	}
}

/* ---- life ---- */

static void forget(struct service *s, const char *why)
{
	struct learning *ln = s->learning;
	char text[ADDR_TEXT_MAX];

	log_warn("service=%s its learned address %s is forgotten: %s", s->conf->name, prefix_format(&ln->address.at, text),
		 why);
	events_address(s, "forgotten: %s", why);
	ln->address = (struct learned_address){ 0 };
	ln->seen = false;
	tell_synproxy(s, true, LEARN_ARP, &(struct ip_addr){ 0 });
	change(s);
	arm(ln);
}

/* A record has it: that counts more. */
static void make_room(const struct service *s)
{
	struct learning *ln;

	LIST_FOREACH(ln, &s->l->learning, next) {
		for (size_t i = 0; ln->s != s && i < s->conf->ip.n; i++) {
			if (!learned_is_known(&ln->address) || !ip_equal(&s->conf->ip.v[i].addr, &ln->address.at.addr))
				continue;
			forget(ln->s, "it is another service's by its record");
			break;
		}
	}
}

static void begin(struct service *s)
{
	struct learning *ln = calloc(1, sizeof(*ln));

	if (!ln)
		abort();
	ln->s = s;
	ln->fd = -1;
	ln->refused = NOTE_NONE;
	ln->timer = evtimer_new(s->l->base, on_timer, ln);
	if (!ln->timer)
		abort();
	LIST_INSERT_HEAD(&s->l->learning, ln, next);
	s->learning = ln;
}

void learning_configured(struct service *s)
{
	if (is_learned(s->conf) && !s->learning)
		begin(s);
	else if (!is_learned(s->conf) && s->learning)
		learning_free(s);
	list(s);
	make_room(s);
	learning_begin(s);
}

void learning_free(struct service *s)
{
	struct learning *ln = s->learning;

	if (!ln)
		return;
	learning_end(s);
	LIST_REMOVE(ln, next);
	event_free(ln->timer);
	note_free(&ln->refused);
	free(ln);
	s->learning = NULL;
	s->addrs = NULL;
	s->n_addrs = 0;
}

void learning_know(struct service *s, const char *text)
{
	struct learning *ln = s->learning;
	struct learned_address a;
	struct err e;

	if (!ln || learned_is_known(&ln->address))
		return;
	if (learned_parse(text, &a) < 0) {
		log_warn("service=%s what was learned of its address cannot be read, and is forgotten", s->conf->name);
		return;
	}
	if (check_others(s, &a.at.addr, &e) < 0) {
		log_warn("service=%s its learned address is forgotten: %s", s->conf->name, e.text);
		return;
	}
	ln->address = a;
	list(s);
}

static bool has_own_macs(const struct service_conf *c)
{
	static const struct mac_addr derived;

	for (size_t i = 0; i < c->machine.nics.n; i++) {
		if (memcmp(&c->machine.nics.v[i].mac, &derived, sizeof(derived)) == 0)
			return false;
	}
	return true;
}

char *learning_to_keep(const struct service *s, const struct service_conf *c)
{
	char text[LEARNED_TEXT_MAX];
	char *kept;

	if (!learning_print(s, text) || !is_learned(c) || !has_own_macs(c))
		return NULL;
	kept = strdup(text);
	if (!kept)
		abort();
	return kept;
}

/* Its boots are counted anew: the next one is another than the last that was counted. */
void learning_take_over(struct service *s, const char *text)
{
	learning_know(s, text);
	if (!s->learning || learning_is_unknown(s))
		return;
	s->learning->address.boot = 0;
	change(s);
}

bool learning_print(const struct service *s, char out[LEARNED_TEXT_MAX])
{
	if (!s->learning || learning_is_unknown(s))
		return false;
	learned_print(&s->learning->address, out);
	return true;
}

/* ---- telling ---- */

void learning_explain_hold(const struct service *s, char *out, size_t size)
{
	const struct learning *ln = s->learning;

	out[0] = '\0';
	if (!ln || ln->address.stable)
		return;
	if (ln->refused[0])
		snprintf(out, size, "%s", ln->refused);
	else if (!learned_is_known(&ln->address))
		snprintf(out, size, "its address is not known yet: it is learned when its VM runs");
	else
		snprintf(out, size, "its learned address has not proved stable yet: once its VM had it in %d boots, or for %d "
				    "minutes, its clients are held", LEARNED_BOOTS, LEARNED_STABLE_MS / 60000);
}

void learning_describe(const struct service *s, struct msg_ctl_row *row)
{
	const struct learning *ln = s->learning;

	if (!ln)
		return;
	if (learned_is_known(&ln->address)) {
		row_str(row, "ip_from", "%s", learn_name(ln->address.how));
		row_num(row, "ip_since_wall_ms", ln->address.since_ms);
		row_num(row, "ip_boots", ln->address.boots);
	}
	row_bool(row, "ip_stable", ln->address.stable);
	if (ln->refused[0])
		row_str(row, "ip_refused", "%s", ln->refused);
}
