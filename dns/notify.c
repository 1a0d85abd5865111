/* Theory of operation
 *
 * Each secondary of each zone that has changed is a telling:
 *
 *	due -> told: a socket of its own, connected to the secondary -> answered: gone
 *	 ^         \-> no answer in NOTIFY_ANSWER_MS, or an error    -> due, after a while that doubles
 *	 |                                                              NOTIFY_TRIES times; then it is given up
 *	 \-- too many sockets are open: a little later
 *
 * The socket is bound to the address that we listen on, because that is how secondaries know us; its port is
 * one that the kernel picks, so that an answer is hard to forge: it must come from the secondary's address to
 * that port, with our random id, and be signed if the request was.  Anything else is ignored.
 *
 * A secondary that was not reached at all asks by itself in the end (the SOA's refresh).
 */
#include "dns/notify.h"

#include <event2/event.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "dns/zone_walk.h"

enum {
	LISTEN_MAX = 64,
	CROWDED_MS = 200, /* until there may be a place for another socket */
	ANSWERS_MAX = 16, /* packets read for one request */
	ANSWER_SIZE = 4096,
	SOA_MAX = WIRE_RECORD_HEAD + 2 * WIRE_NAME_MAX + 20,
	TEXT_SIZE = NAME_TEXT_MAX + ADDR_TEXT_MAX + 40, /* of who is told what */
};

struct telling {
	TAILQ_ENTRY(telling) next;
	struct notify *n;
	struct name zone; /* in lower case */
	struct ip_addr addr;
	uint16_t port;
	bool is_signed;
	struct tsig_chain chain; /* of the request that was sent last */
	uint32_t serial;
	size_t soa_n;
	uint8_t soa[SOA_MAX];
	unsigned tries, answers;
	uint64_t due_ns; /* of the next try */
	uint16_t id;
	int fd;
	struct event *readable, *timer;
};

TAILQ_HEAD(telling_queue, telling);

struct notify {
	struct event_base *base;
	unsigned wait_ms;
	struct ip_addr listen[LISTEN_MAX];
	unsigned n_listen;
	struct telling_queue queue;
	unsigned n, n_sockets;
};

/* ---- a telling ---- */

static const char *to_text(const struct telling *l, char out[TEXT_SIZE])
{
	char zone[NAME_TEXT_MAX], at[ADDR_TEXT_MAX];

	snprintf(out, TEXT_SIZE, "zone %s, serial %u, secondary %s", name_to_text(l->zone.b, zone),
		 l->serial, endpoint_format(&l->addr, l->port, at));
	return out;
}

static void close_socket(struct telling *l)
{
	if (l->fd < 0)
		return;
	if (l->readable)
		event_free(l->readable);
	l->readable = NULL;
	fd_close(&l->fd);
	l->n->n_sockets--;
}

static void forget(struct telling *l)
{
	close_socket(l);
	TAILQ_REMOVE(&l->n->queue, l, next);
	l->n->n--;
	event_free(l->timer);
	explicit_bzero(&l->chain, sizeof(l->chain));
	free(l);
}

static void arm(struct telling *l, uint64_t ms)
{
	struct timeval tv = clock_timeval_ms(ms);

	event_add(l->timer, &tv);
}

/* ---- answers ---- */

static int check_signature(struct tsig_chain *chain, const uint8_t *packet, size_t size, size_t at, uint64_t now_s)
{
	struct tsig_record record;

	if (at == 0 || !tsig_parse(packet, size, at, &record) || !tsig_is_key(&chain->key, &record))
		return -EINVAL;
	return tsig_check(chain, packet, &record, now_s) == TSIG_OK ? 0 : -EINVAL;
}

int notify_answer(struct tsig_chain *chain, uint16_t id, uint8_t *packet, size_t size, uint64_t now_s)
{
	unsigned flags;
	struct wire_query q;
	int r;

	if (size < WIRE_HEADER || wire_get16(packet) != id)
		return -EINVAL;
	flags = wire_get16(packet + 2);
	if ((flags & (FLAG_QR | FLAG_OPCODE)) != (FLAG_QR | OPCODE_NOTIFY))
		return -EINVAL;
	wire_put16(packet + 2, flags & ~(unsigned)FLAG_QR);
	r = wire_parse(packet, size, &q);
	wire_put16(packet + 2, flags);
	if (r == 0 && chain)
		r = check_signature(chain, packet, size, q.tsig_at, now_s);
	else if (r != 0 && chain)
		r = -EINVAL; /* an error without a question cannot be signed */
	else
		r = 0;
	return r < 0 ? r : (int)(flags & FLAG_RCODE);
}

/* l may be gone afterwards. */
static void take_answer(struct telling *l, uint8_t *packet, size_t size)
{
	struct tsig_chain chain = l->chain;
	char text[TEXT_SIZE];
	int rcode = notify_answer(l->is_signed ? &chain : NULL, l->id, packet, size, clock_wall_ms() / MS_PER_S);

	if (rcode < 0) {
		log_limited(LOG_INFO, "%s: what it answered to NOTIFY is not signed as it must be, or no answer",
			    to_text(l, text));
	} else if (rcode == RCODE_NOERROR) {
		log_info("%s: has heard of it", to_text(l, text));
		forget(l);
	} else if (rcode == RCODE_NOTIMP) {
		log_limited(LOG_WARN, "%s: does not know NOTIFY", to_text(l, text));
		forget(l);
	} else {
		log_limited(LOG_WARN, "%s: refuses NOTIFY (rcode %d)", to_text(l, text), rcode);
		close_socket(l);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct telling *l = arg;
	uint8_t packet[ANSWER_SIZE];
	ssize_t size = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);

	(void)what;
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size < 0 || ++l->answers > ANSWERS_MAX)
		close_socket(l); /* nobody is there: the timer goes on */
	else
		take_answer(l, packet, (size_t)size);
}

/* ---- requests ---- */

static size_t put_request(struct telling *l, uint8_t *b)
{
	uint8_t *p = b;

	p = wire_put16(p, l->id);
	p = wire_put16(p, OPCODE_NOTIFY | FLAG_AA);
	p = wire_put16(p, 1);
	p = wire_put16(p, 1);
	p = wire_put32(p, 0);
	memcpy(p, l->zone.b, l->zone.n);
	p = wire_put16(p + l->zone.n, TYPE_SOA);
	p = wire_put16(p, CLASS_IN);
	memcpy(p, l->soa, l->soa_n); /* its owner points to the question */
	p += l->soa_n;
	if (!l->is_signed)
		return (size_t)(p - b);
	l->chain.mac_n = 0;
	l->chain.later = false;
	p = b + tsig_sign(&l->chain, b, (size_t)(p - b), clock_wall_ms() / MS_PER_S);
	l->chain.later = false; /* its answer is the first message of one */
	return (size_t)(p - b);
}

/* A socket from that address to the secondary; -1 with errno. */
static int connected_from(const struct ip_addr *from, const struct telling *l)
{
	struct sockaddr_storage ss;
	socklen_t n = ip_to_sockaddr(from, 0, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), saved;

	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, n) < 0)
		goto fail;
	n = ip_to_sockaddr(&l->addr, l->port, &ss);
	if (connect(fd, (struct sockaddr *)&ss, n) == 0)
		return fd;
fail:
	saved = errno;
	fd_close(&fd);
	errno = saved;
	return -1;
}

static bool is_loopback(const struct ip_addr *a) { return ip_is_v4(a) && a->b[12] == 127; }

/* From the first address that we listen on and that leads there; a loopback address leads nowhere else. */
static int connected(const struct telling *l)
{
	const struct notify *n = l->n;
	int fd = -1;

	errno = EADDRNOTAVAIL;
	for (unsigned i = 0; fd < 0 && i < n->n_listen; i++) {
		if (ip_is_v4(&n->listen[i]) != ip_is_v4(&l->addr) ||
		    (is_loopback(&n->listen[i]) && !is_loopback(&l->addr)))
			continue;
		fd = connected_from(&n->listen[i], l);
	}
	return fd;
}

static bool ask(struct telling *l)
{
	uint8_t b[WIRE_HEADER + WIRE_QUESTION_MAX + SOA_MAX + TSIG_RECORD_MAX];
	size_t size;

	l->fd = connected(l);
	if (l->fd < 0)
		return false;
	l->n->n_sockets++;
	l->readable = event_new(l->n->base, l->fd, EV_READ | EV_PERSIST, on_readable, l);
	if (!l->readable || getrandom(&l->id, sizeof(l->id), 0) != sizeof(l->id))
		return false;
	size = put_request(l, b);
	event_add(l->readable, NULL);
	return send(l->fd, b, size, MSG_DONTWAIT) == (ssize_t)size;
}

static uint64_t wait_ms(const struct telling *l)
{
	return MIN((uint64_t)l->n->wait_ms << MIN(l->tries, 20u), (uint64_t)NOTIFY_WAIT_MAX_MS);
}

static void take_try(struct telling *l)
{
	char text[TEXT_SIZE];
	uint64_t ms = wait_ms(l);

	if (l->tries++ == NOTIFY_TRIES) {
		log_warn("%s: does not answer NOTIFY; it will hear of the change when it asks by itself", to_text(l, text));
		forget(l);
		return;
	}
	l->answers = 0;
	l->due_ns = clock_now_ns() + ms * NS_PER_MS;
	if (!ask(l)) {
		log_limited(LOG_INFO, "%s: cannot be told: %s", to_text(l, text), strerror(errno));
		close_socket(l);
	}
	arm(l, MIN(ms, (uint64_t)NOTIFY_ANSWER_MS));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct telling *l = arg;
	uint64_t now_ns = clock_now_ns();

	(void)fd;
	(void)what;
	close_socket(l);
	if (now_ns < l->due_ns)
		arm(l, (l->due_ns - now_ns) / NS_PER_MS + 1);
	else if (l->n->n_sockets >= NOTIFY_SOCKETS_MAX)
		arm(l, CROWDED_MS);
	else
		take_try(l);
}

/* ---- what there is to tell ---- */

static struct telling *find(const struct notify *n, const struct name *zone, const struct peer *peer)
{
	struct telling *l;

	TAILQ_FOREACH(l, &n->queue, next)
		if (l->port == peer->port && ip_equal(&l->addr, &peer->from.addr) && l->zone.n == zone->n &&
		    memcmp(l->zone.b, zone->b, zone->n) == 0)
			return l;
	return NULL;
}

static struct telling *new_telling(struct notify *n, const struct name *zone, const struct peer *peer)
{
	struct telling *l = n->n < NOTIFY_MAX ? calloc(1, sizeof(*l)) : NULL;

	if (!l)
		return NULL;
	l->n = n;
	l->zone = *zone;
	l->addr = peer->from.addr;
	l->port = peer->port;
	l->fd = -1;
	l->timer = evtimer_new(n->base, on_timer, l);
	if (!l->timer) {
		free(l);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&n->queue, l, next);
	n->n++;
	return l;
}

static void set_key(struct telling *l, const struct tables *t, const struct peer *peer)
{
	const struct tsig_key *key = peers_key(tables_peers(t), peer->key);

	l->is_signed = key;
	if (key)
		l->chain.key = *key;
}

static void tell(struct notify *n, const struct tables *t, uint32_t zone, const struct name *name,
		 const struct peer *peer)
{
	const struct zone_rrset *soa = zone_soa(t, zone);
	struct telling *l = find(n, name, peer);

	if (!l)
		l = new_telling(n, name, peer);
	if (!l) {
		log_limited(LOG_WARN, "zone %s: too many secondaries have not answered, one is not told",
			    tables_zone_name(t, zone));
		return;
	}
	close_socket(l);
	set_key(l, t, peer);
	l->serial = tables_zone_at(t, zone)->serial;
	l->soa_n = MIN((size_t)soa->n, sizeof(l->soa));
	memcpy(l->soa, tables_bytes(t, soa), l->soa_n);
	l->tries = 0;
	l->due_ns = 0;
	arm(l, 0);
}

static void name_of(const struct tables *t, uint32_t zone, struct name *out)
{
	const struct zone_node *apex = tables_node(t, tables_zone_at(t, zone)->apex);

	name_from_wire(tables_name(t, apex), apex->name_n, out);
}

void notify_zone(struct notify *n, const struct tables *t, uint32_t zone)
{
	const struct peer *peer;
	struct name name;

	name_of(t, zone, &name);
	for (unsigned i = 0; (peer = peers_secondary(tables_peers(t), zone, i)); i++)
		tell(n, t, zone, &name, peer);
}

static const struct peer *still_there(const struct telling *l, const struct tables *t)
{
	const struct peer *peer;
	struct zone_match m;

	if (!tables_find(t, l->zone.b, l->zone.n, l->zone.labels, &m) || !m.node)
		return NULL;
	for (unsigned i = 0; (peer = peers_secondary(tables_peers(t), m.node->zone, i)); i++)
		if (peer->port == l->port && ip_equal(&peer->from.addr, &l->addr))
			return peer;
	return NULL;
}

void notify_keep(struct notify *n, const struct tables *t)
{
	struct telling *l = TAILQ_FIRST(&n->queue), *next;

	for (; l; l = next) {
		const struct peer *peer = still_there(l, t);

		next = TAILQ_NEXT(l, next);
		if (!peer)
			forget(l);
		else if (l->fd < 0)
			set_key(l, t, peer);
	}
}

void notify_listen(struct notify *n, const struct ip_addr *addr)
{
	for (unsigned i = 0; i < n->n_listen; i++)
		if (ip_equal(&n->listen[i], addr))
			return;
	if (n->n_listen < LISTEN_MAX)
		n->listen[n->n_listen++] = *addr;
}

unsigned notify_count(const struct notify *n) { return n->n; }

struct notify *notify_new(struct event_base *base, unsigned wait_first_ms)
{
	struct notify *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->base = base;
	n->wait_ms = wait_first_ms;
	TAILQ_INIT(&n->queue);
	return n;
}

void notify_free(struct notify *n)
{
	if (!n)
		return;
	while (!TAILQ_EMPTY(&n->queue))
		forget(TAILQ_FIRST(&n->queue));
	free(n);
}
