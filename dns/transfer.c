/* Theory of operation
 *
 * A transfer is a row of sets:
 *
 *	AXFR	SOA, every set of the zone, SOA
 *	IXFR	SOA, each change (the old SOA, what is gone, the new SOA, what came), SOA
 *
 * put into messages until TRANSFER_MESSAGE is reached; a set that does not fit the rest of a message begins
 * the next, and always fits there (ZONE_RRSET_MAX).  Each message is signed when the request was.
 *
 *	ready -> a message made -> ready                     one in each turn of the loop, in turns with others
 *	                        -> full: TRANSFER_UNSENT_MAX -> the connection has sent all: ready
 *	                        -> the last one: gone
 *
 * Walking over names that are not the zone's ends a turn without a message.
 */
#include "dns/transfer.h"

#include <assert.h>
#include <event2/event.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"

enum { NAMES_PER_TURN = 4000 };

enum part { PART_FIRST, PART_BODY, PART_LAST, PART_END };

/* Where a row of sets has come to. */
struct row {
	const struct tables *t;
	uint32_t zone;
	enum part part;
	struct change **changes;
	unsigned n_changes, change;
	size_t at; /* in that change */
	struct zone_walk walk;
	struct wire_rrset set; /* next to be put, if has_set */
	bool has_set;
};

struct transfer {
	TAILQ_ENTRY(transfer) next;
	struct client to;
	struct wire_query q;
	uint8_t packet[WIRE_HEADER + WIRE_QUESTION_MAX]; /* what q has of it */
	bool is_signed, full;
	struct tsig_chain chain;
	struct tables *tables; /* ours, of `row` */
	struct row row;
	struct change *changes[CHANGES_CHAIN_MAX];
};

TAILQ_HEAD(transfer_queue, transfer);

struct transfers {
	const struct transfer_ops *ops;
	void *arg;
	struct event *turn;
	struct transfer_queue queue; /* oldest first */
	unsigned n;
};

/* ---- rows ---- */

static void begin_row(struct row *r, const struct tables *t, uint32_t zone, struct change **changes,
		      unsigned n_changes)
{
	*r = (struct row){ .t = t, .zone = zone, .changes = changes, .n_changes = n_changes };
	zone_walk_begin(&r->walk, t, zone);
}

static void take_soa(struct row *r)
{
	const struct zone_node *apex = tables_node(r->t, tables_zone_at(r->t, r->zone)->apex);
	const struct zone_rrset *soa = zone_soa(r->t, r->zone);

	r->set = (struct wire_rrset){ .type = TYPE_SOA, .count = 1, .records = tables_bytes(r->t, soa), .n = soa->n,
				      .owner = tables_name(r->t, apex), .owner_labels = apex->labels };
	r->part++;
}

/* 1, 0: that was all, -EAGAIN */
static int take_from_zone(struct row *r, unsigned *budget)
{
	struct zone_set s;
	int n = zone_walk_next(&r->walk, budget, &s);

	if (n == 1)
		r->set = (struct wire_rrset){ .type = s.type, .count = s.count, .records = s.records, .n = s.n,
					      .owner = tables_name(r->t, s.owner), .owner_labels = s.owner->labels };
	return n;
}

static int take_from_changes(struct row *r)
{
	while (r->change < r->n_changes) {
		if (change_next(r->changes[r->change], &r->at, &r->set))
			return 1;
		r->change++;
		r->at = 0;
	}
	return 0;
}

/* The set that is next: 1; 0: none; -EAGAIN: not yet. */
static int next_set(struct row *r, unsigned *budget)
{
	int n;

	if (r->has_set)
		return 1;
	if (r->part == PART_BODY) {
		n = r->n_changes > 0 ? take_from_changes(r) : take_from_zone(r, budget);
		if (n < 0)
			return n;
		r->has_set = n == 1;
		r->part += n == 0;
	}
	if (r->has_set)
		return 1;
	if (r->part == PART_END)
		return 0;
	take_soa(r); /* PART_FIRST, PART_LAST */
	r->has_set = true;
	return 1;
}

/* ---- messages ---- */

/* Writes sets until the message is as large as `enough`: 1, 0: the row has ended, -EAGAIN. */
static int fill(struct row *r, struct wire_reply *m, size_t enough)
{
	unsigned budget = NAMES_PER_TURN;
	int n = 1;

	while (m->n < enough && (n = next_set(r, &budget)) == 1) {
		if (!wire_add_rrset(m, SECTION_ANSWER, &r->set))
			return 1;
		r->has_set = false;
	}
	return r->part == PART_END && !r->has_set ? 0 : n;
}

static void begin_message(struct wire_reply *m, const struct wire_query *q, uint8_t *b, size_t limit)
{
	wire_begin(m, q, b, limit, FLAG_AA, RCODE_NOERROR);
}

size_t transfer_in_one(const struct transfer_wish *w, uint8_t *b, size_t limit)
{
	struct wire_reply m;
	struct row r;

	begin_row(&r, w->t, w->zone, w->changes, w->n_changes);
	begin_message(&m, w->q, b, limit);
	return fill(&r, &m, SIZE_MAX) == 0 ? wire_end(&m, RCODE_NOERROR) : 0;
}

size_t transfer_soa(const struct wire_query *q, const struct tables *t, uint32_t zone, uint8_t *b, size_t limit)
{
	struct row r = { .t = t, .zone = zone };
	struct wire_reply m;

	begin_message(&m, q, b, limit);
	take_soa(&r);
	if (!wire_add_rrset(&m, SECTION_ANSWER, &r.set))
		wire_set_cut(&m);
	return wire_end(&m, RCODE_NOERROR);
}

/* ---- transfers ---- */

static void let_go(struct change **changes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		change_unref(changes[i]);
}

static void end_transfer(struct transfers *t, struct transfer *x)
{
	TAILQ_REMOVE(&t->queue, x, next);
	t->n--;
	let_go(x->changes, x->row.n_changes);
	tables_free(x->tables);
	explicit_bzero(&x->chain, sizeof(x->chain));
	free(x);
}

static void send_message(struct transfers *t, struct transfer *x, struct wire_reply *m, bool last)
{
	size_t n = wire_end(m, RCODE_NOERROR);

	if (x->is_signed)
		n = tsig_sign(&x->chain, m->b, n, clock_wall_ms() / MS_PER_S);
	t->ops->send(t->arg, &x->to, m->b, n, last);
}

/* x may be gone afterwards. */
static void take_turn(struct transfers *t, struct transfer *x)
{
	size_t reserve = x->is_signed ? tsig_length(&x->chain.key) : 0;
	uint8_t b[WIRE_TCP_MAX];
	struct wire_reply m;
	int r;

	if (t->ops->unsent(t->arg, x->to.conn) > TRANSFER_UNSENT_MAX) {
		x->full = true;
		return;
	}
	begin_message(&m, &x->q, b, sizeof(b) - reserve);
	r = fill(&x->row, &m, TRANSFER_MESSAGE);
	assert(r != 1 || wire_get16(b + SECTION_ANSWER) > 0);
	if (wire_get16(b + SECTION_ANSWER) > 0)
		send_message(t, x, &m, r == 0);
	if (r == 0)
		end_transfer(t, x);
}

static void wind(struct transfers *t)
{
	struct timeval now = { 0, 0 };
	struct transfer *x;

	TAILQ_FOREACH(x, &t->queue, next) {
		if (x->full)
			continue;
		event_add(t->turn, &now);
		return;
	}
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct transfers *t = arg;
	struct transfer *x = TAILQ_FIRST(&t->queue), *next;

	(void)fd;
	(void)what;
	for (; x; x = next) {
		next = TAILQ_NEXT(x, next);
		if (!x->full)
			take_turn(t, x);
	}
	wind(t);
}

void transfer_go_on(struct transfers *t, uint64_t conn)
{
	struct transfer *x;

	TAILQ_FOREACH(x, &t->queue, next)
		if (x->to.conn == conn)
			x->full = false;
	wind(t);
}

void transfers_forget(struct transfers *t, uint64_t conn)
{
	struct transfer *x = TAILQ_FIRST(&t->queue), *next;

	for (; x; x = next) {
		next = TAILQ_NEXT(x, next);
		if (x->to.conn == conn)
			end_transfer(t, x);
	}
}

/* ---- beginning ---- */

static unsigned count_to(const struct transfers *t, const struct ip_addr *addr)
{
	const struct transfer *x;
	unsigned n = 0;

	TAILQ_FOREACH(x, &t->queue, next)
		n += ip_equal(&x->to.addr, addr);
	return n;
}

/* Different tables that transfers go on with.  They began with them in the order in which these were in
 * force. */
static unsigned count_tables(const struct transfers *t)
{
	const struct tables *before = NULL;
	const struct transfer *x;
	unsigned n = 0;

	TAILQ_FOREACH(x, &t->queue, next) {
		n += x->row.t != before;
		before = x->row.t;
	}
	return n;
}

static void end_oldest(struct transfers *t)
{
	const struct tables *oldest = TAILQ_FIRST(&t->queue)->row.t;
	struct transfer *x;

	while ((x = TAILQ_FIRST(&t->queue)) && x->row.t == oldest) {
		uint64_t conn = x->to.conn;
		char text[ADDR_TEXT_MAX];

		log_limited(LOG_INFO, "a transfer to %s takes too long, and ends", ip_format(&x->to.addr, text));
		transfers_forget(t, conn);
		t->ops->abort(t->arg, conn);
	}
}

static struct transfer *new_transfer(const struct transfer_wish *w)
{
	struct transfer *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->to = w->to;
	x->q = *w->q;
	x->q.packet = x->packet;
	x->q.cookie = NULL;
	memcpy(x->packet, w->q->packet, WIRE_HEADER + (size_t)w->q->question_n);
	x->is_signed = w->chain;
	if (w->chain)
		x->chain = *w->chain;
	if (w->n_changes > 0)
		memcpy(x->changes, w->changes, w->n_changes * sizeof(x->changes[0]));
	x->tables = tables_ref(w->t);
	begin_row(&x->row, x->tables, w->zone, x->changes, w->n_changes);
	return x;
}

int transfer_begin(struct transfers *t, const struct transfer_wish *w)
{
	struct transfer *x = NULL;

	if (t->n < TRANSFERS_MAX && count_to(t, &w->to.addr) < TRANSFERS_CLIENT_MAX) {
		x = new_transfer(w);
		if (!x)
			let_go(w->changes, w->n_changes);
	} else {
		let_go(w->changes, w->n_changes);
		return -ENOSPC;
	}
	if (!x)
		return -ENOMEM;
	TAILQ_INSERT_TAIL(&t->queue, x, next);
	t->n++;
	if (count_tables(t) > TRANSFERS_TABLES_MAX)
		end_oldest(t);
	wind(t);
	return 0;
}

unsigned transfers_count(const struct transfers *t) { return t->n; }

struct transfers *transfers_new(struct event_base *base, const struct transfer_ops *ops, void *arg)
{
	struct transfers *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->ops = ops;
	t->arg = arg;
	TAILQ_INIT(&t->queue);
	t->turn = evtimer_new(base, on_turn, t);
	if (!t->turn) {
		free(t);
		return NULL;
	}
	return t;
}

void transfers_free(struct transfers *t)
{
	if (!t)
		return;
	while (!TAILQ_EMPTY(&t->queue))
		end_transfer(t, TAILQ_FIRST(&t->queue));
	event_free(t->turn);
	free(t);
}
