#include "launcher/xdp.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <linux/if_link.h>

#include "base/clock.h"
#include "base/slots.h"
#include "launcher/bpf_load.h"
#include "launcher/dns_xdp.h"

BPF_OBJECT(dns_xdp_object, DNS_XDP_BPF);

enum { TYPE_A = 1, TYPE_AAAA = 28, RECORD_HEAD = 12, LABEL_MAX = 63 };

static_assert((int)DNS_XDP_SERVICES == (int)SLOTS_MAX, "each service has a place in the table");
static_assert((int)DNS_XDP_CLIENTS == (int)XDP_CLIENTS_MAX, "xdp.h and dns_xdp.h say the same");
static_assert((int)DNS_XDP_RECORDS_MAX >= XDP_ADDRS_MAX * (RECORD_HEAD + 16), "all addresses of a name have room");

/* Of an answer: as dns writes it (1232 bytes), without flags and options. */
static const uint8_t opt_record[DNS_XDP_OPT] = { 0, 0, 41, 1232 >> 8, 1232 & 0xff };

struct xdp {
	struct bpf_object *object;
	int program, listeners, answers, asked, clients, settings, counts; /* descriptors of the object's */
	int cpus;
	void *values; /* room for one entry of every CPU */
};

struct xdp *xdp_new(struct err *e)
{
	struct xdp *x = calloc(1, sizeof(*x));
	size_t value = MAX(sizeof(struct dns_xdp_asked), sizeof(struct dns_xdp_counts));

	if (!x) {
		err_set(e, -ENOMEM, "no memory for DNS answers by XDP");
		return NULL;
	}
	x->object = bpf_load("jitsu_dns", dns_xdp_object, dns_xdp_object_end);
	x->cpus = libbpf_num_possible_cpus();
	x->values = x->cpus > 0 ? calloc((size_t)x->cpus, value) : NULL;
	if (!x->object || !x->values) {
		err_set(e, x->object ? -ENOMEM : -errno, "no BPF (%s)", strerror(x->object ? ENOMEM : errno));
		xdp_free(x);
		return NULL;
	}
	x->program = bpf_load_program(x->object, "dns");
	x->listeners = bpf_load_map(x->object, "listeners");
	x->answers = bpf_load_map(x->object, "answers");
	x->asked = bpf_load_map(x->object, "asked");
	x->clients = bpf_load_map(x->object, "clients");
	x->settings = bpf_load_map(x->object, "settings");
	x->counts = bpf_load_map(x->object, "counts");
	return x;
}

void xdp_free(struct xdp *x)
{
	if (!x)
		return;
	if (x->object)
		bpf_object__close(x->object);
	free(x->values);
	free(x);
}

/* ---- where ---- */

int xdp_attach(struct xdp *x, int ifindex, const char *ifname, enum xdp_way way, struct err *e)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = way == XDP_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int fd = bpf_link_create(x->program, ifindex, BPF_XDP, &opts), r = fd < 0 ? -errno : 0;

	if (r == -EBUSY || r == -EEXIST)
		return err_set(e, r, "%s has another XDP program, which stays", ifname);
	if (r < 0)
		return err_set_errno(e, r, "%s takes no XDP program%s", ifname,
				     way == XDP_NATIVE ? " in its driver" : "");
	return fd;
}

bool xdp_is_attached(int link)
{
	struct bpf_link_info info = { 0 };
	uint32_t n = sizeof(info);

	return bpf_obj_get_info_by_fd(link, &info, &n) == 0 && info.xdp.ifindex != 0;
}

static struct dns_xdp_place place_key(const struct xdp_place *p)
{
	struct dns_xdp_place key = { .ifindex = (uint32_t)p->ifindex, .port = htons(p->port) };

	memcpy(key.addr, p->addr.b, sizeof(key.addr));
	return key;
}

int xdp_listen(struct xdp *x, const struct xdp_place *p)
{
	struct dns_xdp_place key = place_key(p);
	struct dns_xdp_listener l = { .ttl = p->ttl };

	memcpy(l.mac, p->mac.b, sizeof(l.mac));
	return bpf_map_update_elem(x->listeners, &key, &l, BPF_ANY) < 0 ? -errno : 0;
}

void xdp_unlisten(struct xdp *x, const struct xdp_place *p)
{
	struct dns_xdp_place key = place_key(p);

	bpf_map_delete_elem(x->listeners, &key);
}

/* ---- what ---- */

/* Into a question of zeros.  False: it has no place in the table. */
static bool question_of(const char *name, unsigned type, struct dns_xdp_question *out)
{
	uint8_t *p = (uint8_t *)out->name, *end = p + sizeof(out->name) - 1; /* the root's zero byte */

	out->type = htons((uint16_t)type);
	while (*name) {
		size_t n = strcspn(name, ".");

		if (n == 0 || n > LABEL_MAX || (size_t)(end - p) < n + 1)
			return false;
		*p++ = (uint8_t)n;
		for (size_t i = 0; i < n; i++)
			*p++ = (uint8_t)tolower((unsigned char)name[i]);
		name += n + (name[n] == '.');
	}
	return true;
}

static uint8_t *put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static bool has_record(const struct dns_xdp_answer *a, const uint8_t *data, size_t n)
{
	for (size_t at = RECORD_HEAD; at < a->n; at += RECORD_HEAD + n)
		if (memcmp(a->records + at, data, n) == 0)
			return true;
	return false;
}

/* Its owner is a pointer to the question's name.  RFC 2181, 5: no record twice. */
static void add_record(struct dns_xdp_answer *a, unsigned type, uint32_t ttl_s, const uint8_t *data, size_t n)
{
	uint8_t *p = a->records + a->n;

	if (has_record(a, data, n))
		return;
	p = put16(p, 0xc00c);
	p = put16(p, type);
	p = put16(p, 1);
	p = put16(p, ttl_s >> 16);
	p = put16(p, ttl_s & 0xffff);
	p = put16(p, (unsigned)n);
	memcpy(p, data, n);
	a->n = (uint16_t)(a->n + RECORD_HEAD + n);
	a->count++;
}

static uint32_t sum_words(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2) {
		uint16_t word;

		memcpy(&word, p + i, sizeof(word));
		sum += word;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static int add_type(struct xdp *x, const struct xdp_name *n, unsigned type)
{
	struct dns_xdp_answer a = { .service = n->service };
	struct dns_xdp_question q = { .type = 0 };

	if (!question_of(n->name, type, &q))
		return 0;
	for (size_t i = 0; i < n->n_addrs; i++) {
		if (ip_is_v4(&n->addrs[i]) != (type == TYPE_A))
			continue;
		if (type == TYPE_A)
			add_record(&a, type, n->ttl_s, n->addrs[i].b + 12, 4);
		else
			add_record(&a, type, n->ttl_s, n->addrs[i].b, 16);
	}
	if (a.count == 0)
		return 0;
	a.sum = sum_words(a.records, a.n);
	memcpy(a.records + a.n, opt_record, sizeof(opt_record));
	return bpf_map_update_elem(x->answers, &q, &a, BPF_ANY) < 0 ? -errno : 0;
}

int xdp_add(struct xdp *x, const struct xdp_name *n)
{
	int r;

	assert(n->service < DNS_XDP_SERVICES && n->n_addrs <= XDP_ADDRS_MAX);
	r = add_type(x, n, TYPE_A);
	if (r == 0)
		r = add_type(x, n, TYPE_AAAA);
	if (r < 0)
		xdp_delete(x, n->name);
	return r;
}

void xdp_delete(struct xdp *x, const char *name)
{
	struct dns_xdp_question q = { .type = 0 };

	if (!question_of(name, TYPE_A, &q))
		return;
	bpf_map_delete_elem(x->answers, &q);
	q.type = htons(TYPE_AAAA);
	bpf_map_delete_elem(x->answers, &q);
}

static void clear_map(int map, void *key)
{
	while (bpf_map_get_next_key(map, NULL, key) == 0)
		if (bpf_map_delete_elem(map, key) < 0)
			return;
}

void xdp_clear(struct xdp *x)
{
	struct dns_xdp_question q;

	clear_map(x->answers, &q);
}

/* ---- for whom ---- */

/* `a` has all that `b` has. */
static bool is_within(const struct ip_prefix *b, const struct ip_prefix *a)
{
	return a->len <= b->len && prefix_contains(a, &b->addr);
}

/* The kernel finds the longest prefix only, so each says what those around it say. */
static uint32_t bits_of(const struct xdp_limits *l, const struct ip_prefix *p)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < l->n_exempt; i++)
		if (is_within(p, &l->exempt[i]))
			bits |= DNS_XDP_EXEMPT;
	for (size_t i = 0; i < l->n_forward; i++)
		if (is_within(p, &l->forward[i]))
			bits |= DNS_XDP_FORWARD;
	return bits;
}

static int add_client(struct xdp *x, const struct xdp_limits *l, const struct ip_prefix *p)
{
	struct dns_xdp_prefix key = { .len = p->len };
	uint32_t bits = bits_of(l, p);

	memcpy(key.addr, p->addr.b, sizeof(key.addr));
	return bpf_map_update_elem(x->clients, &key, &bits, BPF_ANY) < 0 ? -errno : 0;
}

static int add_clients(struct xdp *x, const struct xdp_limits *l)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n_exempt; i++)
		r = add_client(x, l, &l->exempt[i]);
	for (size_t i = 0; r == 0 && i < l->n_forward; i++)
		r = add_client(x, l, &l->forward[i]);
	return r;
}

int xdp_set_limits(struct xdp *x, const struct xdp_limits *l)
{
	struct dns_xdp_settings s = { .limited = l->limited, .clients = l->n_forward > 0 || l->limited };
	struct dns_xdp_prefix key;
	uint32_t zero = 0;
	int r;

	clear_map(x->clients, &key);
	r = add_clients(x, l);
	if (r < 0)
		return r;
	if (l->rate > 0)
		s.interval_ns = (NS_PER_S + l->rate - 1) / l->rate;
	return bpf_map_update_elem(x->settings, &zero, &s, BPF_ANY) < 0 ? -errno : 0;
}

/* ---- what happened ---- */

void xdp_asked(struct xdp *x, uint32_t service, struct xdp_asked *out)
{
	const struct dns_xdp_asked *of_cpu = x->values;

	*out = (struct xdp_asked){ 0 };
	if (bpf_map_lookup_elem(x->asked, &service, x->values) < 0)
		return;
	for (int i = 0; i < x->cpus; i++) {
		out->last_ns = MAX(out->last_ns, of_cpu[i].last_ns);
		out->n += of_cpu[i].n;
	}
}

void xdp_forget(struct xdp *x, uint32_t service)
{
	memset(x->values, 0, (size_t)x->cpus * sizeof(struct dns_xdp_asked));
	bpf_map_update_elem(x->asked, &service, x->values, BPF_ANY);
}

void xdp_counts(struct xdp *x, struct xdp_counts *out)
{
	const struct dns_xdp_counts *of_cpu = x->values;
	uint32_t zero = 0;

	*out = (struct xdp_counts){ 0 };
	if (bpf_map_lookup_elem(x->counts, &zero, x->values) < 0)
		return;
	for (int i = 0; i < x->cpus; i++) {
		out->answered += of_cpu[i].answered;
		out->limited += of_cpu[i].limited;
		out->no_room += of_cpu[i].no_room;
	}
}
