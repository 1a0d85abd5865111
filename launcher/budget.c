#include "launcher/budget.h"

enum {
	SOURCE_SETS = 512, /* a power of two */
	SOURCE_WAYS = 8,
	SOURCE_BITS_V4 = 96 + 24,
	SOURCE_BITS_V6 = 56,
	BACK_OFF_MIN_MS = 1000,
	BACK_OFF_MAX_MS = 300000,
};

enum budget_verdict budget_admit(const struct budget *b, uint64_t memory)
{
	if (b->running >= b->max_running)
		return BUDGET_RUNNING;
	if (b->starting >= b->max_starting)
		return BUDGET_STARTING;
	if (memory > b->max_memory || b->memory > b->max_memory - memory)
		return BUDGET_MEMORY;
	return BUDGET_OK;
}

void budget_explain(const struct budget *b, enum budget_verdict verdict, uint64_t memory, char *out, size_t size)
{
	const unsigned long long mib = 1024 * 1024;

	switch (verdict) {
	case BUDGET_RUNNING:
		snprintf(out, size, "%u of %u VMs run already (limits.max_running)", b->running, b->max_running);
		break;
	case BUDGET_STARTING:
		snprintf(out, size, "%u of %u VMs are starting already (limits.max_starting)", b->starting,
			 b->max_starting);
		break;
	case BUDGET_MEMORY:
		snprintf(out, size, "it needs %llu MiB, and %llu of %llu MiB are taken (limits.memory)",
			 (unsigned long long)memory / mib, (unsigned long long)b->memory / mib,
			 (unsigned long long)b->max_memory / mib);
		break;
	default: snprintf(out, size, "nothing is in the way");
	}
}

/* ---- sources ---- */

struct source {
	struct ip_addr net; /* zero: free */
	uint64_t used_ms; /* last heard of */
	uint64_t filled_ms; /* `tokens` were right then */
	double tokens;
};

struct sources {
	uint32_t most;
	uint64_t period_ms;
	struct source table[SOURCE_SETS][SOURCE_WAYS];
};

struct sources *sources_new(uint32_t most, uint64_t period_ms)
{
	struct sources *s = calloc(1, sizeof(*s));

	if (s)
		sources_set(s, most, period_ms);
	return s;
}

void sources_free(struct sources *s) { free(s); }

void sources_set(struct sources *s, uint32_t most, uint64_t period_ms)
{
	s->most = most;
	s->period_ms = MAX(period_ms, 1);
}

static struct ip_addr network_of(const struct ip_addr *a)
{
	struct ip_addr net = *a;
	unsigned bits = ip_is_v4(a) ? SOURCE_BITS_V4 : SOURCE_BITS_V6;

	memset(net.b + bits / 8, 0, sizeof(net.b) - bits / 8);
	return net;
}

static struct source *set_of(struct sources *s, const struct ip_addr *net)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < sizeof(net->b); i++)
		h = (h ^ net->b[i]) * 16777619u;
	return s->table[(h ^ h >> 16) % SOURCE_SETS];
}

/* The source's entry; a new one takes the place of the one unused for longest. */
static struct source *find(struct sources *s, const struct ip_addr *net, uint64_t now_ms)
{
	struct source *set = set_of(s, net), *oldest = set;

	for (int i = 0; i < SOURCE_WAYS; i++) {
		if (ip_equal(&set[i].net, net))
			return &set[i];
		if (set[i].used_ms < oldest->used_ms)
			oldest = &set[i];
	}
	*oldest = (struct source){ .net = *net, .filled_ms = now_ms, .tokens = s->most };
	return oldest;
}

bool sources_take(struct sources *s, const struct ip_addr *source, uint64_t now_ms)
{
	struct ip_addr net = network_of(source);
	struct source *e = find(s, &net, now_ms);

	e->tokens += (double)(now_ms - e->filled_ms) * s->most / (double)s->period_ms;
	e->tokens = MIN(e->tokens, (double)s->most);
	e->filled_ms = e->used_ms = now_ms;
	if (e->tokens < 1)
		return false;
	e->tokens -= 1;
	return true;
}

uint64_t back_off_ms(uint32_t failures, uint32_t random)
{
	uint64_t wait = BACK_OFF_MIN_MS;

	for (uint32_t i = 1; i < failures && wait < BACK_OFF_MAX_MS; i++)
		wait *= 2;
	wait = MIN(wait, (uint64_t)BACK_OFF_MAX_MS);
	return wait - wait / 4 + random % (wait / 2 + 1);
}
