#include "dns/main.h"

#include <event2/event.h>
#include <seccomp.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/slots.h"
#include "dns/forward.h"
#include "dns/key.h"
#include "dns/notify.h"
#include "dns/serve.h"
#include "dns/special.h"
#include "dns/tcp.h"
#include "dns/udp.h"

enum { TCP_CLIENTS_DEFAULT = 128 };

struct dns {
	struct child *child;
	struct serve *serve;
	struct udp *udp;
	struct tcp *tcp;
	struct forward *forward;
	struct special *special;
	struct slots *slots;
	struct view view; /* as published; without tables before the first */
	struct event *deadline;
	uint64_t armed_ns; /* what `deadline` is set to */
	struct event *load; /* the next piece of the zone files */
};

/* Beyond those of every process (base/sandbox.c): queries and answers in batches, TCP clients,
 * and a socket to an upstream for each forwarded query, to a secondary for each NOTIFY. */
static const int syscalls[] = {
	SCMP_SYS(recvmmsg), SCMP_SYS(sendmmsg), SCMP_SYS(accept4), SCMP_SYS(socket), SCMP_SYS(connect),
	SCMP_SYS(bind),
};

/* ---- ways out of serve.c ---- */

static void reply_signed(struct dns *d, const struct client *to, const uint8_t *packet, size_t n)
{
	uint8_t b[WIRE_TCP_MAX];

	memcpy(b, packet, n);
	n = special_sign(d->special, to, b, n);
	if (to->conn && n > 0)
		tcp_reply(d->tcp, to, b, n);
	else if (to->conn)
		tcp_close(d->tcp, to->conn);
	else if (n > 0)
		udp_reply(d->udp, to, b, n);
}

static void reply(void *arg, const struct client *to, const uint8_t *packet, size_t n)
{
	struct dns *d = arg;

	count_rcode(serve_counts(d->serve), packet[3] & FLAG_RCODE);
	if (to->tsig)
		reply_signed(d, to, packet, n);
	else if (to->conn)
		tcp_reply(d->tcp, to, packet, n);
	else
		udp_reply(d->udp, to, packet, n);
}

static int tell(void *arg, enum msg_type type, const void *body)
{
	struct dns *d = arg;

	return child_tell(d->child, type, body);
}

static void mark(void *arg, uint32_t svc, uint32_t gen, uint64_t now_ns)
{
	struct dns *d = arg;

	if (d->slots)
		slots_mark(d->slots, svc, gen, now_ns);
}

static int forward(void *arg, const struct client *from, const struct wire_query *q)
{
	struct dns *d = arg;

	return forward_query(d->forward, from, q);
}

static void on_tables(void *arg, const struct tables *t)
{
	struct dns *d = arg;
	uint32_t max_tcp = tables_conf(t)->max_tcp;
	const struct zone_forward *upstreams;
	unsigned n;

	upstreams = tables_forwards(t, &n);
	forward_set(d->forward, upstreams, n);
	tcp_set_max(d->tcp, max_tcp ? max_tcp : TCP_CLIENTS_DEFAULT);
	tcp_start(d->tcp);
	special_tables(d->special, t);
	child_ready(d->child);
}

static void publish(void *arg, const struct view *view)
{
	struct dns *d = arg;

	d->view = *view;
	d->view.slots = d->slots;
	udp_publish(d->udp, &d->view);
}

static void settle(void *arg)
{
	struct dns *d = arg;

	udp_settle(d->udp);
}

static size_t special(void *arg, const struct client *from, const uint8_t *packet, size_t n, struct answer *a,
		      uint8_t *out, bool *waits)
{
	struct dns *d = arg;

	return special_query(d->special, from, packet, n, a, out, waits);
}

static const struct serve_ops serve_ops = { reply, tell, mark, forward, on_tables, publish, settle, special };

/* ---- ways out of special.c ---- */

static size_t plain_query(void *arg, const struct client *from, const uint8_t *packet, size_t n, uint8_t *out,
			  bool *waits)
{
	struct dns *d = arg;

	return serve_query(d->serve, from, packet, n, out, waits);
}

static void send_zone(void *arg, const struct client *to, const uint8_t *packet, size_t n, bool last)
{
	struct dns *d = arg;

	if (last)
		tcp_reply(d->tcp, to, packet, n);
	else
		tcp_part(d->tcp, to, packet, n);
}

static size_t unsent(void *arg, uint64_t conn)
{
	struct dns *d = arg;

	return tcp_unsent(d->tcp, conn);
}

static void end_connection(void *arg, uint64_t conn)
{
	struct dns *d = arg;

	tcp_close(d->tcp, conn);
}

static const struct special_ops special_ops = { plain_query, send_zone, unsent, end_connection };

static void on_room(void *arg, uint64_t conn)
{
	struct dns *d = arg;

	special_room(d->special, conn);
}

/* ---- ways in ---- */

/* Whatever ends or begins a wait ends here, with the timer set for what comes next. */
static void arm(struct dns *d)
{
	uint64_t next_ns = MIN(serve_deadline_ns(d->serve), serve_roll_ns(d->serve)), now_ns;
	struct timeval tv;

	if (next_ns == d->armed_ns)
		return;
	d->armed_ns = next_ns;
	if (next_ns == UINT64_MAX) {
		event_del(d->deadline);
		return;
	}
	now_ns = clock_now_ns();
	tv = clock_timeval_ms(next_ns > now_ns ? (next_ns - now_ns) / NS_PER_MS + 1 : 0);
	event_add(d->deadline, &tv);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;

	(void)fd;
	(void)what;
	d->armed_ns = 0;
	serve_expire(d->serve, clock_now_ns());
	arm(d);
}

/* Between two pieces everybody else has a turn. */
static void load_on(struct dns *d)
{
	struct timeval now = { 0, 0 };

	if (serve_is_loading(d->serve))
		event_add(d->load, &now);
}

static void on_load(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;

	(void)fd;
	(void)what;
	serve_load(d->serve);
	load_on(d);
	arm(d);
}

static size_t on_query(void *arg, const struct client *from, const uint8_t *packet, size_t n, uint8_t *out,
		       bool *waits)
{
	struct dns *d = arg;
	size_t reply_n = serve_query(d->serve, from, packet, n, out, waits);

	if (reply_n > 0)
		count_rcode(serve_counts(d->serve), out[3] & FLAG_RCODE);
	if (*waits)
		arm(d);
	return reply_n;
}

static void on_gone(void *arg, uint64_t conn)
{
	struct dns *d = arg;

	serve_forget(d->serve, conn);
	forward_forget(d->forward, conn);
	special_forget(d->special, conn);
	arm(d);
}

static void on_launcher(void *arg)
{
	struct dns *d = arg;

	serve_launcher_changed(d->serve);
}

static void tell_counts(struct dns *d)
{
	struct msg_dns_counts m = { .n = DNS_COUNT_N };

	counts_add(serve_counts(d->serve), &m);
	udp_count(d->udp, &m);
	child_tell(d->child, MSG_DNS_COUNTS, &m);
}

static void on_launcher_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct dns *d = arg;

	(void)ch;
	if (type == MSG_DNS_ZONE_FILE) {
		serve_zone_file(d->serve, body, *fd);
		*fd = -1;
	} else if (type == MSG_DNS_KEY) {
		serve_key(d->serve, body, *fd);
		*fd = -1;
	} else if (type == MSG_DNS_COUNTS_ASK) {
		tell_counts(d);
	} else {
		serve_launcher_msg(d->serve, type, body);
	}
	load_on(d);
	arm(d);
}

/* Takes *fd. */
static void on_listen(struct dns *d, const struct msg_listen *m, int *fd)
{
	char text[ADDR_TEXT_MAX];
	int r;

	if (*fd < 0 || (m->proto != LISTEN_UDP && m->proto != LISTEN_TCP))
		return;
	if (m->proto == LISTEN_UDP)
		r = udp_add(d->udp, *fd, &m->addr, m->port, m->place);
	else
		r = tcp_add(d->tcp, *fd, &m->addr, m->port);
	*fd = -1;
	special_listen(d->special, &m->addr);
	if (r < 0)
		log_error("cannot serve %s: %s", endpoint_format(&m->addr, m->port, text), strerror(-r));
}

static void on_slots(struct dns *d, int fd)
{
	struct slots *slots = slots_map(fd);

	if (!slots) {
		log_error("cannot map the slots: %s", strerror(errno));
		return;
	}
	if (d->view.tables) {
		d->view.slots = slots;
		udp_publish(d->udp, &d->view);
	}
	slots_unmap(d->slots);
	d->slots = slots;
}

static void on_supervisor_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct dns *d = arg;

	(void)ch;
	if (type == MSG_LISTEN)
		on_listen(d, body, fd);
	else if (type == MSG_SLOTS && *fd >= 0)
		on_slots(d, *fd);
}

/* ---- life ---- */

static const struct child_ops child_ops = {
	.syscalls = syscalls,
	.n_syscalls = ARRAY_SIZE(syscalls),
	.threads = true,
	.on_launcher = on_launcher,
	.on_launcher_gone = on_launcher,
	.on_launcher_msg = on_launcher_msg,
	.on_supervisor_msg = on_supervisor_msg,
};

static void init(struct dns *d, const struct child_args *args)
{
	struct event_base *base;
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		log_fatal("no random numbers");
	d->armed_ns = UINT64_MAX;
	key_warm_up();
	d->child = child_new(args, &child_ops, d);
	base = child_base(d->child);
	d->serve = serve_new(&serve_ops, d, seed);
	d->udp = udp_new(base, on_query, d);
	d->tcp = tcp_new(base, TCP_IDLE_MS, on_query, on_gone, d);
	d->forward = forward_new(base, reply, d);
	d->special = special_new(base, &special_ops, NOTIFY_WAIT_MS, d);
	d->deadline = evtimer_new(base, on_deadline, d);
	d->load = evtimer_new(base, on_load, d);
	if (!d->serve || !d->udp || !d->tcp || !d->forward || !d->special || !d->deadline || !d->load)
		log_fatal("no memory");
	tcp_on_room(d->tcp, on_room);
}

int dns_main(const struct child_args *args)
{
	struct dns d = { 0 };
	int status;

	init(&d, args);
	status = child_run(d.child);
	event_free(d.load);
	event_free(d.deadline);
	forward_free(d.forward);
	tcp_free(d.tcp);
	special_free(d.special);
	udp_free(d.udp);
	serve_free(d.serve);
	slots_unmap(d.slots);
	child_free(d.child);
	return status;
}
