/* The launcher's side of metrics.
 *
 * Nothing is done until somebody asks, but for counting.  Then dns is asked for its counts, which come
 * back within a turn of its loop; if they do not come in COUNTS_MS, what it said last is told.  One
 * asker at a time: control has its clients share an answer, and a newer question replaces an older one,
 * which only a new control process can have forgotten.
 *
 * The answer is cut into messages of MSG_SAMPLES_MAX samples, which the channel's queue bounds: with the
 * metrics of all services it is some hundred kilobytes.
 */
#include "launcher/metrics.h"

#include <event2/event.h>
#include <inttypes.h>

#include "base/version.h"
#include "launcher/launcher.h"
#include "launcher/wake_stats.h"
#include "launcher/xdp.h"

enum { COUNTS_MS = 500, PROCESSES_MAX = 32 };

static const struct {
	const char *name;
	size_t offset; /* in struct msg_hold_counts */
} hold_whats[] = {
	{ "syn", offsetof(struct msg_hold_counts, syns) },
	{ "parked", offsetof(struct msg_hold_counts, parked) },
	{ "released", offsetof(struct msg_hold_counts, released) },
	{ "refused", offsetof(struct msg_hold_counts, refused) },
	{ "expired", offsetof(struct msg_hold_counts, expired) },
	{ "dropped", offsetof(struct msg_hold_counts, dropped) },
	{ "stray", offsetof(struct msg_hold_counts, strays) },
	{ "datagram", offsetof(struct msg_hold_counts, datagrams) },
	{ "arp", offsetof(struct msg_hold_counts, arps) },
	{ "conflict", offsetof(struct msg_hold_counts, conflicts) },
};

/* A range of dns's counts that is one metric; a label is what the count's name says after its prefix. */
static const struct {
	enum metric metric;
	enum dns_count first, last;
	const char *prefix;
} dns_ranges[] = {
	{ METRIC_DNS_QUERIES, DNS_COUNT_UDP4, DNS_COUNT_TCP, "queries_" },
	{ METRIC_DNS_TYPES, DNS_COUNT_A, DNS_COUNT_OTHER_TYPE, "type_" },
	{ METRIC_DNS_ANSWERS, DNS_COUNT_NOERROR, DNS_COUNT_OTHER_RCODE, "rcode_" },
	{ METRIC_DNS_DROPS, DNS_COUNT_DROPPED, DNS_COUNT_LIMITED, "" },
	{ METRIC_DNS_DROPS, DNS_COUNT_QUEUE_FULL, DNS_COUNT_QUEUE_FULL, "" },
};

struct metrics {
	struct launcher *l;
	struct tally dns[DNS_COUNT_N];
	uint64_t workers;
	uint64_t held[ARRAY_SIZE(hold_whats)];
	struct tally xdp_answered, xdp_limited, xdp_no_room;
	uint64_t lines[LOG_DEBUG + 1];
	struct tally hooks_done, hooks_failed, hooks_dropped;
	size_t n_processes;
	struct msg_process processes[PROCESSES_MAX];
	bool asked;
	struct event *late;
	struct msg_metrics out; /* samples that were not sent yet */
};

/* ---- counting ---- */

void tally_follow(struct tally *t, uint64_t now)
{
	t->total += now >= t->last ? now - t->last : now;
	t->last = now;
}

void tally_restart(struct tally *t) { t->last = 0; }

void metrics_dns_new(struct launcher *l)
{
	for (size_t i = 0; i < DNS_COUNT_N; i++)
		tally_restart(&l->metrics->dns[i]);
}

static uint64_t hold_value(const struct msg_hold_counts *c, size_t i)
{
	uint64_t n;

	memcpy(&n, (const char *)c + hold_whats[i].offset, sizeof(n));
	return n;
}

/* synproxy counts for each service, since the service is in its tables. */
void metrics_held(struct launcher *l, const struct msg_hold_counts *before, const struct msg_hold_counts *now)
{
	for (size_t i = 0; i < ARRAY_SIZE(hold_whats); i++) {
		struct tally t = { .total = l->metrics->held[i], .last = hold_value(before, i) };

		tally_follow(&t, hold_value(now, i));
		l->metrics->held[i] = t.total;
	}
}

void metrics_hooks_new(struct launcher *l)
{
	tally_restart(&l->metrics->hooks_done);
	tally_restart(&l->metrics->hooks_failed);
	tally_restart(&l->metrics->hooks_dropped);
}

void metrics_hooks_counted(struct launcher *l, const struct msg_hook_counts *m)
{
	tally_follow(&l->metrics->hooks_done, m->done);
	tally_follow(&l->metrics->hooks_failed, m->failed);
	tally_follow(&l->metrics->hooks_dropped, m->dropped);
}

void metrics_logged(struct launcher *l, enum log_level level)
{
	if (l->metrics && level <= LOG_DEBUG)
		l->metrics->lines[level]++;
}

static struct msg_process *find_process(struct metrics *m, const char *name)
{
	for (size_t i = 0; i < m->n_processes; i++) {
		if (strcmp(m->processes[i].name, name) == 0)
			return &m->processes[i];
	}
	return NULL;
}

void metrics_process(struct launcher *l, const struct msg_process *said)
{
	struct metrics *m = l->metrics;
	struct msg_process *p = find_process(m, said->name);

	if (said->starts == 0) {
		if (p)
			*p = m->processes[--m->n_processes];
		return;
	}
	if (!p && m->n_processes < PROCESSES_MAX)
		p = &m->processes[m->n_processes++];
	if (p)
		*p = *said;
}

/* ---- telling ---- */

static void flush(struct metrics *m)
{
	if (m->out.n > 0 && m->l->control)
		ipc_send(m->l->control, MSG_METRICS, &m->out);
	m->out.n = 0;
}

static void put2(struct metrics *m, enum metric metric, const char *a, const char *b, uint64_t value)
{
	struct msg_sample *s = &m->out.samples[m->out.n++];

	*s = (struct msg_sample){ .metric = (uint8_t)metric, .value = value };
	str_copy(s->labels[0].text, a);
	str_copy(s->labels[1].text, b);
	if (m->out.n == MSG_SAMPLES_MAX)
		flush(m);
}

static void put1(struct metrics *m, enum metric metric, const char *label, uint64_t value)
{
	put2(m, metric, label, "", value);
}

static void put(struct metrics *m, enum metric metric, uint64_t value) { put2(m, metric, "", "", value); }

static void put_states(struct metrics *m)
{
	uint64_t n[STATE_N] = { 0 };
	const struct service *s;

	FOR_EACH_SERVICE(m->l, s)
		n[s->state]++;
	for (unsigned i = 0; i < STATE_N; i++)
		put1(m, METRIC_SERVICES, state_name(i), n[i]);
}

static void put_budget(struct metrics *m)
{
	const struct service *s;
	uint64_t waiting = 0;
	struct budget b;

	service_count(m->l, &b);
	TAILQ_FOREACH(s, &m->l->waiting, queue)
		waiting++;
	put(m, METRIC_VMS_RUNNING, b.running);
	put(m, METRIC_VMS_RUNNING_LIMIT, b.max_running);
	put(m, METRIC_VMS_STARTING, b.starting);
	put(m, METRIC_VMS_STARTING_LIMIT, b.max_starting);
	put(m, METRIC_VMS_WAITING, waiting);
	put(m, METRIC_VMS_MEMORY, b.memory);
	put(m, METRIC_VMS_MEMORY_LIMIT, b.max_memory);
}

static void put_phase(struct metrics *m, unsigned phase, const struct histogram *h)
{
	struct msg_histogram out = { .id = m->out.id, .metric = METRIC_WAKE_PHASE, .sum_ns = h->sum_ns,
				     .n = METRIC_BOUNDS_N + 1 };

	flush(m);
	str_copy(out.label, wake_phase_name(phase));
	for (unsigned i = 0; i <= METRIC_BOUNDS_N; i++)
		out.buckets[i].n = h->buckets[i];
	if (m->l->control)
		ipc_send(m->l->control, MSG_METRICS_HISTOGRAM, &out);
}

static void put_wakes(struct metrics *m)
{
	static const enum trace_result results[] = { TRACE_UP, TRACE_FAILED, TRACE_REFUSED };
	const struct wake_stats *stats = trace_stats(m->l->trace);

	for (unsigned cause = 0; cause < CAUSE_N; cause++) {
		for (size_t i = 0; i < ARRAY_SIZE(results); i++)
			put2(m, METRIC_WAKES, cause_name(cause), trace_result_name(results[i]),
			     stats->ended[cause][results[i]]);
	}
	for (unsigned i = 0; i < PHASE_N; i++)
		put_phase(m, i, &stats->phases[i]);
}

static void put_holds(struct metrics *m)
{
	const struct service *s;
	uint64_t held = 0;

	FOR_EACH_SERVICE(m->l, s)
		held += s->hold.counts.held;
	put(m, METRIC_HELD, held);
	put(m, METRIC_HELD_LIMIT, m->l->conf->limits.max_held);
	for (size_t i = 0; i < ARRAY_SIZE(hold_whats); i++)
		put1(m, METRIC_HOLD_EVENTS, hold_whats[i].name, m->held[i]);
}

static void put_dns(struct metrics *m)
{
	for (size_t r = 0; r < ARRAY_SIZE(dns_ranges); r++) {
		for (unsigned i = dns_ranges[r].first; i <= dns_ranges[r].last; i++)
			put1(m, dns_ranges[r].metric, dns_count_name(i) + strlen(dns_ranges[r].prefix),
			     m->dns[i].total);
	}
	put(m, METRIC_DNS_SLIPPED, m->dns[DNS_COUNT_SLIPPED].total);
	put(m, METRIC_DNS_PASSED, m->dns[DNS_COUNT_PASSED].total);
	put(m, METRIC_DNS_WORKERS, m->l->dns ? m->workers : 0);
}

static void put_xdp(struct metrics *m)
{
	struct xdp_counts c = { .answered = m->xdp_answered.last, .limited = m->xdp_limited.last,
				.no_room = m->xdp_no_room.last };

	xdp_side_counts(m->l, &c);
	tally_follow(&m->xdp_answered, c.answered);
	tally_follow(&m->xdp_limited, c.limited);
	tally_follow(&m->xdp_no_room, c.no_room);
	put(m, METRIC_XDP_ANSWERS, m->xdp_answered.total);
	put(m, METRIC_XDP_LIMITED, m->xdp_limited.total);
	put(m, METRIC_XDP_NO_ROOM, m->xdp_no_room.total);
}

static void put_hypervisors(struct metrics *m)
{
	const struct hypervisor *hv;

	TAILQ_FOREACH(hv, &m->l->hypervisors, next)
		put1(m, METRIC_HYPERVISOR_UP, hv->name, hv->channel && hv->hello.connected && heartbeat_silent_ms(hv) == 0);
}

/* ---- processes ---- */

struct usage {
	uint64_t cpu_ns, memory_bytes;
};

/* proc(5): after the name, which may have any character, state is the third field, utime and stime the 14th and
 * 15th, rss the 24th. */
static bool parse_stat(const char *text, struct usage *u)
{
	const char *p = strrchr(text, ')');
	uint64_t utime, stime;
	int64_t rss;

	if (!p || sscanf(p + 1,
			 " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
			 " %*d %*d %*d %*d %*d %*d %*u %*u %" SCNd64,
			 &utime, &stime, &rss) != 3)
		return false;
	u->cpu_ns = (utime + stime) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
	u->memory_bytes = rss > 0 ? (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
	return true;
}

static bool look_at(uint32_t pid, struct usage *u)
{
	cleanup_buf struct buf text = { 0 };
	char path[32];

	if (pid == 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/stat", pid);
	return buf_read_file(&text, path, 4096) == 0 && parse_stat(text.text, u);
}

static void put_processes(struct metrics *m)
{
	struct usage usages[PROCESSES_MAX] = { 0 };
	bool up[PROCESSES_MAX] = { false };

	for (size_t i = 0; i < m->n_processes; i++)
		up[i] = look_at(m->processes[i].pid, &usages[i]);
	for (size_t i = 0; i < m->n_processes; i++)
		put1(m, METRIC_PROCESS_UP, m->processes[i].name, up[i]);
	for (size_t i = 0; i < m->n_processes; i++)
		put1(m, METRIC_PROCESS_RESTARTS, m->processes[i].name, m->processes[i].starts - 1);
	for (size_t i = 0; i < m->n_processes; i++) {
		if (up[i])
			put1(m, METRIC_PROCESS_CPU, m->processes[i].name, usages[i].cpu_ns);
	}
	for (size_t i = 0; i < m->n_processes; i++) {
		if (up[i])
			put1(m, METRIC_PROCESS_MEMORY, m->processes[i].name, usages[i].memory_bytes);
	}
	for (unsigned i = 0; i <= LOG_DEBUG; i++)
		put1(m, METRIC_LOG_LINES, log_level_name((enum log_level)i), m->lines[i]);
	put1(m, METRIC_HOOKS, "done", m->hooks_done.total);
	put1(m, METRIC_HOOKS, "failed", m->hooks_failed.total);
	put1(m, METRIC_HOOKS, "dropped", m->hooks_dropped.total);
}

/* ---- services ---- */

static uint64_t is_up(const struct service *s) { return s->state == STATE_UP || s->state == STATE_ADOPTED; }
static uint64_t wakes(const struct service *s) { return s->wakes; }
static uint64_t starts_failed(const struct service *s) { return s->starts_failed; }
static uint64_t last_wake(const struct service *s) { return s->last_wake_ms; }
static uint64_t held(const struct service *s) { return s->hold.counts.held; }

static const struct {
	enum metric metric;
	uint64_t (*of)(const struct service *s);
} of_services[] = {
	{ METRIC_SERVICE_UP, is_up },		  { METRIC_SERVICE_WAKES, wakes },
	{ METRIC_SERVICE_STARTS_FAILED, starts_failed }, { METRIC_SERVICE_LAST_WAKE, last_wake },
	{ METRIC_SERVICE_HELD, held },		  { METRIC_SERVICE_MEMORY, service_memory },
};

static void put_services(struct metrics *m)
{
	const struct service *s;

	for (size_t i = 0; i < ARRAY_SIZE(of_services); i++) {
		FOR_EACH_SERVICE(m->l, s)
			put1(m, of_services[i].metric, s->conf->name, of_services[i].of(s));
	}
}

/* ---- asking ---- */

static void answer(struct metrics *m)
{
	struct msg_metrics_id end = { .id = m->out.id };

	m->asked = false;
	event_del(m->late);
	put1(m, METRIC_BUILD_INFO, JITSU_VERSION, 1);
	put(m, METRIC_START_TIME, clock_wall_ms() - (clock_now_ms() - m->l->started_ms));
	put_states(m);
	put_budget(m);
	put_wakes(m);
	put_holds(m);
	put_dns(m);
	put_xdp(m);
	put_hypervisors(m);
	put_processes(m);
	if (m->l->conf->metrics.services)
		put_services(m);
	flush(m);
	if (m->l->control)
		ipc_send(m->l->control, MSG_METRICS_END, &end);
}

void metrics_dns_counted(struct launcher *l, const struct msg_dns_counts *counts)
{
	struct metrics *m = l->metrics;

	m->workers = counts->workers;
	for (unsigned i = 0; i < counts->n && i < DNS_COUNT_N; i++)
		tally_follow(&m->dns[i], counts->counts[i].n);
	if (m->asked)
		answer(m);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	answer(arg);
}

void metrics_ask(struct launcher *l, const struct msg_metrics_id *ask)
{
	struct timeval tv = clock_timeval_ms(COUNTS_MS);
	struct metrics *m = l->metrics;

	m->out.id = ask->id;
	m->asked = true;
	if (!l->dns || ipc_send(l->dns, MSG_DNS_COUNTS_ASK, NULL) < 0)
		answer(m);
	else
		event_add(m->late, &tv);
}

void metrics_control_new(struct launcher *l)
{
	if (!l->metrics->asked)
		return;
	l->metrics->asked = false;
	event_del(l->metrics->late);
}

struct metrics *metrics_new(struct launcher *l)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->l = l;
	m->late = evtimer_new(l->base, on_late, m);
	if (m->late)
		return m;
	free(m);
	return NULL;
}
