#include "launcher/learned.h"

#include <inttypes.h>

bool learned_is_known(const struct learned_address *a) { return a->at.len > 0; }

void learned_set(struct learned_address *a, const struct ip_prefix *at, enum learn_how how, uint64_t wall_ms, uint64_t boot)
{
	*a = (struct learned_address){ .at = *at, .how = (uint8_t)how, .since_ms = wall_ms, .boots = 1, .boot = boot };
}

bool learned_seen(struct learned_address *a, uint64_t boot, uint64_t for_ms)
{
	struct learned_address was = *a;

	if (a->boot != boot && a->boots < UINT32_MAX)
		a->boots++;
	a->boot = boot;
	a->stable = a->stable || a->boots >= LEARNED_BOOTS || for_ms >= LEARNED_STABLE_MS;
	return a->boots != was.boots || a->stable != was.stable;
}

uint64_t learned_change(struct learned_changes *c, uint64_t now_ms)
{
	uint64_t until_ms = MAX(c->until_ms, now_ms) + LEARNED_CHANGE_MS;
	uint64_t most_ms = now_ms + LEARNED_CHANGES * LEARNED_CHANGE_MS;

	if (until_ms > most_ms)
		return until_ms - most_ms;
	c->until_ms = until_ms;
	return 0;
}

/* ---- as text ---- */

void learned_print(const struct learned_address *a, char out[LEARNED_TEXT_MAX])
{
	char text[ADDR_TEXT_MAX];

	snprintf(out, LEARNED_TEXT_MAX, "%s %s %" PRIu64 " %" PRIu32 " %" PRIu64 " %s", prefix_format(&a->at, text),
		 learn_name(a->how), a->since_ms, a->boots, a->boot, a->stable ? "stable" : "new");
}

static bool how_of(const char *name, uint8_t *out)
{
	for (unsigned i = 0; i < LEARN_N; i++) {
		if (strcmp(learn_name(i), name) != 0)
			continue;
		*out = (uint8_t)i;
		return true;
	}
	return false;
}

int learned_parse(const char *text, struct learned_address *out)
{
	char at[ADDR_TEXT_MAX], how[16], stable[16];
	struct learned_address a = { 0 };
	int end = 0;

	if (sscanf(text, "%63s %15s %" SCNu64 " %" SCNu32 " %" SCNu64 " %15s%n", at, how, &a.since_ms, &a.boots, &a.boot,
		   stable, &end) != 6 || text[end])
		return -EINVAL;
	a.stable = strcmp(stable, "stable") == 0;
	if (prefix_parse(at, &a.at) < 0 || !ip_is_v4(&a.at.addr) || prefix_bits(&a.at) == 0 || !how_of(how, &a.how) ||
	    (!a.stable && strcmp(stable, "new") != 0))
		return -EINVAL;
	*out = a;
	return 0;
}

/* ---- which addresses ---- */

static bool has_host_bits(const struct ip_prefix *p, bool ones)
{
	for (unsigned bit = p->len; bit < 128; bit++) {
		bool set = p->addr.b[bit / 8] & (0x80 >> bit % 8);

		if (set != ones)
			return false;
	}
	return true;
}

/* Networks of two addresses, or one, have none of these (RFC 3021). */
static bool is_of_network(const struct ip_prefix *p)
{
	return p->len < 127 && (has_host_bits(p, false) || has_host_bits(p, true));
}

static int is_taken(const struct learned_host *h, const struct ip_addr *addr, const char *text, struct err *e)
{
	for (size_t i = 0; i < h->n; i++) {
		if (!ip_equal(&h->own[i].at.addr, addr))
			continue;
		return err_set(e, -EADDRINUSE, "%s is %s", text,
			       h->own[i].is_gateway ? "a gateway of this host's" : "this host's own address");
	}
	return 0;
}

int learned_check(const struct learned_host *h, const struct ip_addr *addr, struct ip_prefix *at, struct err *e)
{
	struct ip_prefix found = { .addr = *addr };
	char text[ADDR_TEXT_MAX];
	bool any = false;

	ip_format(addr, text);
	if (!ip_is_v4(addr))
		return err_set(e, -EAFNOSUPPORT, "%s is no IPv4 address", text);
	if (is_taken(h, addr, text, e) < 0)
		return e->code;
	for (size_t i = 0; i < h->n; i++) {
		const struct learned_own *own = &h->own[i];

		if (!own->on_bridge || own->is_gateway || !ip_is_v4(&own->at.addr))
			continue;
		any = true;
		if (prefix_contains(&own->at, addr) && own->at.len > found.len)
			found.len = own->at.len;
	}
	if (!any)
		return err_set(e, -EADDRNOTAVAIL,
			       "bridge %s has no IPv4 address, so that nobody can say whether %s belongs there: give it one",
			       h->bridge, text);
	if (!found.len)
		return err_set(e, -EADDRNOTAVAIL, "%s is in no network of bridge %s", text, h->bridge);
	if (is_of_network(&found))
		return err_set(e, -EADDRNOTAVAIL, "%s is an address of the whole network on bridge %s", text, h->bridge);
	*at = found;
	return 0;
}
