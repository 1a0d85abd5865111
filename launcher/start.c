/* From a service's record to a start request: files looked at, taps made, command line filled in. */
#include <inttypes.h>

#include "base/buf.h"
#include "base/xl_text.h"
#include "launcher/launcher.h"

/* Services that are held on a bridge; then it is about 0.06 ms to look through what the bridge knows. */
enum { SPARE_FROM = 1000 };

/* ---- the command line ---- */

struct words {
	char ip[ADDR_TEXT_MAX], ip6[ADDR_TEXT_MAX], prefix[8], gw[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX], boot[24], label[MSG_NAME_MAX];
	const char *name;
};

/* The first address of the network: where home routers are. */
static void first_of_network(const struct ip_prefix *p, struct ip_addr *out)
{
	*out = p->addr;
	for (unsigned bit = p->len; bit < 128; bit++)
		out->b[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	out->b[15] |= 1;
}

static void find_words(const struct service *s, struct words *w)
{
	const struct service_conf *c = s->conf;
	struct ip_addr gw;

	*w = (struct words){ .name = c->name };
	if (c->dns.n > 0)
		snprintf(w->label, sizeof(w->label), "%.*s", (int)strcspn(c->dns.v[0], "."), c->dns.v[0]);
	for (size_t i = c->ip.n; i-- > 0;) {
		const struct ip_prefix *p = &c->ip.v[i].prefix;

		if (!ip_is_v4(&p->addr)) {
			ip_format(&p->addr, w->ip6);
			continue;
		}
		ip_format(&p->addr, w->ip);
		snprintf(w->prefix, sizeof(w->prefix), "%u", prefix_bits(p));
		first_of_network(p, &gw);
		ip_format(&gw, w->gw);
	}
	if (c->gateway[0])
		str_copy(w->gw, c->gateway);
	if (s->n_nics > 0)
		mac_format(&s->nics[0].mac, w->mac);
	snprintf(w->boot, sizeof(w->boot), "%" PRIu64, s->run.boots);
}

static const char *word_value(const struct words *w, const char *name, size_t n)
{
	const struct {
		const char *name, *value;
	} words[] = {
		{ "ip", w->ip },   { "ip6", w->ip6 },	{ "prefix", w->prefix }, { "gw", w->gw },
		{ "mac", w->mac }, { "name", w->name }, { "boot", w->boot },
		{ "label", w->label },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strlen(words[i].name) == n && memcmp(words[i].name, name, n) == 0)
			return words[i].value;
	}
	return "";
}

/* {name} becomes its value, {{ a brace; config/load.c has refused unknown ones. */
static int fill_cmdline(const struct service *s, char *out, size_t size, struct err *e)
{
	cleanup_buf struct buf line = { 0 };
	struct words w;

	find_words(s, &w);
	for (const char *p = s->conf->machine.cmdline; *p; p++) {
		const char *end = *p == '{' && p[1] != '{' ? strchr(p, '}') : NULL;

		if (end) {
			buf_adds(&line, word_value(&w, p + 1, (size_t)(end - p - 1)));
			p = end;
			continue;
		}
		if (*p == '{' && p[1] == '{')
			p++;
		buf_add(&line, p, 1);
	}
	if (line.error || !str_copy_n(out, size, line.text ? line.text : ""))
		return err_set(e, -EMSGSIZE, "the command line is longer than %zu bytes once filled in: shorten \"cmdline\"",
			       size - 1);
	return 0;
}

/* ---- files ---- */

/* On Xen root opens them: the toolstack, and dom0's kernel for the disks. */
static const struct image_reader *reader_of(const struct service *s)
{
	const struct hypervisor_conf *hv = conf_hypervisor(s->l->conf, s->conf->machine.hypervisor);

	return hv && uri_is_xen(hv->uri) ? NULL : &s->l->qemu;
}

static int check_files(const struct service *s, struct err *e)
{
	const struct machine_conf *m = &s->conf->machine;
	const struct string_list *dirs = &s->l->conf->image_dirs;
	const struct image_reader *reader = reader_of(s);
	int r = image_check(dirs, m->kernel, IMAGE_KERNEL, reader, NULL, e);

	if (r == 0 && m->initrd[0])
		r = image_check(dirs, m->initrd, IMAGE_INITRD, reader, NULL, e);
	for (size_t i = 0; r == 0 && i < m->disks.n; i++)
		r = image_check(dirs, m->disks.v[i].path, m->disks.v[i].read_only ? IMAGE_DISK_READ_ONLY : IMAGE_DISK, reader,
				NULL, e);
	return r;
}

/* ---- a domain of xl's ---- */

int start_xl_name(const struct launcher *l, const struct service_conf *c, char *name, size_t size, struct err *e)
{
	const char *path = c->machine.xl_config;
	cleanup_buf struct buf text = { 0 };
	struct err why;
	int r = image_check(&l->conf->image_dirs, path, IMAGE_XL_CONFIG, NULL, NULL, e);

	if (r < 0)
		return r;
	r = buf_read_file(&text, path, XL_TEXT_BYTES_MAX);
	if (r < 0)
		return err_set_errno(e, r, "cannot read %s", path);
	r = xl_text_name(text.text ? text.text : "", name, size, &why);
	return r < 0 ? err_set(e, r, "%s:%s", path, why.text) : 0;
}

bool start_is_domain_of(const struct service *s, const char *hypervisor, const char *name)
{
	return s->hv && strcmp(s->hv->name, hypervisor) == 0 && s->target && strcmp(s->target, name) == 0;
}

/* Somebody may have given it another service's name since it was looked at last: that one keeps it. */
static int read_xl_name(const struct service *s, char *name, size_t size, struct err *e)
{
	const struct machine_conf *m = &s->conf->machine;
	const struct service *other;
	char found[MSG_NAME_MAX * 2];
	int r = start_xl_name(s->l, s->conf, found, sizeof(found), e);

	if (r < 0)
		return r;
	FOR_EACH_SERVICE(s->l, other) {
		if (other != s && start_is_domain_of(other, m->hypervisor, found))
			return err_set(e, -EEXIST, "%.300s names its domain \"%.100s\", as service \"%s\" does its own: "
						   "give it another name", m->xl_config, found, other->conf->name);
	}
	str_copy_n(name, size, found);
	return 0;
}

void start_name_domain(const struct service *s, char *name, size_t size)
{
	const struct machine_conf *m = &s->conf->machine;
	struct err ignored; /* the start tells it */

	if (m->domain[0] || read_xl_name(s, name, size, &ignored) < 0)
		str_copy_n(name, size, m->domain[0] ? m->domain : m->xl_config);
}

int start_name_file(struct service *s, char domain[MSG_NAME_MAX * 2], char file[MSG_PATH_MAX], struct err *e)
{
	int r = read_xl_name(s, domain, MSG_NAME_MAX * 2, e);

	if (r < 0)
		return r;
	service_set_target(s, domain);
	str_copy_n(file, MSG_PATH_MAX, s->conf->machine.xl_config);
	return 0;
}

/* ---- taps ---- */

static void choose_mac(const struct service *s, size_t nic, struct mac_addr *out)
{
	const struct nic_conf *c = &s->conf->machine.nics.v[nic];

	if (mac_is_zero(&c->mac))
		identity_mac(&s->l->identity, s->conf->name, (unsigned)nic, out);
	else
		*out = c->mac;
}

void start_describe_nic(const struct service *s, size_t nic, struct msg_nic *out)
{
	memset(out, 0, sizeof(*out));
	choose_mac(s, nic, &out->mac);
	str_copy(out->kind, s->on_taps ? "ethernet" : "vif");
	str_copy(out->bridge, s->conf->machine.nics.v[nic].bridge);
	if (s->on_taps)
		identity_tap_name(&s->l->identity, s->conf->name, (unsigned)nic, out->ifname);
}

void start_name_nics(struct service *s)
{
	service_room(s);
	s->n_nics = 0;
	for (size_t i = 0; i < s->conf->machine.nics.n && i < MSG_NICS_MAX; i++) {
		start_describe_nic(s, i, &s->nics[i]);
		s->n_nics++;
	}
}

static int make_tap(struct service *s, size_t nic, struct err *e)
{
	struct msg_nic *n = &s->nics[nic];
	struct bridge_info bridge;
	struct tap_conf c = { .ifname = n->ifname, .service = s->conf->name, .nic = (unsigned)nic };
	int ifindex, r;

	start_describe_nic(s, nic, n);
	identity_tap_mac(&s->l->identity, s->conf->name, (unsigned)nic, &c.mac);
	r = netlink_bridge(s->l->netlink, n->bridge, &bridge, e);
	if (r < 0)
		return r;
	c.bridge = bridge.ifindex;
	if (nic == 0 && s->hold.place.bridge && s->hold.place.bridge->info.ifindex == bridge.ifindex)
		c.backup = s->hold.place.bridge->tap.ifindex;
	c.mtu = bridge.mtu;
	if (reaper_keep_tap(s->l->reaper, s->l->netlink, n->ifname, bridge.ifindex))
		memset(&c.mac, 0, sizeof(c.mac));
	return netlink_tap_create(s->l->netlink, &c, &ifindex, e);
}

static int make_nics(struct service *s, struct err *e)
{
	size_t n = s->conf->machine.nics.n;
	int r = 0;

	if (!s->on_taps) {
		start_name_nics(s); /* the hypervisor makes the ports */
		return 0;
	}
	service_room(s);
	s->n_nics = 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = make_tap(s, i, e);
		if (r == 0)
			s->n_nics++;
	}
	return r;
}

void start_close_ports(struct service *s)
{
	learning_end(s);
	for (size_t i = 0; s->ports && i < MSG_NICS_MAX; i++) {
		port_close(s->ports[i]);
		s->ports[i] = NULL;
	}
}

static void note_addresses(struct service *s)
{
	struct run_state *run = &s->run;

	static const struct ip_addr unknown = { { [10] = 0xff, [11] = 0xff } }; /* 0.0.0.0: it can ask for one */

	addr_list_clear(&run->addrs);
	for (size_t i = 0; i < s->n_addrs; i++) {
		if (!addr_list_add(&run->addrs, &s->addrs[i].addr))
			abort();
	}
	if (learning_is_unknown(s) && !addr_list_add(&run->addrs, &unknown))
		abort();
}

/* What a VM on a tap of ours sends must be from its own addresses, which it was started with: the record may
 * have others by now.  They are the first NIC's. */
static void guard(struct service *s, uint16_t nic, struct port_conf *c)
{
	c->guard = !machine_is_defined(&s->conf->machine) && !mac_is_zero(&c->vm_mac);
	if (!c->guard || nic > 0)
		return;
	if (s->run.addrs.n == 0)
		note_addresses(s);
	c->n_guard_addrs = s->run.addrs.n;
	for (uint16_t i = 0; i < s->run.addrs.n; i++)
		c->guard_addrs[i] = s->run.addrs.v[i];
}

void start_open_ports(struct service *s)
{
	const struct bridge_conf *bridges = s->l->conf->bridges.v;

	for (uint16_t i = 0; i < s->n_nics; i++) {
		struct port_conf c = { .ifname = s->nics[i].ifname, .vm_mac = s->nics[i].mac };
		struct bridge_info info;
		struct prober prober;
		struct err e;

		if (s->ports[i] || !s->nics[i].ifname[0])
			continue;
		guard(s, i, &c);
		for (size_t b = 0; b < s->l->conf->bridges.n; b++) {
			if (strcmp(bridges[b].name, s->nics[i].bridge) != 0 ||
			    netlink_bridge(s->l->netlink, bridges[b].name, &info, &e) < 0)
				continue;
			prober_choose(&s->l->identity, &info, &bridges[b].probe_ip, &bridges[b].probe_ip6, &prober);
			c.ignore_mac = prober.ignore_mac;
		}
		if (port_open(s->l->monitor, &c, &s->ports[i], &e) == 0)
			continue;
		if (e.code == -ENODEV && !s->on_taps) /* it went with its VM, whose end is not known yet */
			log_debug("service=%s its traffic cannot be counted: %s", s->conf->name, e.text);
		else
			log_warn("service=%s its traffic cannot be counted: %s", s->conf->name, e.text);
	}
	learning_begin(s);
}

void start_guard_again(struct service *s)
{
	if (machine_is_defined(&s->conf->machine) || !state_counts(s->state))
		return;
	note_addresses(s);
	run_state_save(s->l->conf->run_dir, s->conf->name, &s->run);
	if (s->ports && s->ports[0])
		port_guard_allow(s->ports[0], s->run.addrs.v, s->run.addrs.n);
}

/* May its first port be another VM's next?  Where few are held, that spares nothing worth having a tap there for. */
static bool may_spare(const struct service *s)
{
	const struct hold_bridge *b = s->hold.place.bridge;

	return b && b->n_held >= SPARE_FROM && s->hold.at == HOLD_AT_TAP && s->ports && s->ports[0] &&
	       port_is_guarded(s->ports[0]);
}

/* Of a VM that is gone. */
static void let_go_of_tap(const struct service *s, const struct msg_nic *n, bool spare)
{
	if (strncmp(n->ifname, TAP_PREFIX, strlen(TAP_PREFIX)) != 0) /* it may have been of another kind than the record's */
		return;
	if (spare)
		reaper_spare_tap(s->l->reaper, n->ifname, s->hold.place.bridge->info.ifindex, &n->mac);
	else
		reaper_delete_tap(s->l->reaper, n->ifname);
}

void start_clean_up(struct service *s)
{
	bool spare = may_spare(s);

	start_close_ports(s);
	for (uint16_t i = 0; i < s->n_nics; i++) {
		let_go_of_tap(s, &s->nics[i], spare && i == 0);
		s->nics[i].ifname[0] = '\0';
	}
	if (!machine_is_defined(&s->conf->machine))
		s->n_nics = 0;
}

/* ---- the request ---- */

static void add_disks(const struct service *s, struct msg_be_start *m)
{
	const struct disk_list *disks = &s->conf->machine.disks;

	for (size_t i = 0; i < disks->n && i < ARRAY_SIZE(m->disks); i++) {
		str_copy(m->disks[i].path, disks->v[i].path);
		str_copy(m->disks[i].format, disks->v[i].format);
		m->disks[i].read_only = disks->v[i].read_only;
		m->n_disks++;
	}
}

static int fill_machine(struct service *s, struct msg_be_start *m, struct err *e)
{
	const struct machine_conf *c = &s->conf->machine;
	int r = check_files(s, e);

	if (r == 0)
		r = saves_note(s, e);
	if (r == 0)
		r = make_nics(s, e);
	if (r == 0)
		r = fill_cmdline(s, m->cmdline, sizeof(m->cmdline), e);
	if (r < 0)
		return r;
	note_addresses(s);
	snprintf(m->name, sizeof(m->name), "jitsu-%s", s->conf->name);
	str_copy(m->uuid, s->uuid);
	str_copy(m->kernel, c->kernel);
	str_copy(m->initrd, c->initrd);
	str_copy(m->arch, c->arch);
	str_copy(m->machine, c->machine);
	m->vcpus = (uint16_t)c->vcpus;
	m->memory_bytes = c->memory_bytes;
	add_disks(s, m);
	m->guest_channel = guest_wants_channel(s);
	m->n_nics = s->n_nics;
	memcpy(m->nics, s->nics, s->n_nics * sizeof(*m->nics));
	return 0;
}

static int name_file(struct service *s, struct msg_be_start *m, struct err *e)
{
	int r = start_name_file(s, m->domain, m->xl_config, e);

	return r < 0 ? r : saves_note(s, e);
}

int start_send(struct service *s, const char *save, struct err *e)
{
	struct msg_be_start m = { .svc = s->index, .gen = s->gen };
	int r = 0;

	str_copy(m.save, save);
	m.fresh = s->fresh;
	s->run.boots += !s->restores;
	if (s->conf->machine.xl_config[0])
		r = name_file(s, &m, e);
	else if (s->conf->machine.domain[0])
		str_copy(m.domain, s->conf->machine.domain);
	else
		r = fill_machine(s, &m, e);
	if (r < 0)
		return r;
	r = hypervisor_start(s, &m);
	if (r < 0)
		return err_set(e, r, "hypervisor \"%s\" is not connected", s->conf->machine.hypervisor);
	return 0;
}
