#include "synproxy/synproxy.h"

enum { FLOWS_TOLD_MAX = 4096 };

/* Rows on their way: a message is sent when it is full. */
struct telling {
	struct synproxy *s;
	uint32_t gen; /* of the service that is being told */
	unsigned told;
	struct msg_flows_rows rows;
};

static void send_rows(struct telling *t)
{
	if (t->rows.n > 0)
		child_tell(t->s->child, MSG_FLOWS_ROWS, &t->rows);
	t->rows.n = 0;
}

static bool add_row(void *arg, const struct held *h)
{
	struct telling *t = arg;

	t->rows.flows[t->rows.n++] = (struct msg_flow){
		.svc = h->owner,
		.gen = t->gen,
		.proto = h->proto,
		.client = h->client,
		.addr = h->addr,
		.client_port = h->client_port,
		.port = h->port,
		.since_ns = h->since_ns,
		.newest_ns = h->newest_ns,
		.packets = h->packets,
	};
	t->told++;
	if (t->rows.n == MSG_FLOWS_MAX)
		send_rows(t);
	return true;
}

static uint32_t tell_ward(struct telling *t, const struct ward *w)
{
	const struct hold_table *table = t->s->shared.table;

	t->gen = w->conf->gen;
	if (t->told < FLOWS_TOLD_MAX)
		hold_show(table, w->conf->svc, 0, FLOWS_TOLD_MAX - t->told, add_row, t);
	return hold_count(table, w->conf->svc);
}

void flows_tell(struct synproxy *s, const struct msg_flows_ask *m)
{
	struct telling t = { .s = s, .rows = { .id = m->id } };
	struct msg_flows_end end = { .id = m->id };

	for (uint32_t svc = 0; s->shared.table && svc < SLOTS_MAX; svc++) {
		const struct ward *w = s->wards[svc];

		if (w && (m->all || w == ward_find(s, m->svc, m->gen)))
			end.total += tell_ward(&t, w);
	}
	send_rows(&t);
	child_tell(s->child, MSG_FLOWS_END, &end);
}
