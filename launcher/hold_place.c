/* On which bridge and with which MAC a service is held, or why it is not. */
#include "launcher/launcher.h"

static int refuse_kind(const struct msg_nic *n, struct err *e)
{
	static const struct {
		const char *kind, *what;
	} kinds[] = {
		{ "user", "its first NIC is a user-mode one, behind an address translation of QEMU's own" },
		{ "direct", "its first NIC is a macvtap, which is on no bridge" },
		{ "openvswitch", "its first NIC is a port of Open vSwitch, which is no Linux bridge" },
		{ "hostdev", "its first NIC is a device of the host's own" },
	};
	const char *what = "its first NIC is on no Linux bridge";

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(n->kind, kinds[i].kind) == 0)
			what = kinds[i].what;
	}
	return err_set(e, -EOPNOTSUPP, "%s: put it on a Linux bridge, or set \"hold\": \"off\"", what);
}

int hold_place_check_nic(const struct msg_nic *n, struct err *e)
{
	if (!n)
		return err_set(e, -EOPNOTSUPP, "it has no NIC");
	if (!n->bridge[0])
		return refuse_kind(n, e);
	if (mac_is_zero(&n->mac) || n->mac.b[0] & 1)
		return err_set(e, -EOPNOTSUPP, "the MAC of its first NIC is not known");
	return 0;
}

/* Of an existing domain. */
static int find_known_nic(const struct service *s, struct msg_nic *out, struct err *e)
{
	const struct machine_conf *m = &s->conf->machine;

	if (s->n_nics > 0 && s->hold.mac_varies)
		return err_set(e, -EOPNOTSUPP, "the first vif in %s has no MAC, so that each start gives it another one: "
					       "give it mac=", m->xl_config);
	if (s->n_nics > 0) {
		*out = s->nics[0];
		return 0;
	}
	if (s->hold.unread[0])
		return err_set(e, -EOPNOTSUPP, "%s", s->hold.unread);
	if (!s->hold.known)
		return err_set(e, -EAGAIN, "hypervisor \"%s\" has not told yet which NICs its domain has",
			       m->hypervisor);
	if (m->xl_config[0])
		return err_set(e, -EOPNOTSUPP, "%s gives its domain no NIC: add vif", m->xl_config);
	return err_set(e, -EOPNOTSUPP, "hypervisor \"%s\" knows no domain \"%s\" with a NIC", m->hypervisor, s->target);
}

/* As the VM has it, or will have it at its next start. */
static int find_nic(struct service *s, struct msg_nic *out, struct err *e)
{
	const struct machine_conf *m = &s->conf->machine;
	bool there = state_counts(s->state) || s->stop_under_way;

	if (!machine_is_defined(m) && (!there || s->n_nics == 0)) {
		if (m->nics.n == 0)
			return err_set(e, -EOPNOTSUPP, "it has no NIC");
		start_describe_nic(s, 0, out);
		return 0;
	}
	return find_known_nic(s, out, e);
}

/* Before our tap is made: to make it for nothing would be news of the bridge, and it would be tried again. */
static int check_addresses(struct service *s, const char *bridge, struct err *e)
{
	struct bridge_info b;
	struct prober prober;
	char text[ADDR_TEXT_MAX];
	int r = hold_bridges_look(s->l, bridge, &b, &prober, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < s->n_addrs; i++) {
		const struct ip_addr *a = &s->addrs[i].addr;

		if (ip_equal(a, &b.ip4.addr) || ip_equal(a, &b.ip6.addr))
			return err_set(e, -EADDRINUSE, "its address %s is the one of bridge %s itself", ip_format(a, text),
				       b.name);
		if (ip_is_v4(a) && ip_is_zero(&prober.ip4))
			return err_set(e, -EADDRNOTAVAIL,
				       "bridge %s has no address to ask its VM from: give it one, or set its \"probe_ip\"",
				       b.name);
	}
	return 0;
}

/* Those whose MACs have this hash: each start looks for twins of all services. */
static struct service **macs_of(struct launcher *l, const struct mac_addr *mac)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < sizeof(mac->b); i++) /* FNV-1a */
		h = (h ^ mac->b[i]) * 16777619u;
	return &l->by_mac[h % SERVICE_NAMES];
}

void hold_place_enter(struct service *s)
{
	struct service **chain = macs_of(s->l, &s->hold.place.mac);

	s->same_mac = *chain;
	*chain = s;
	s->hold.place.bridge->n_held++;
}

void hold_place_leave(struct service *s)
{
	struct service **at = macs_of(s->l, &s->hold.place.mac);

	while (*at != s)
		at = &(*at)->same_mac;
	*at = s->same_mac;
	s->hold.place.bridge->n_held--;
}

/* Two with one MAC would take it from each other. */
static int check_twins(const struct service *s, const struct hold_place *p, struct err *e)
{
	char text[MAC_TEXT_MAX];

	for (const struct service *other = *macs_of(s->l, &p->mac); other; other = other->same_mac) {
		const struct hold_place *o = &other->hold.place;

		if (other != s && o->bridge == p->bridge && memcmp(&o->mac, &p->mac, sizeof(p->mac)) == 0)
			return err_set(e, -EEXIST, "service \"%s\" has the same MAC %s on bridge %s", other->conf->name,
				       mac_format(&p->mac, text), p->bridge->info.name);
	}
	return 0;
}

bool hold_place_has(struct launcher *l, const struct hold_bridge *b, const struct mac_addr *mac)
{
	for (const struct service *s = *macs_of(l, mac); s; s = s->same_mac) {
		const struct hold *h = &s->hold;

		if (h->place.bridge == b && (h->at == HOLD_AT_TAP || !h->known) &&
		    memcmp(&h->place.mac, mac, sizeof(*mac)) == 0)
			return true;
	}
	return false;
}

int hold_place_find(struct service *s, struct hold_place *out, struct err *e)
{
	struct hold_place p = { 0 };
	struct msg_nic nic = { 0 };
	char why[MSG_TEXT_MAX];
	int r;

	if (!service_is_served(s) || s->conf->hold == HOLD_OFF || conf_is_template(s->conf))
		return -ENOENT;
	if (!hold_bridges_ready(s->l))
		return err_set(e, -EAGAIN, "jitsud is starting");
	r = find_nic(s, &nic, e);
	if (r < 0)
		return r;
	r = hold_place_check_nic(&nic, e);
	if (r < 0)
		return r;
	learning_explain_hold(s, why, sizeof(why));
	if (why[0])
		return err_set(e, -EAGAIN, "%s", why);
	p.mac = nic.mac;
	r = check_addresses(s, nic.bridge, e);
	if (r < 0)
		return r;
	p.bridge = hold_bridges_get(s->l, nic.bridge, e);
	if (!p.bridge)
		return e->code;
	for (size_t i = 0; i < s->n_addrs; i++) {
		if (!addr_list_add(&p.addrs, &s->addrs[i].addr))
			abort();
	}
	if (!hold_place_equal(&p, &s->hold.place)) /* where it is already, there is no other */
		r = check_twins(s, &p, e);
	if (r == 0)
		*out = p;
	else
		hold_place_clear(&p);
	return r;
}

void hold_place_clear(struct hold_place *p)
{
	addr_list_clear(&p->addrs);
	*p = (struct hold_place){ 0 };
}

static uint64_t add(uint64_t hash, const void *bytes, size_t n)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < n; i++) /* FNV-1a */
		hash = (hash ^ b[i]) * 1099511628211u;
	return hash;
}

uint64_t hold_place_claim(const struct hold_place *p)
{
	uint64_t hash = 14695981039346656037u;

	hash = add(hash, p->bridge->info.name, strlen(p->bridge->info.name) + 1);
	hash = add(hash, &p->mac, sizeof(p->mac));
	hash = add(hash, p->addrs.v, p->addrs.n * sizeof(p->addrs.v[0]));
	return hash ? hash : 1;
}

bool hold_place_equal(const struct hold_place *a, const struct hold_place *b)
{
	return a->bridge == b->bridge && memcmp(&a->mac, &b->mac, sizeof(a->mac)) == 0 &&
	       addr_list_equal(&a->addrs, &b->addrs);
}
