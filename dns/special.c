/* Theory of operation
 *
 * Tables.  Those in force, and through changes.c those before them while they are compared.  A zone's
 * secondaries are told when that is done: so whoever hears of a change gets it, not the whole zone.
 *
 * Signatures.  What a signed query's answer must go on from lies in a ring, and the client carries its place
 * (client.tsig) through whatever makes it wait.  Errors (RFC 8945, 5.2):
 *
 *	record not well-formed	FORMERR
 *	key unknown		NOTAUTH, BADKEY, not signed
 *	MAC wrong		NOTAUTH, BADSIG, not signed
 *	time wrong		NOTAUTH, BADTIME, signed
 *	MAC cut short		NOTAUTH, BADTRUNC, signed
 *
 * Zones.  Not one of the configured: NOTAUTH.  Who may not have it: REFUSED.  IXFR from the serial that is
 * in force, or a later one: its SOA.  From one that changes.c leads on from: the changes.  Else the whole
 * zone, over TCP; over UDP the SOA alone, which sends the client there (RFC 1995, 2 and 4).
 *
 * NOTIFY.  We have no primary: REFUSED for our zones, NOTAUTH for others (RFC 1996, 3.10).
 */
#include "dns/special.h"

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "dns/notify.h"
#include "dns/transfer.h"

/* What the answer to a signed query needs. */
struct signed_query {
	uint32_t token; /* 0: none is here */
	struct tsig_chain chain;
	uint32_t key; /* its place among the peers' */
	uint16_t limit; /* bytes of the answer */
	bool edns;
};

struct special {
	const struct special_ops *ops;
	void *arg;
	struct tables *tables;
	struct changes *changes;
	struct notify *notify;
	struct transfers *transfers;
	struct event *step; /* of the changes */
	uint32_t last_token;
	struct signed_query ring[SPECIAL_SIGNED_MAX];
};

static uint64_t now_s(void) { return clock_wall_ms() / MS_PER_S; }

/* ---- answers ---- */

static size_t reply_rcode(struct answer *a, bool tcp, unsigned rcode, uint8_t *b)
{
	struct wire_reply r;

	wire_begin(&r, &a->q, b, wire_limit(&a->q, tcp), 0, rcode);
	a->rcode = rcode;
	return wire_end(&r, rcode);
}

/* RFC 8945, 5.3: the signature must be there, so all else goes. */
static size_t cut(const struct signed_query *sq, uint8_t *b, size_t n)
{
	static const uint8_t opt[WIRE_OPT] = { 0, 0, TYPE_OPT, WIRE_UDP_MAX >> 8, WIRE_UDP_MAX & 0xff };
	unsigned labels;

	wire_put16(b + 2, wire_get16(b + 2) | FLAG_TC);
	memset(b + 6, 0, 6);
	if (wire_get16(b + 4) > 0)
		n = WIRE_HEADER + wire_name_length(b + WIRE_HEADER, n - WIRE_HEADER, &labels) + 4;
	else
		n = WIRE_HEADER;
	if (!sq->edns)
		return n;
	memcpy(b + n, opt, sizeof(opt));
	wire_put16(b + SECTION_ADDITIONAL, 1);
	return n + sizeof(opt);
}

static size_t sign(struct signed_query *sq, uint8_t *b, size_t n)
{
	if (n + tsig_length(&sq->chain.key) > sq->limit)
		n = cut(sq, b, n);
	return tsig_sign(&sq->chain, b, n, now_s());
}

/* ---- NOTIFY ---- */

static bool is_our_zone(const struct tables *t, const struct wire_query *q, uint32_t *zone)
{
	struct zone_match m;

	if (!tables_find(t, q->name, q->name_n, q->labels, &m) || !m.node || !(m.node->flags & NODE_APEX))
		return false;
	*zone = m.node->zone;
	return *zone < tables_zones(t);
}

static size_t answer_notify(struct special *s, const struct client *from, struct answer *a, uint8_t *reply)
{
	uint32_t zone;
	bool ours = is_our_zone(s->tables, &a->q, &zone);

	return reply_rcode(a, from->conn, ours ? RCODE_REFUSED : RCODE_NOTAUTH, reply);
}

/* ---- zones ---- */

struct asked {
	struct special *s;
	const struct client *from;
	struct answer *a;
	struct signed_query *sq; /* NULL: not signed */
	uint32_t zone;
	uint8_t *reply;
	bool *waits;
};

static size_t reply_soa(struct asked *k)
{
	size_t limit = wire_limit(&k->a->q, k->from->conn);

	return transfer_soa(&k->a->q, k->s->tables, k->zone, k->reply, limit);
}

static struct transfer_wish wish_of(const struct asked *k, struct change **changes, unsigned n)
{
	return (struct transfer_wish){ .to = *k->from, .q = &k->a->q, .t = k->s->tables, .zone = k->zone,
				       .chain = k->sq ? &k->sq->chain : NULL, .changes = changes, .n_changes = n };
}

static void log_transfer(const struct asked *k, uint32_t from, unsigned n_changes)
{
	uint32_t serial = tables_zone_at(k->s->tables, k->zone)->serial;
	const char *zone = tables_zone_name(k->s->tables, k->zone);
	char text[ADDR_TEXT_MAX];

	ip_format(&k->from->addr, text);
	if (n_changes > 0)
		log_limited(LOG_INFO, "zone %s: what changed from serial %u to %u goes to %s", zone, from, serial, text);
	else
		log_limited(LOG_INFO, "zone %s, serial %u, goes to %s as a whole", zone, serial, text);
}

/* Over TCP; the changes are taken. */
static size_t stream(struct asked *k, struct change **changes, unsigned n)
{
	struct transfer_wish w = wish_of(k, changes, n);
	int r = transfer_begin(k->s->transfers, &w);
	char text[ADDR_TEXT_MAX];

	*k->waits = r == 0;
	if (r == 0)
		return 0;
	log_limited(LOG_WARN, "zone %s: no transfer to %s: %s", tables_zone_name(k->s->tables, k->zone),
		    ip_format(&k->from->addr, text), r == -ENOSPC ? "too many go on" : strerror(-r));
	return reply_rcode(k->a, true, RCODE_SERVFAIL, k->reply);
}

/* Over UDP: all in one, or nothing. */
static size_t datagram(struct asked *k, struct change **changes, unsigned n)
{
	struct transfer_wish w = wish_of(k, changes, n);
	size_t reserve = k->sq ? tsig_length(&k->sq->chain.key) : 0, limit = wire_limit(&k->a->q, false);
	size_t size = limit - reserve >= WIRE_UDP_PLAIN ? transfer_in_one(&w, k->reply, limit - reserve) : 0;

	for (unsigned i = 0; i < n; i++)
		change_unref(changes[i]);
	return size > 0 ? size : reply_soa(k);
}

/* RFC 1995, 3: the client's SOA is in the authority section. */
static bool read_serial(const struct wire_query *q, const uint8_t *packet, size_t n, uint32_t *serial)
{
	size_t at = WIRE_HEADER + q->question_n;
	struct name name;

	if (wire_get16(packet + SECTION_ANSWER) != 0 || wire_get16(packet + SECTION_AUTHORITY) != 1)
		return false;
	at = name_read(packet, n, at, &name);
	if (at == 0 || n - at < 10 || wire_get16(packet + at) != TYPE_SOA || wire_get16(packet + at + 2) != CLASS_IN)
		return false;
	wire_lower(name.b, name.b, name.n);
	if (name.n != q->name_n || memcmp(name.b, q->name, name.n) != 0)
		return false;
	at = name_read(packet, n, at + 10, &name);
	at = at > 0 ? name_read(packet, n, at, &name) : 0;
	if (at == 0 || n - at < 20)
		return false;
	*serial = (uint32_t)wire_get16(packet + at) << 16 | wire_get16(packet + at + 2);
	return true;
}

static size_t answer_ixfr(struct asked *k, const uint8_t *packet, size_t n)
{
	uint32_t serial, ours = tables_zone_at(k->s->tables, k->zone)->serial;
	struct change *changes[CHANGES_CHAIN_MAX];
	unsigned n_changes;
	struct name zone;

	if (!read_serial(&k->a->q, packet, n, &serial))
		return reply_rcode(k->a, k->from->conn, RCODE_FORMERR, k->reply);
	if ((int32_t)(ours - serial) <= 0)
		return reply_soa(k);
	name_from_wire(k->a->q.name, k->a->q.name_n, &zone);
	n_changes = changes_find(k->s->changes, &zone, serial, ours, changes);
	if (!k->from->conn && n_changes == 0)
		return reply_soa(k);
	log_transfer(k, serial, n_changes);
	return k->from->conn ? stream(k, changes, n_changes) : datagram(k, changes, n_changes);
}

static size_t answer_transfer(struct asked *k, const uint8_t *packet, size_t n)
{
	uint32_t key = k->sq ? k->sq->key : PEERS_NO_KEY;
	char text[ADDR_TEXT_MAX];
	bool tcp = k->from->conn;

	if (!is_our_zone(k->s->tables, &k->a->q, &k->zone))
		return reply_rcode(k->a, tcp, RCODE_NOTAUTH, k->reply);
	if (!peers_may_transfer(tables_peers(k->s->tables), k->zone, &k->from->addr, key)) {
		log_limited(LOG_INFO, "zone %s: no transfer to %s, which may not have it%s",
			    tables_zone_name(k->s->tables, k->zone), ip_format(&k->from->addr, text),
			    k->sq ? "" : " (it has not signed its query)");
		return reply_rcode(k->a, tcp, RCODE_REFUSED, k->reply);
	}
	if (k->a->q.type == TYPE_IXFR)
		return answer_ixfr(k, packet, n);
	if (!tcp) /* RFC 5936, 4.2 */
		return reply_rcode(k->a, tcp, RCODE_REFUSED, k->reply);
	log_transfer(k, 0, 0);
	return stream(k, NULL, 0);
}

/* ---- signed queries ---- */

/* Another answer than NOTAUTH with the record is none.  0: go on. */
static size_t check_signature(struct special *s, const struct client *from, const uint8_t *packet, size_t n,
			      struct answer *a, struct signed_query *sq, uint8_t *reply)
{
	const struct peers *peers = tables_peers(s->tables);
	struct tsig_record record;
	int error;

	if (!tsig_parse(packet, n, a->q.tsig_at, &record))
		return reply_rcode(a, from->conn, RCODE_FORMERR, reply);
	sq->key = peers_find_key(peers, &record);
	if (sq->key == PEERS_NO_KEY) {
		n = reply_rcode(a, from->conn, RCODE_NOTAUTH, reply);
		return tsig_put_error(reply, n, &record, TSIG_BADKEY, now_s());
	}
	sq->chain = (struct tsig_chain){ .key = *peers_key(peers, sq->key) };
	error = tsig_check(&sq->chain, packet, &record, now_s());
	if (error == TSIG_OK)
		return 0;
	if (error < 0)
		return reply_rcode(a, from->conn, RCODE_FORMERR, reply);
	n = reply_rcode(a, from->conn, RCODE_NOTAUTH, reply);
	if (error == TSIG_BADSIG)
		return tsig_put_error(reply, n, &record, TSIG_BADSIG, now_s());
	return tsig_sign_error(&sq->chain, reply, n, &record, (unsigned)error, now_s());
}

static struct signed_query *new_token(struct special *s)
{
	if (++s->last_token == 0)
		s->last_token = 1;
	return &s->ring[s->last_token % SPECIAL_SIGNED_MAX];
}

/* An ordinary query. */
static size_t answer_signed(struct special *s, const struct client *from, const uint8_t *packet, struct answer *a,
			    struct signed_query *sq, uint8_t *reply, bool *waits)
{
	uint8_t plain[WIRE_TCP_MAX];
	struct client client = *from;
	struct signed_query *kept = new_token(s);
	size_t n = a->q.tsig_at;

	a->verdict = VERDICT_SPECIAL;
	sq->token = client.tsig = s->last_token;
	*kept = *sq;
	memcpy(plain, packet, n);
	wire_put16(plain + SECTION_ADDITIONAL, wire_get16(plain + SECTION_ADDITIONAL) - 1u);
	n = s->ops->query(s->arg, &client, plain, n, reply, waits);
	if (n > 0) { /* nothing waits for it */
		kept->token = 0;
		s->last_token--;
	}
	return n;
}

static size_t dispatch(struct special *s, const struct client *from, const uint8_t *packet, size_t n,
		       struct answer *a, struct signed_query *sq, uint8_t *reply, bool *waits)
{
	struct asked k = { s, from, a, sq, ZONE_NONE, reply, waits };
	unsigned opcode = a->q.flags & FLAG_OPCODE;

	if (opcode == OPCODE_NOTIFY)
		return answer_notify(s, from, a, reply);
	if (opcode == 0 && a->q.class == CLASS_IN && (a->q.type == TYPE_AXFR || a->q.type == TYPE_IXFR))
		return answer_transfer(&k, packet, n);
	return sq ? answer_signed(s, from, packet, a, sq, reply, waits) : 0;
}

size_t special_query(struct special *s, const struct client *from, const uint8_t *packet, size_t n,
		     struct answer *a, uint8_t *reply, bool *waits)
{
	struct signed_query sq = { .limit = (uint16_t)wire_limit(&a->q, from->conn), .edns = a->q.edns };
	bool is_signed = a->q.tsig_at > 0;
	size_t size;

	if (!s->tables)
		return 0;
	a->verdict = VERDICT_REPLY;
	if (is_signed) {
		size = check_signature(s, from, packet, n, a, &sq, reply);
		if (size > 0)
			return size;
		a->verified = true;
	}
	size = dispatch(s, from, packet, n, a, is_signed ? &sq : NULL, reply, waits);
	if (size > 0 && is_signed)
		size = sign(&sq, reply, size);
	explicit_bzero(&sq, sizeof(sq));
	return size;
}

size_t special_sign(struct special *s, const struct client *to, uint8_t *packet, size_t n)
{
	struct signed_query *sq = &s->ring[to->tsig % SPECIAL_SIGNED_MAX];

	if (to->tsig == 0)
		return n;
	if (sq->token != to->tsig) {
		log_limited(LOG_WARN, "too many signed queries wait: one is not answered");
		return 0;
	}
	sq->token = 0;
	return sign(sq, packet, n);
}

/* ---- changes ---- */

static void on_compared(void *arg, const struct tables *t, uint32_t zone)
{
	struct special *s = arg;
	uint32_t now = tables_zone(s->tables, tables_zone_name(t, zone));

	if (now == ZONE_NONE || now >= tables_zones(s->tables))
		return;
	if (tables_zone_at(s->tables, now)->serial == tables_zone_at(t, zone)->serial) /* else more follows */
		notify_zone(s->notify, s->tables, now);
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
	struct timeval now = { 0, 0 };
	struct special *s = arg;

	(void)fd;
	(void)what;
	if (changes_step(s->changes))
		event_add(s->step, &now);
}

void special_tables(struct special *s, const struct tables *t)
{
	struct timeval now = { 0, 0 };
	struct tables *old = s->tables;

	s->tables = tables_ref(t);
	notify_keep(s->notify, t);
	changes_compare(s->changes, old, t);
	tables_free(old);
	event_add(s->step, &now);
}

void special_listen(struct special *s, const struct ip_addr *addr) { notify_listen(s->notify, addr); }

void special_forget(struct special *s, uint64_t conn) { transfers_forget(s->transfers, conn); }

void special_room(struct special *s, uint64_t conn) { transfer_go_on(s->transfers, conn); }

/* ---- the zones' ways out ---- */

static void send_message(void *arg, const struct client *to, const uint8_t *packet, size_t n, bool last)
{
	struct special *s = arg;

	s->ops->send(s->arg, to, packet, n, last);
}

static size_t unsent(void *arg, uint64_t conn)
{
	struct special *s = arg;

	return s->ops->unsent(s->arg, conn);
}

static void abort_connection(void *arg, uint64_t conn)
{
	struct special *s = arg;

	s->ops->close(s->arg, conn);
}

static const struct transfer_ops transfer_ops = { send_message, unsent, abort_connection };

struct special *special_new(struct event_base *base, const struct special_ops *ops, unsigned notify_wait_ms,
			    void *arg)
{
	struct special *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ops = ops;
	s->arg = arg;
	s->changes = changes_new(on_compared, s);
	s->notify = notify_new(base, notify_wait_ms);
	s->transfers = transfers_new(base, &transfer_ops, s);
	s->step = evtimer_new(base, on_step, s);
	if (s->changes && s->notify && s->transfers && s->step)
		return s;
	special_free(s);
	return NULL;
}

void special_free(struct special *s)
{
	if (!s)
		return;
	transfers_free(s->transfers);
	notify_free(s->notify);
	changes_free(s->changes);
	tables_free(s->tables);
	if (s->step)
		event_free(s->step);
	explicit_bzero(s->ring, sizeof(s->ring));
	free(s);
}
