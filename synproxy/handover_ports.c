#include "synproxy/handover_internal.h"

struct port *handover_find_port(struct handover *h, uint16_t port)
{
	for (unsigned i = 0; i < h->n_ports; i++) {
		if (h->ports[i].port == port)
			return &h->ports[i];
	}
	return NULL;
}

void handover_add_port(struct handover *h, uint16_t port, bool configured)
{
	struct port *p = handover_find_port(h, port);

	if (!p && h->n_ports == PORTS_MAX)
		return; /* what is held for it goes when the others are settled */
	if (!h->ports && !(h->ports = calloc(PORTS_MAX, sizeof(*h->ports))))
		return;
	if (!p) {
		p = &h->ports[h->n_ports++];
		*p = (struct port){ .port = port };
		p->deaf = !h->ops->want_port(h->arg, port);
	}
	p->configured |= configured;
	p->held |= !configured;
}

/* Not when all is handed over, nor for those of a VM that goes: asking would look like traffic. */
bool handover_waits(const struct handover *h) { return h->port_there && !h->at_vm && handover_vm_comes(h->stage); }

void handover_wait_for_ports(struct handover *h)
{
	uint16_t held[HOLD_PORTS_MAX];
	unsigned n = 0;

	if (!handover_waits(h))
		return;
	for (unsigned i = 0; i < h->conf->n_ports; i++)
		handover_add_port(h, h->conf->ports[i].port, true);
	if (h->shared->table)
		n = hold_ports(h->shared->table, h->conf->svc, held, ARRAY_SIZE(held));
	for (unsigned i = 0; i < n; i++)
		handover_add_port(h, held[i], false);
}

static void open_port(struct handover *h, struct port *p, uint64_t now_ns)
{
	p->open = true;
	p->closed = false;
	if (!h->open_ns)
		h->open_ns = now_ns;
	if (p->configured && !h->configured_open_ns)
		h->configured_open_ns = now_ns;
}

/* Also those that nobody can ask, and those that have been configured since they opened. */
static void look_for_open_ports(struct handover *h, uint64_t now_ns)
{
	bool there = h->link || h->stage == HOLD_STAGE_UP;

	for (unsigned i = 0; i < h->n_ports; i++) {
		struct port *p = &h->ports[i];

		if (p->open || (p->deaf && there))
			open_port(h, p, now_ns);
	}
}

/* When a port that refuses is settled; 0: nobody knows yet.  A port that nobody has configured may open
 * long before the service does: it says nothing about those that are. */
static uint64_t give_up_ns(const struct handover *h, const struct port *p)
{
	uint64_t open_ns = p->configured ? h->configured_open_ns : h->open_ns, at_ns = 0;

	if (open_ns)
		at_ns = open_ns + HANDOVER_REFUSED_S * NS_PER_S;
	if (h->stage == HOLD_STAGE_UP && !p->configured)
		at_ns = handover_sooner(at_ns, h->up_ns + HANDOVER_REFUSED_S * NS_PER_S);
	else if (h->stage == HOLD_STAGE_UP && !open_ns)
		at_ns = h->up_ns + h->conf->max_hold_ms * NS_PER_MS;
	return at_ns;
}

unsigned handover_settle(struct handover *h, uint64_t now_ns, uint64_t *due_ns)
{
	unsigned pending = 0;

	look_for_open_ports(h, now_ns);
	for (unsigned i = 0; i < h->n_ports; i++) {
		struct port *p = &h->ports[i];
		uint64_t at_ns = give_up_ns(h, p);

		if (p->open || p->closed)
			continue;
		p->closed = p->refused && at_ns && now_ns >= at_ns;
		pending += !p->closed;
		if (p->refused && !p->closed)
			*due_ns = handover_sooner(*due_ns, at_ns);
	}
	return pending;
}

static void forget_port(struct handover *h)
{
	h->port_there = h->probing = h->link = h->in_path = false;
	h->n_ports = 0;
	h->open_ns = h->configured_open_ns = 0;
}

void handover_leave_port(struct handover *h)
{
	bool had = h->port_there;

	forget_port(h);
	if (had)
		h->ops->leave_port(h->arg);
}

void handover_port(struct handover *h, const struct msg_port *asked, unsigned n, bool probing, uint64_t now_ns)
{
	forget_port(h);
	h->port_there = true;
	h->probing = probing;
	h->over = false;
	h->asked_ns = 0;
	h->quiet_ns = now_ns;
	if (probing)
		h->at_vm = false; /* who is asked whether it is ready is not handed over to */
	for (unsigned i = 0; i < n; i++)
		handover_add_port(h, asked[i].port, true);
	handover_wait_for_ports(h);
}

void handover_port_gone(struct handover *h) { forget_port(h); }

void handover_probe(struct handover *h, enum probe_what what, uint16_t port, uint64_t now_ns)
{
	struct port *p = handover_find_port(h, port);

	if (!h->port_there)
		return;
	switch (what) {
	case PROBE_LINK: h->link = true; break;
	case PROBE_DONE: h->probing = false; break;
	case PROBE_REFUSED:
		if (p)
			p->refused = true;
		break;
	case PROBE_PORT:
	case PROBE_SILENT:
		if (p && !p->open)
			open_port(h, p, now_ns);
		break;
	}
}
