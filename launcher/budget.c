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

enum budget_verdict budget_admit_unproven(const struct budget *b, uint64_t memory)
{
	enum budget_verdict verdict = budget_admit(b, memory);

	if (verdict != BUDGET_OK)
		return verdict;
	if (b->unproven_starting >= MAX(1u, b->max_starting / 2))
		return BUDGET_STARTING;
	if (b->unproven_running >= MAX(1u, b->max_running / 2))
		return BUDGET_RUNNING;
	if (b->unproven_running > 0 && memory + b->unproven_memory > b->max_memory / 2)
		return BUDGET_MEMORY;
	return BUDGET_OK;
}

/* Why a wake of that kind waits that any other would not have to for. */
static void explain_unproven(const struct budget *b, enum budget_verdict verdict, char *out, size_t size)
{
	static const char *const limits[BUDGET_N] = {
		[BUDGET_RUNNING] = "max_running", [BUDGET_STARTING] = "max_starting", [BUDGET_MEMORY] = "memory",
	};

	snprintf(out, size, "%u VMs run and %u start for clients that are not verified, and more than half of "
			    "limits.%s is not for them", b->unproven_running, b->unproven_starting, limits[verdict]);
}

void budget_explain(const struct budget *b, enum budget_verdict verdict, uint64_t memory, char *out, size_t size)
{
	const unsigned long long mib = 1024 * 1024;

	if (verdict != BUDGET_OK && budget_admit(b, memory) == BUDGET_OK) {
		explain_unproven(b, verdict, out, size);
		return;
	}
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

/* ---- allowances ---- */

bool allowance_has(struct allowance *a, uint32_t most, uint64_t period_ms, uint64_t now_ms)
{
	a->tokens = MIN(a->tokens + (double)(now_ms - a->filled_ms) * most / (double)period_ms, (double)most);
	if (a->filled_ms == 0)
		a->tokens = most;
	a->filled_ms = now_ms;
	return a->tokens >= 1;
}

void allowance_take(struct allowance *a) { a->tokens -= 1; }

/* ---- sources ---- */

struct source {
	struct ip_addr net; /* zero: free */
	uint64_t used_ms; /* last heard of */
	struct allowance allowance;
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
static struct source *find(struct sources *s, const struct ip_addr *net)
{
	struct source *set = set_of(s, net), *oldest = set;

	for (int i = 0; i < SOURCE_WAYS; i++) {
		if (ip_equal(&set[i].net, net))
			return &set[i];
		if (set[i].used_ms < oldest->used_ms)
			oldest = &set[i];
	}
	*oldest = (struct source){ .net = *net };
	return oldest;
}

static struct allowance *allowance_of(struct sources *s, const struct ip_addr *source, uint64_t now_ms)
{
	struct ip_addr net = network_of(source);
	struct source *e = find(s, &net);

	e->used_ms = now_ms;
	return &e->allowance;
}

bool sources_has(struct sources *s, const struct ip_addr *source, uint64_t now_ms)
{
	return allowance_has(allowance_of(s, source, now_ms), s->most, s->period_ms, now_ms);
}

bool sources_take(struct sources *s, const struct ip_addr *source, uint64_t now_ms)
{
	struct allowance *a = allowance_of(s, source, now_ms);

	if (!allowance_has(a, s->most, s->period_ms, now_ms))
		return false;
	allowance_take(a);
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
