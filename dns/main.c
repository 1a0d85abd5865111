#include "dns/main.h"

#include <event2/event.h>
#include <seccomp.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/slots.h"
#include "dns/forward.h"
#include "dns/serve.h"
#include "dns/tcp.h"
#include "dns/udp.h"

enum { TCP_CLIENTS_DEFAULT = 128 };

struct dns {
	struct child *child;
	struct serve *serve;
	struct udp *udp;
	struct tcp *tcp;
	struct forward *forward;
	struct slots *slots;
	struct event *deadline;
	uint64_t armed_ns; /* what `deadline` is set to */
	struct event *load; /* the next piece of the zone files */
};

/* Beyond those of every process (base/sandbox.c): queries and answers in batches, TCP clients,
 * and a socket to an upstream for each forwarded query. */
static const int syscalls[] = {
	SCMP_SYS(recvmmsg), SCMP_SYS(sendmmsg), SCMP_SYS(accept4), SCMP_SYS(socket), SCMP_SYS(connect),
};

/* ---- ways out of serve.c ---- */

static void reply(void *arg, const struct client *to, const uint8_t *packet, size_t n)
{
	struct dns *d = arg;

	if (to->conn)
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
	udp_start(d->udp);
	tcp_start(d->tcp);
	child_ready(d->child);
}

static const struct serve_ops serve_ops = { reply, tell, mark, forward, on_tables };

/* ---- ways in ---- */

/* Whatever ends or begins a wait ends here, with the timer set for what comes next. */
static void arm(struct dns *d)
{
	uint64_t next_ns = serve_deadline_ns(d->serve), now_ns;
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

	if (*waits)
		arm(d);
	return reply_n;
}

static void on_gone(void *arg, uint64_t conn)
{
	struct dns *d = arg;

	serve_forget(d->serve, conn);
	forward_forget(d->forward, conn);
	arm(d);
}

static void on_launcher(void *arg)
{
	struct dns *d = arg;

	serve_launcher_changed(d->serve);
}

static void on_launcher_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct dns *d = arg;

	(void)ch;
	if (type == MSG_DNS_ZONE_FILE) {
		serve_zone_file(d->serve, body, *fd);
		*fd = -1;
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
		r = udp_add(d->udp, *fd, &m->addr, m->port);
	else
		r = tcp_add(d->tcp, *fd, &m->addr, m->port);
	*fd = -1;
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
	d->child = child_new(args, &child_ops, d);
	base = child_base(d->child);
	d->serve = serve_new(&serve_ops, d, seed);
	d->udp = udp_new(base, on_query, d);
	d->tcp = tcp_new(base, TCP_IDLE_MS, on_query, on_gone, d);
	d->forward = forward_new(base, reply, d);
	d->deadline = evtimer_new(base, on_deadline, d);
	d->load = evtimer_new(base, on_load, d);
	if (!d->serve || !d->udp || !d->tcp || !d->forward || !d->deadline || !d->load)
		log_fatal("no memory");
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
	udp_free(d.udp);
	serve_free(d.serve);
	slots_unmap(d.slots);
	child_free(d.child);
	return status;
}
