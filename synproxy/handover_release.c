#include "synproxy/handover_internal.h"

enum { DISCARD_PER_TICK = 4096 };

/* How many held packets may go now. */
static unsigned allowance(const struct handover *h, uint64_t now_ns) { return bucket_level(&h->pace, now_ns); }

/* ---- ways to go ---- */

static void reset_held(struct handover *h, const struct held *one)
{
	uint8_t frame[FRAME_BUILT_MAX];
	struct frame f;
	size_t n;

	frame_parse(one->frame, one->n, &f);
	if (f.kind != FRAME_TCP || (!one->syn && !handover_resets_strays(h)))
		return;
	n = frame_reset(frame, &f, &h->conf->mac);
	if (n > 0)
		h->ops->to_tap(h->arg, frame, n);
}

static bool take_with_reset(void *arg, const struct held *one)
{
	reset_held(arg, one);
	return true;
}

static bool take_in_silence(void *arg, const struct held *one)
{
	(void)arg;
	(void)one;
	return true;
}

static bool send_held(void *arg, const struct held *one)
{
	struct handover *h = arg;

	h->stuck = !h->ops->to_port(h->arg, one->frame, one->n);
	return !h->stuck;
}

/* ---- to the VM ---- */

/* Of `most`, `n` went: there may be more. */
static bool count_released(struct handover *h, unsigned n, unsigned most, uint64_t now_ns)
{
	bucket_take(&h->pace, now_ns, n);
	h->counts.released += n;
	h->unsaid += n;
	if (n > 0)
		h->quiet_ns = now_ns;
	return n == most || h->stuck;
}

bool handover_release_packets(struct handover *h, uint64_t now_ns)
{
	unsigned most = allowance(h, now_ns), n = 0;

	if (!h->packets || handover_held(h) == 0)
		return h->packets = false;
	h->stuck = false;
	if (most > 0)
		n = hold_take_packets(h->shared->table, h->conf->svc, most, send_held, h);
	return h->packets = count_released(h, n, most, now_ns);
}

bool handover_release_syns(struct handover *h, int port, uint64_t now_ns)
{
	unsigned most = allowance(h, now_ns), n = 0;

	if (handover_held(h) == 0)
		return false;
	h->stuck = false;
	if (most > 0)
		n = hold_take_syns(h->shared->table, h->conf->svc, port, most, send_held, h);
	return count_released(h, n, most, now_ns);
}

bool handover_release_open_ports(struct handover *h, uint64_t now_ns)
{
	bool left = false;

	for (unsigned i = 0; i < h->n_ports; i++) {
		struct port *p = &h->ports[i];

		if (p->open && p->held)
			left |= p->held = handover_release_syns(h, p->port, now_ns);
	}
	return left;
}

bool handover_refuse_closed_ports(struct handover *h, uint64_t now_ns)
{
	bool left = false;

	for (unsigned i = 0; i < h->n_ports; i++) {
		struct port *p = &h->ports[i];
		unsigned most = allowance(h, now_ns), n = 0;

		if (!p->closed || !p->held)
			continue;
		if (most > 0 && h->shared->table)
			n = hold_take_syns(h->shared->table, h->conf->svc, p->port, most, take_with_reset, h);
		bucket_take(&h->pace, now_ns, n);
		h->counts.refused += n;
		if (n > 0)
			handover_tell(h, HOLD_REFUSED, NULL, p->port, n, now_ns);
		left |= p->held = n == most;
	}
	return left;
}

void handover_say_released(struct handover *h, bool left, uint64_t now_ns)
{
	if (h->unsaid == 0 || (h->said_released && left))
		return;
	handover_tell(h, HOLD_RELEASED, NULL, 0, h->unsaid, now_ns);
	h->said_released = left;
	h->unsaid = 0;
}

/* ---- not to the VM ---- */

/* What came at or before `before_ns` goes; true when some is left. */
static bool let_go(struct handover *h, uint64_t before_ns, hold_fn *take, uint64_t *counter, uint64_t now_ns)
{
	unsigned most = allowance(h, now_ns), n = 0;

	if (most > 0)
		n = hold_take_old(h->shared->table, h->conf->svc, before_ns, most, take, h);
	bucket_take(&h->pace, now_ns, n);
	*counter += n;
	return n == most;
}

bool handover_refuse_failed(struct handover *h, uint64_t now_ns)
{
	return handover_held(h) > 0 && let_go(h, h->failed_ns, take_with_reset, &h->counts.refused, now_ns);
}

uint64_t handover_expire(struct handover *h, uint64_t now_ns)
{
	uint64_t max_ns = h->conf->max_hold_ms * NS_PER_MS, oldest_ns;

	if (handover_held(h) == 0)
		return 0;
	if (now_ns >= hold_oldest_ns(h->shared->table, h->conf->svc) + max_ns &&
	    let_go(h, now_ns - max_ns, h->at_vm ? take_in_silence : take_with_reset, &h->counts.expired, now_ns))
		return handover_soon(now_ns);
	oldest_ns = hold_oldest_ns(h->shared->table, h->conf->svc);
	return oldest_ns ? MAX(oldest_ns + max_ns, handover_soon(now_ns)) : 0;
}

uint64_t handover_discard(struct handover *h)
{
	if (handover_held(h) > 0)
		h->counts.dropped += hold_take_old(h->shared->table, h->conf->svc, UINT64_MAX, DISCARD_PER_TICK,
						   take_in_silence, h);
	return handover_held(h) > 0; /* at once: any time in the past will do */
}

/* One wake may have spoken for all that are held: when it was refused, the next one speaks. */
void handover_drop(struct handover *h, const struct ip_addr *client, bool reset, uint64_t now_ns)
{
	unsigned n;

	if (ip_equal(&h->wake.client, client))
		h->wake_due = h->wake_again = false;
	if (!h->shared->table)
		return;
	n = hold_take_client(h->shared->table, h->conf->svc, client, reset ? take_with_reset : take_in_silence, h);
	*(reset ? &h->counts.refused : &h->counts.dropped) += n;
	if (!h->wake_due)
		handover_wake_for_held(h, now_ns);
}
