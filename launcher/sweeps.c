#include "launcher/sweeps.h"

enum { SWEEP_SOURCES = 256, SWEEP_BITS_V6 = 64 };

struct sweeper {
	struct ip_addr source; /* zero: a free place */
	uint64_t began_ms, newest_ms;
	unsigned n;
	uint32_t services[SWEEP_SERVICES]; /* the first n different ones */
};

struct sweeps {
	uint64_t count;
	struct sweeper table[SWEEP_SOURCES];
};

struct sweeps *sweeps_new(void) { return calloc(1, sizeof(struct sweeps)); }

void sweeps_free(struct sweeps *s) { free(s); }

static struct ip_addr source_of(const struct ip_addr *a)
{
	struct ip_addr source = *a;

	if (!ip_is_v4(a))
		memset(source.b + SWEEP_BITS_V6 / 8, 0, sizeof(source.b) - SWEEP_BITS_V6 / 8);
	return source;
}

/* Its place, begun anew when it was silent, or done with, for long enough. */
static struct sweeper *find(struct sweeps *s, const struct ip_addr *source, uint64_t now_ms)
{
	struct sweeper *w = s->table, *oldest = s->table;

	for (; w < s->table + SWEEP_SOURCES; w++) {
		if (ip_equal(&w->source, source))
			break;
		if (w->newest_ms < oldest->newest_ms)
			oldest = w;
	}
	if (w == s->table + SWEEP_SOURCES)
		w = oldest;
	if (!ip_equal(&w->source, source) || now_ms - w->began_ms >= SWEEP_MS)
		*w = (struct sweeper){ .source = *source, .began_ms = now_ms };
	w->newest_ms = now_ms;
	return w;
}

bool sweeps_note(struct sweeps *s, const struct ip_addr *source, uint32_t service, uint64_t now_ms)
{
	struct ip_addr from = source_of(source);
	struct sweeper *w = find(s, &from, now_ms);

	for (unsigned i = 0; i < w->n; i++) {
		if (w->services[i] == service)
			return false;
	}
	if (w->n == SWEEP_SERVICES)
		return false; /* said already */
	w->services[w->n++] = service;
	if (w->n < SWEEP_SERVICES)
		return false;
	s->count++;
	return true;
}

uint64_t sweeps_count(const struct sweeps *s) { return s->count; }
