/* Theory of operation
 *
 * A port has an ifindex and one of two counters on it.
 *
 * BPF: activity.bpf.c's two programs on the clsact hooks of the interface, at a handle and a
 * priority that are always the same, so that a launcher that was restarted replaces its
 * predecessor's programs instead of adding to them.  The programs count into the port's entry of
 * a hash map, one copy per CPU; without an entry they count nothing.  The programs outlive this
 * process: until they are replaced they cost a lookup per packet.  An interface of somebody
 * else's may have an `ingress` qdisc where clsact would go (libvirt makes one for <bandwidth>):
 * then that port gets a socket.
 *
 * Socket: a packet socket with the same rules as a classic filter.  Nobody reads it: its buffer
 * fills with the first two or three frames, and from then on a frame costs the filter and an
 * addition, as a drop.  PACKET_STATISTICS counts drops too.  It has no times: what was counted
 * since the last look is taken to have come just now, which keeps a VM up at most as long as
 * the time between two looks too long.
 *
 * Refused: the interface's own statistics (they count ARP and floods), a ring that a process must
 * read (wakes it for every packet of every VM), nftables counters (a rule set that somebody
 * else flushes), tcx links (kernel 6.6).
 */
#include "launcher/port.h"

#include <assert.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "launcher/activity.h"
#include "launcher/bpf_load.h"
#include "launcher/filter.h"
#include "launcher/netlink.h"
#include "launcher/netlink_internal.h"

enum {
	TC_HANDLE = 0x6a74, /* "jt": unlikely to be anybody else's */
	TC_PRIORITY = 0x6a74,
	PROBE_BUFFER_BYTES = 128 * 1024,
	SEND_BUFFER_BYTES = 1024 * 1024, /* a burst of 256 frames, as the kernel accounts for them */
};

BPF_OBJECT(activity_object, ACTIVITY_BPF);

static_assert((int)GUARD_ADDRS_MAX == MSG_LIST_MAX, "a guard has room for all addresses of a service");

struct port_monitor {
	struct netlink *nl;
	enum port_way way;
	struct bpf_object *object;
	int map, guards, from_vm, to_vm; /* descriptors of the object's */
	int cpus;
	struct activity *values; /* room for one entry of every CPU */
	int control; /* a socket for ioctls */
	unsigned n_ports;
	char note[MSG_TEXT_MAX];
};

struct port {
	struct port_monitor *m;
	struct port_conf conf;
	char ifname[MSG_IFNAME_MAX];
	int ifindex;
	enum port_way way;
	bool owns_hook; /* BPF: the clsact qdisc is ours, to be taken off */
	int sock; /* socket way */
	struct port_activity seen; /* socket way: so far */
};

/* ---- what all ports share ---- */

static void use_sockets(struct port_monitor *m, const char *why)
{
	m->way = PORT_WAY_SOCKET;
	snprintf(m->note, sizeof(m->note),
		 "no BPF (%s): when a VM was last used is known to the second only, and what VMs send with others' "
		 "addresses is not dropped",
		 why);
}

static void start_bpf(struct port_monitor *m)
{
	m->object = bpf_load("jitsu_activity", activity_object, activity_object_end);
	if (!m->object) {
		use_sockets(m, strerror(errno));
		return;
	}
	m->map = bpf_load_map(m->object, "ports");
	m->guards = bpf_load_map(m->object, "guards");
	m->from_vm = bpf_load_program(m->object, "from_vm");
	m->to_vm = bpf_load_program(m->object, "to_vm");
	m->cpus = libbpf_num_possible_cpus();
	m->values = m->cpus > 0 ? calloc((size_t)m->cpus, sizeof(*m->values)) : NULL;
}

struct port_monitor *port_monitor_new(struct netlink *nl, enum port_way way, struct err *e)
{
	struct port_monitor *m = calloc(1, sizeof(*m));

	if (m) {
		m->nl = nl;
		m->way = way;
		m->control = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (way == PORT_WAY_BPF)
			start_bpf(m);
		else
			use_sockets(m, "not wanted");
	}
	if (!m || m->control < 0 || (m->way == PORT_WAY_BPF && !m->values)) {
		err_set(e, -ENOMEM, "no memory to count the use of VMs");
		port_monitor_free(m);
		return NULL;
	}
	return m;
}

void port_monitor_free(struct port_monitor *m)
{
	if (!m)
		return;
	assert(m->n_ports == 0);
	if (m->object)
		bpf_object__close(m->object);
	fd_close(&m->control);
	free(m->values);
	free(m);
}

enum port_way port_monitor_way(const struct port_monitor *m) { return m->way; }

const char *port_monitor_note(const struct port_monitor *m) { return m->note; }

/* ---- counting by BPF ---- */

static int attach_program(int ifindex, enum bpf_tc_attach_point where, int program)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = where);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY, .prog_fd = program,
		    .flags = BPF_TC_F_REPLACE);

	return bpf_tc_attach(&hook, &opts);
}

static void detach_program(int ifindex, enum bpf_tc_attach_point where)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = where);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	bpf_tc_detach(&hook, &opts);
}

/* A predecessor's, or ours. */
static bool has_program(int ifindex, enum bpf_tc_attach_point where)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = where);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	return bpf_tc_query(&hook, &opts) == 0;
}

static int on_filter(const struct nlmsghdr *h, void *arg)
{
	if (h->nlmsg_type == RTM_NEWTFILTER)
		*(bool *)arg = true;
	return MNL_CB_OK;
}

/* Is anything attached at this hook?  In doubt, yes. */
static bool hook_in_use(struct netlink *nl, int ifindex, uint32_t parent)
{
	struct request r;
	struct tcmsg *tc;
	bool used = false;

	request_begin(&r, RTM_GETTFILTER, NLM_F_DUMP);
	tc = mnl_nlmsg_put_extra_header(r.h, sizeof(*tc));
	tc->tcm_family = AF_UNSPEC;
	tc->tcm_ifindex = ifindex;
	tc->tcm_parent = parent;
	return netlink_talk(nl, &r, on_filter, &used) < 0 || used;
}

static void drop_hook(struct port_monitor *m, int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	if (hook_in_use(m->nl, ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)) ||
	    hook_in_use(m->nl, ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)))
		return;
	bpf_tc_hook_destroy(&hook);
}

static void close_bpf(struct port *p)
{
	uint32_t key = (uint32_t)p->ifindex;

	detach_program(p->ifindex, BPF_TC_INGRESS);
	detach_program(p->ifindex, BPF_TC_EGRESS);
	bpf_map_delete_elem(p->m->map, &key);
	bpf_map_delete_elem(p->m->guards, &key);
	if (p->owns_hook)
		drop_hook(p->m, p->ifindex);
}

static int begin_entry(struct port *p)
{
	struct port_monitor *m = p->m;
	uint32_t key = (uint32_t)p->ifindex;

	memset(m->values, 0, (size_t)m->cpus * sizeof(*m->values));
	for (int i = 0; i < m->cpus; i++) {
		memcpy(m->values[i].vm_mac, &p->conf.vm_mac, sizeof(m->values[i].vm_mac));
		memcpy(m->values[i].ignore_mac, &p->conf.ignore_mac, sizeof(m->values[i].ignore_mac));
	}
	return bpf_map_update_elem(m->map, &key, m->values, BPF_ANY) < 0 ? -errno : 0;
}

static int begin_guard(struct port *p)
{
	struct guard g = { .on = p->conf.guard, .n_addrs = (uint8_t)p->conf.n_guard_addrs };
	uint32_t key = (uint32_t)p->ifindex;

	memcpy(g.mac, &p->conf.vm_mac, sizeof(g.mac));
	for (uint16_t i = 0; i < p->conf.n_guard_addrs; i++)
		memcpy(g.addrs[i], p->conf.guard_addrs[i].b, sizeof(g.addrs[i]));
	return bpf_map_update_elem(p->m->guards, &key, &g, BPF_ANY) < 0 ? -errno : 0;
}

/* -EEXIST: the place is taken by a qdisc of another kind. */
static int make_hook(struct port *p)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = p->ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	char kind[NETLINK_KIND_MAX];
	struct err ignored;
	int r = netlink_ingress_kind(p->m->nl, p->ifindex, kind, &ignored);

	if (r < 0)
		return r;
	if (strcmp(kind, "clsact") == 0) {
		/* where our predecessor's programs are, the hook was its own, too */
		p->owns_hook = has_program(p->ifindex, BPF_TC_INGRESS);
		return 0;
	}
	if (*kind)
		return -EEXIST;
	r = bpf_tc_hook_create(&hook);
	p->owns_hook = r == 0;
	return r;
}

static int open_bpf(struct port *p)
{
	int r = make_hook(p);

	if (r == 0)
		r = begin_entry(p);
	if (r == 0)
		r = begin_guard(p);
	if (r == 0)
		r = attach_program(p->ifindex, BPF_TC_INGRESS, p->m->from_vm);
	if (r == 0)
		r = attach_program(p->ifindex, BPF_TC_EGRESS, p->m->to_vm);
	if (r < 0)
		close_bpf(p);
	return r;
}

static bool is_gone(const struct port *p)
{
	struct ifreq ifr = { .ifr_ifindex = p->ifindex };

	return ioctl(p->m->control, SIOCGIFNAME, &ifr) < 0 && errno == ENODEV;
}

/* One value for each CPU, in m->values. */
static int read_entry(struct port *p)
{
	uint32_t key = (uint32_t)p->ifindex;

	return bpf_map_lookup_elem(p->m->map, &key, p->m->values) < 0 ? -errno : 0;
}

static int read_bpf(struct port *p, uint64_t now_ns, struct port_activity *out)
{
	struct port_monitor *m = p->m;
	struct port_activity sum = { 0 };
	int r = is_gone(p) ? -ENODEV : read_entry(p);

	if (r < 0)
		return r;
	for (int i = 0; i < m->cpus; i++) {
		sum.last_ns = MAX(sum.last_ns, m->values[i].last_ns);
		sum.packets += m->values[i].packets;
		sum.bytes += m->values[i].bytes;
	}
	sum.last_ns = MIN(sum.last_ns, now_ns);
	*out = sum;
	return 0;
}

bool port_is_guarded(const struct port *p) { return p->conf.guard && p->way == PORT_WAY_BPF; }

void port_guard_allow(struct port *p, const struct ip_addr *addrs, uint16_t n)
{
	p->conf.n_guard_addrs = MIN(n, (uint16_t)MSG_LIST_MAX);
	memcpy(p->conf.guard_addrs, addrs, p->conf.n_guard_addrs * sizeof(*addrs));
	if (port_is_guarded(p) && begin_guard(p) < 0)
		log_warn("the guard of %s still has the VM's old addresses", p->conf.ifname);
}

uint64_t port_guard_drops(struct port *p)
{
	uint64_t drops = 0;

	if (p->way != PORT_WAY_BPF || read_entry(p) < 0)
		return 0;
	for (int i = 0; i < p->m->cpus; i++)
		drops += p->m->values[i].guard_drops;
	return drops;
}

uint64_t port_first_data(struct port *p)
{
	uint32_t key = (uint32_t)p->ifindex;
	struct guard g;

	return p->way == PORT_WAY_BPF && bpf_map_lookup_elem(p->m->guards, &key, &g) == 0 ? g.first_data_ns : 0;
}

void port_first_data_reset(struct port *p)
{
	if (p->way == PORT_WAY_BPF)
		begin_guard(p);
}

/* ---- packet sockets ---- */

/* Bound to the interface, with the filter on before the first frame.  Made with protocol 0 and
 * bound once: a second bind would wait for every CPU. */
static int packet_socket(int ifindex, const struct filter *f, bool lock, int buffer)
{
	struct sockaddr_ll where = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = ifindex };
	cleanup_close int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, burst = SEND_BUFFER_BYTES, done, r;

	if (fd < 0)
		return -errno;
	r = filter_attach(f, fd, lock);
	if (r < 0)
		return r;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	if (lock) { /* the prober's */
		if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
			return -errno;
		/* straight to the port, also while its queue is still asleep; else as usual */
		setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &burst, sizeof(burst));
	}
	if (bind(fd, (void *)&where, sizeof(where)) < 0)
		return -errno;
	done = fd;
	fd = -1;
	return done;
}

static int open_socket(struct port *p)
{
	struct filter f;

	filter_activity(&f, &p->conf.vm_mac, &p->conf.ignore_mac);
	p->sock = packet_socket(p->ifindex, &f, false, 0);
	return MIN(p->sock, 0);
}

static int read_socket(struct port *p, uint64_t now_ns, struct port_activity *out)
{
	struct tpacket_stats stats;
	socklen_t n = sizeof(stats);

	if (is_gone(p))
		return -ENODEV;
	if (getsockopt(p->sock, SOL_PACKET, PACKET_STATISTICS, &stats, &n) < 0)
		return -errno;
	if (stats.tp_packets > 0) {
		p->seen.packets += stats.tp_packets;
		p->seen.last_ns = now_ns;
	}
	*out = p->seen;
	return 0;
}

int port_probe_socket(const char *ifname, const struct mac_addr *vm_mac, const struct mac_addr *probe_mac,
		      struct err *e)
{
	int ifindex = (int)if_nametoindex(ifname);
	struct filter f;
	int fd;

	if (ifindex <= 0)
		return err_set(e, -ENODEV, "there is no interface %s to probe through", ifname);
	filter_probe(&f, vm_mac, probe_mac);
	fd = packet_socket(ifindex, &f, true, PROBE_BUFFER_BYTES);
	if (fd < 0)
		return err_set_errno(e, fd, "cannot open a packet socket on %s to probe through", ifname);
	return fd;
}

/* ---- a port ---- */

/* By BPF, or where this one interface cannot have it, by a socket. */
static int start_counting(struct port *p)
{
	int r = p->m->way == PORT_WAY_BPF ? open_bpf(p) : -EOPNOTSUPP;

	p->way = r == 0 ? PORT_WAY_BPF : PORT_WAY_SOCKET;
	return r == 0 || r == -ENODEV ? r : open_socket(p);
}

int port_open(struct port_monitor *m, const struct port_conf *c, struct port **out, struct err *e)
{
	struct port *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, -ENOMEM, "no memory for port %s", c->ifname);
	p->m = m;
	p->sock = -1;
	p->conf = *c;
	assert(c->n_guard_addrs <= ARRAY_SIZE(c->guard_addrs) && (!c->guard || !mac_is_zero(&c->vm_mac)));
	str_copy(p->ifname, c->ifname);
	p->conf.ifname = p->ifname;
	p->ifindex = (int)if_nametoindex(c->ifname);
	r = p->ifindex > 0 ? start_counting(p) : -ENODEV;
	if (r < 0) {
		free(p);
		if (r == -ENODEV)
			return err_set(e, r, "there is no interface %s", c->ifname);
		return err_set_errno(e, r, "cannot count the frames on interface %s", c->ifname);
	}
	m->n_ports++;
	*out = p;
	return 0;
}

void port_close(struct port *p)
{
	if (!p)
		return;
	if (p->way == PORT_WAY_BPF)
		close_bpf(p);
	fd_close(&p->sock);
	p->m->n_ports--;
	free(p);
}

const char *port_ifname(const struct port *p) { return p->ifname; }

int port_ifindex(const struct port *p) { return p->ifindex; }

enum port_way port_way(const struct port *p) { return p->way; }

int port_activity(struct port *p, uint64_t now_ns, struct port_activity *out)
{
	return p->way == PORT_WAY_BPF ? read_bpf(p, now_ns, out) : read_socket(p, now_ns, out);
}

int port_tap_busy(const char *ifname, struct err *e)
{
	char holder[80];
	int fd;

	if (if_nametoindex(ifname) == 0)
		return err_set(e, -ENODEV, "there is no tap %s", ifname);
	fd = tap_attach(ifname, IFF_VNET_HDR);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (fd != -EBUSY)
		return err_set_errno(e, fd, "cannot look at the tap %s", ifname);
	tap_holder(ifname, holder, sizeof(holder));
	err_set(e, -EBUSY, "the tap %s is held by %s", ifname, holder);
	return 1;
}
