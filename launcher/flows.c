/* Which connections are held: an operator's question, handed on to synproxy, and its answer, row by
 * row.  synproxy may say anything, so only rows of services that exist are passed on, no more than were asked
 * for, and one that does not answer is waited for FLOWS_WAIT_MS.
 */
#include <event2/event.h>
#include <inttypes.h>

#include "launcher/launcher.h"
#include "launcher/rows.h"

enum { FLOWS_WAIT_MS = 3000, FLOWS_ASKS_MAX = 64 };

struct ask {
	TAILQ_ENTRY(ask) next;
	struct launcher *l;
	uint32_t id; /* control's */
	uint32_t req; /* synproxy's */
	uint32_t left; /* rows that may still be sent */
	bool all;
	uint32_t svc, gen; /* unless all */
	struct event *late;
};

struct flows {
	TAILQ_HEAD(, ask) asks;
	unsigned n;
};

static void end(struct launcher *l, uint32_t id, int error, const char *text)
{
	struct msg_ctl_end m = { .id = id, .error = error };

	str_copy(m.text, text);
	if (l->control)
		ipc_send(l->control, MSG_CTL_END, &m);
}

static void ask_free(struct ask *a)
{
	TAILQ_REMOVE(&a->l->flows->asks, a, next);
	a->l->flows->n--;
	event_free(a->late);
	free(a);
}

/* Its answer ends, well (0) or not. */
static void finish(struct ask *a, int error, const char *text)
{
	end(a->l, a->id, error, text);
	ask_free(a);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg, -ETIMEDOUT, "synproxy, which holds the connections, does not answer: try again");
}

static struct ask *ask_new(struct launcher *l, const struct msg_ctl_request *wanted, const struct service *s)
{
	struct timeval late = clock_timeval_ms(FLOWS_WAIT_MS);
	struct ask *a = calloc(1, sizeof(*a));

	if (!a)
		abort();
	*a = (struct ask){ .l = l, .id = wanted->id, .req = ++l->last_req, .left = wanted->n ? wanted->n : UINT32_MAX };
	a->all = !s;
	if (s) {
		a->svc = s->index;
		a->gen = s->gen;
	}
	a->late = evtimer_new(l->base, on_late, a);
	if (!a->late)
		abort();
	event_add(a->late, &late);
	TAILQ_INSERT_TAIL(&l->flows->asks, a, next);
	l->flows->n++;
	return a;
}

void flows_ask(struct launcher *l, const struct msg_ctl_request *wanted, const struct service *s)
{
	struct msg_flows_ask m;
	const struct ask *a;

	if (!synproxy_is_told(l)) {
		end(l, wanted->id, -ENOTCONN, "synproxy, which holds the connections, is being started: try again");
		return;
	}
	if (l->flows->n >= FLOWS_ASKS_MAX) {
		end(l, wanted->id, -EBUSY, "too many requests are under way: try again later");
		return;
	}
	a = ask_new(l, wanted, s);
	m = (struct msg_flows_ask){ .id = a->req, .all = a->all, .svc = a->svc, .gen = a->gen };
	ipc_send(l->synproxy, MSG_FLOWS_ASK, &m);
}

/* ---- the answer ---- */

static struct ask *find(struct launcher *l, uint32_t req)
{
	struct ask *a;

	TAILQ_FOREACH (a, &l->flows->asks, next) {
		if (a->req == req)
			return a;
	}
	return NULL;
}

static void send_row(const struct ask *a, const struct service *s, const struct msg_flow *f)
{
	struct msg_ctl_row row = { .id = a->id };
	uint64_t now = clock_now_ns();
	char text[ADDR_TEXT_MAX];

	row_str(&row, "service", "%s", s->conf->name);
	row_str(&row, "proto", "%s", f->proto == FLOW_UDP ? "udp" : "tcp");
	row_str(&row, "client", "%s", ip_format(&f->client, text));
	row_num(&row, "client_port", f->client_port);
	row_str(&row, "addr", "%s", ip_format(&f->addr, text));
	row_num(&row, "port", f->port);
	row_num(&row, "age_ms", (now - MIN(f->since_ns, now)) / NS_PER_MS);
	row_num(&row, "newest_ago_ms", (now - MIN(f->newest_ns, now)) / NS_PER_MS);
	row_num(&row, "packets", f->packets);
	row_str(&row, "state", "%s", state_name(s->state));
	if (a->l->control)
		ipc_send(a->l->control, MSG_CTL_ROW, &row);
}

void flows_rows(struct launcher *l, const struct msg_flows_rows *m)
{
	struct ask *a = find(l, m->id);

	for (uint16_t i = 0; a && i < m->n && i < ARRAY_SIZE(m->flows) && a->left > 0; i++) {
		const struct msg_flow *f = &m->flows[i];
		const struct service *s = service_find(l, f->svc, f->gen);

		if (!s || s->removed || (!a->all && s->index != a->svc))
			continue;
		send_row(a, s, f);
		a->left--;
	}
}

void flows_end(struct launcher *l, const struct msg_flows_end *m)
{
	struct ask *a = find(l, m->id);
	struct msg_ctl_row row;

	if (!a)
		return;
	row = (struct msg_ctl_row){ .id = a->id };
	row_num(&row, "held", m->total);
	if (l->control)
		ipc_send(l->control, MSG_CTL_ROW, &row);
	finish(a, 0, "");
}

/* ---- those who ask no more, or can be told nothing ---- */

void flows_cancel(struct launcher *l, uint32_t id)
{
	struct ask *a, *a_next;

	for (a = TAILQ_FIRST(&l->flows->asks); a; a = a_next) {
		a_next = TAILQ_NEXT(a, next);
		if (a->id == id)
			ask_free(a);
	}
}

void flows_drop(struct launcher *l)
{
	while (!TAILQ_EMPTY(&l->flows->asks))
		ask_free(TAILQ_FIRST(&l->flows->asks));
}

void flows_synproxy_gone(struct launcher *l)
{
	while (!TAILQ_EMPTY(&l->flows->asks))
		finish(TAILQ_FIRST(&l->flows->asks), -ENOTCONN,
		       "synproxy, which holds the connections, went away: try again");
}

struct flows *flows_new(void)
{
	struct flows *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	TAILQ_INIT(&f->asks);
	return f;
}
