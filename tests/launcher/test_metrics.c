/* What the launcher tells of itself and of the others, to a control process that asks. */
#include "tests/launcher/peers.h"

#include "base/version.h"
#include "launcher/metrics.h"
#include "launcher/wake_stats.h"

/* ---- what it said ---- */

static struct {
	unsigned n, n_histograms;
	struct msg_sample v[2048];
	struct msg_histogram histograms[64];
} told;

static void hear_metrics(void)
{
	const struct msg_metrics *m = (const void *)&got;
	enum msg_type type;

	told.n = told.n_histograms = 0;
	while ((type = hear(w.control, WAIT_MS)) != MSG_METRICS_END) {
		assert_true(type == MSG_METRICS || type == MSG_METRICS_HISTOGRAM);
		assert_int_equal(m->id, w.last_id);
		if (type == MSG_METRICS_HISTOGRAM)
			memcpy(&told.histograms[told.n_histograms++], &got, sizeof(struct msg_histogram));
		for (unsigned i = 0; type == MSG_METRICS && i < m->n; i++)
			told.v[told.n++] = m->samples[i];
	}
	assert_int_equal(m->id, w.last_id);
}

static void ask_metrics(void)
{
	struct msg_metrics_id ask = { .id = ++w.last_id };

	say(w.control, MSG_METRICS_ASK, &ask);
}

/* dns has answered so many queries over IPv4, and lost one for each ten. */
static void scrape(uint64_t queries)
{
	struct msg_dns_counts m = { .workers = 2, .n = DNS_COUNT_N };
	enum msg_type type;

	m.counts[DNS_COUNT_UDP4].n = m.counts[DNS_COUNT_A].n = m.counts[DNS_COUNT_NOERROR].n = queries;
	m.counts[DNS_COUNT_QUEUE_FULL].n = queries / 10;
	ask_metrics();
	while ((type = hear(w.dns, WAIT_MS)) != MSG_DNS_COUNTS_ASK)
		assert_int_not_equal(type, 0);
	say(w.dns, MSG_DNS_COUNTS, &m);
	hear_metrics();
}

static const struct msg_sample *sample(enum metric metric, const char *a, const char *b)
{
	const struct msg_sample *found = NULL;

	for (unsigned i = 0; i < told.n; i++) {
		const struct msg_sample *s = &told.v[i];

		if (s->metric != metric || strcmp(s->labels[0].text, a) != 0 || strcmp(s->labels[1].text, b) != 0)
			continue;
		assert_null(found); /* each of them once */
		found = s;
	}
	return found;
}

static uint64_t value(enum metric metric, const char *a, const char *b)
{
	const struct msg_sample *s = sample(metric, a, b);

	if (!s)
		fail_msg("no %s of %s %s", metric_def(metric)->name, a, b);
	return s->value;
}

static uint64_t in_phase(const char *phase)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < told.n_histograms; i++) {
		for (unsigned j = 0; strcmp(told.histograms[i].label, phase) == 0 && j <= METRIC_BOUNDS_N; j++)
			n += told.histograms[i].buckets[j].n;
	}
	return n;
}

/* ---- pure ---- */

static void test_tally(void **state)
{
	struct tally t = { 0 };

	(void)state;
	tally_follow(&t, 10);
	tally_follow(&t, 25);
	assert_int_equal(t.total, 25);
	tally_follow(&t, 3); /* it began anew */
	assert_int_equal(t.total, 28);
	tally_restart(&t);
	tally_follow(&t, 40); /* ... and was soon higher than before */
	assert_int_equal(t.total, 68);
}

static void test_phases(void **state)
{
	static const struct ip_addr nobody;
	struct trace *t = trace_new();
	const struct wake_stats *s = trace_stats(t);
	uint64_t now = 100 * NS_PER_S, n;

	(void)state;
	clock_fake_ns(now);
	n = trace_begin(t, "www", CAUSE_SYN, &nobody, now - 2 * NS_PER_MS);
	trace_mark(t, n, MARK_START, now + NS_PER_MS);
	trace_mark(t, n, MARK_LINK, now + 5 * NS_PER_MS);
	trace_mark(t, n, MARK_LINK, now + 50 * NS_PER_MS); /* it was there already */
	trace_mark(t, n, MARK_PORT, now + 3 * NS_PER_MS); /* timed by another process: never below zero */
	trace_mark(t, n, MARK_UP, now + 200 * NS_PER_MS);
	trace_end(t, n, TRACE_UP, "");
	trace_end(t, n, TRACE_FAILED, "too late");
	assert_int_equal(s->ended[CAUSE_SYN][TRACE_UP], 1);
	assert_int_equal(s->ended[CAUSE_SYN][TRACE_FAILED], 0);
	assert_int_equal(s->phases[PHASE_HEARD].sum_ns, 2 * NS_PER_MS);
	assert_int_equal(s->phases[PHASE_QUEUED].sum_ns, NS_PER_MS);
	assert_int_equal(s->phases[PHASE_LINK].sum_ns, 4 * NS_PER_MS);
	assert_int_equal(s->phases[PHASE_LINK].buckets[metric_bucket(4 * NS_PER_MS)], 1);
	assert_int_equal(s->phases[PHASE_PORT].sum_ns, 0);
	assert_int_equal(s->phases[PHASE_PORT].buckets[0], 1);
	assert_int_equal(s->phases[PHASE_UP].sum_ns, 202 * NS_PER_MS);
	assert_int_equal(s->phases[PHASE_HYPERVISOR].buckets[0], 0);
	n = trace_begin(t, "www", CAUSE_DNS, &nobody, 0);
	clock_fake_ns(now + NS_PER_S);
	trace_end(t, n, TRACE_FAILED, "no");
	assert_int_equal(s->ended[CAUSE_DNS][TRACE_FAILED], 1);
	assert_int_equal(s->phases[PHASE_FAILED].sum_ns, NS_PER_S);
	clock_fake_ns(0);
	trace_free(t);
}

/* ---- the process ---- */

static void test_a_wake(void **state)
{
	(void)state;
	begin(SERVICE("www", "20", LAZY) "," SERVICE("mail", "21", LAZY));
	scrape(0);
	assert_int_equal(value(METRIC_BUILD_INFO, JITSU_VERSION, ""), 1);
	assert_true(value(METRIC_START_TIME, "", "") <= clock_wall_ms());
	assert_int_equal(value(METRIC_SERVICES, "off", ""), 2);
	assert_int_equal(value(METRIC_SERVICES, "up", ""), 0);
	assert_int_equal(value(METRIC_WAKES, "dns", "up"), 0);
	assert_int_equal(value(METRIC_HYPERVISOR_UP, "hv", ""), 1);
	assert_int_equal(told.n_histograms, PHASE_N);
	assert_int_equal(in_phase("up"), 0);
	bring_up("www", "dom-www", 1);
	scrape(0);
	assert_int_equal(value(METRIC_SERVICES, "off", ""), 1);
	assert_int_equal(value(METRIC_SERVICES, "up", ""), 1);
	assert_int_equal(value(METRIC_VMS_RUNNING, "", ""), 1);
	assert_int_equal(value(METRIC_WAKES, "dns", "up"), 1);
	assert_int_equal(in_phase("heard"), 1);
	assert_int_equal(in_phase("hypervisor"), 1);
	assert_int_equal(in_phase("up"), 1);
	assert_int_equal(in_phase("failed"), 0);
	assert_null(sample(METRIC_SERVICE_UP, "www", "")); /* nobody asked for these */
}

/* Also those that are not traced. */
static void test_refused_queries_are_counted(void **state)
{
	(void)state;
	begin_limited("\"wakes_unverified\":\"1/h\",\"max_starting\":8",
		      SERVICE("www", "20", LAZY ",\"wake_dns\":\"off\"") "," SERVICE("mail", "21", LAZY) ","
		      SERVICE("ftp", "22", LAZY));
	wake_as("www", 0, "192.0.2.1", true);
	wake_as("mail", 0, "192.0.2.1", false);
	expect_start("dom-mail");
	expect_state("mail", STATE_STARTING);
	scrape(0);
	assert_int_equal(value(METRIC_WAKES, "dns", "refused"), 1);
	wake_as("ftp", 0, "192.0.2.2", false);
	wake_as("ftp", 0, "192.0.2.2", false);
	scrape(0);
	assert_int_equal(value(METRIC_WAKES, "dns", "refused"), 3);
	assert_int_equal(value(METRIC_WAKES, "syn", "refused"), 0);
}

/* Each counter of dns only ever rises, though dns is started again and counts from zero. */
static void test_dns_is_restarted(void **state)
{
	(void)state;
	begin(SERVICE("www", "20", LAZY));
	scrape(100);
	assert_int_equal(value(METRIC_DNS_QUERIES, "udp4", ""), 100);
	assert_int_equal(value(METRIC_DNS_QUERIES, "tcp", ""), 0);
	assert_int_equal(value(METRIC_DNS_TYPES, "a", ""), 100);
	assert_int_equal(value(METRIC_DNS_ANSWERS, "noerror", ""), 100);
	assert_int_equal(value(METRIC_DNS_DROPS, "queue_full", ""), 10);
	assert_int_equal(value(METRIC_DNS_WORKERS, "", ""), 2);
	scrape(130);
	assert_int_equal(value(METRIC_DNS_QUERIES, "udp4", ""), 130);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	scrape(20);
	assert_int_equal(value(METRIC_DNS_QUERIES, "udp4", ""), 150);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	scrape(500); /* more than the last one had when it was asked last */
	assert_int_equal(value(METRIC_DNS_QUERIES, "udp4", ""), 650);
	assert_int_equal(value(METRIC_DNS_DROPS, "queue_full", ""), 65);
}

/* Away, or silent: the rest is told, and what it had counted. */
static void test_dns_does_not_answer(void **state)
{
	(void)state;
	begin(SERVICE("www", "20", LAZY));
	scrape(100);
	ask_metrics();
	hear_metrics();
	assert_int_equal(value(METRIC_DNS_QUERIES, "udp4", ""), 100);
	hang_up(&w.dns);
	settle();
	ask_metrics();
	hear_metrics();
	assert_int_equal(value(METRIC_DNS_QUERIES, "udp4", ""), 100);
	assert_int_equal(value(METRIC_DNS_WORKERS, "", ""), 0);
	assert_int_equal(value(METRIC_SERVICES, "off", ""), 1);
}

static void say_process(const char *name, pid_t pid, uint32_t starts)
{
	struct msg_process m = { .pid = (uint32_t)pid, .starts = starts };

	str_copy(m.name, name);
	say(w.supervisor, MSG_PROCESS, &m);
}

static void test_processes(void **state)
{
	char name[MSG_NAME_MAX];

	(void)state;
	begin(SERVICE("www", "20", LAZY));
	say_process("me", getpid(), 3);
	say_process("gone", 0, 7);
	settle();
	scrape(0);
	assert_int_equal(value(METRIC_PROCESS_UP, "me", ""), 1);
	assert_int_equal(value(METRIC_PROCESS_RESTARTS, "me", ""), 2);
	assert_in_range(value(METRIC_PROCESS_MEMORY, "me", ""), 100000, 1ull << 36);
	assert_true(value(METRIC_PROCESS_CPU, "me", "") <= 1000 * NS_PER_S);
	assert_int_equal(value(METRIC_PROCESS_UP, "gone", ""), 0);
	assert_int_equal(value(METRIC_PROCESS_RESTARTS, "gone", ""), 6);
	assert_null(sample(METRIC_PROCESS_MEMORY, "gone", ""));
	say_process("gone", 0, 0); /* no longer wanted */
	for (int i = 0; i < 100; i++) { /* bounded, whatever is said */
		snprintf(name, sizeof(name), "p%d", i);
		say_process(name, 0, 1);
	}
	settle();
	scrape(0);
	assert_null(sample(METRIC_PROCESS_UP, "gone", ""));
	assert_non_null(sample(METRIC_PROCESS_UP, "p20", ""));
	assert_null(sample(METRIC_PROCESS_UP, "p99", ""));
}

static void test_of_each_service(void **state)
{
	(void)state;
	begin_limited("},\"metrics\":{\"listen\":[\"127.0.0.1:9464\"],\"services\":true", SERVICE("www", "20", LAZY) ","
		      SERVICE("mail", "21", LAZY));
	bring_up("www", "dom-www", 1);
	scrape(0);
	assert_int_equal(value(METRIC_SERVICE_UP, "www", ""), 1);
	assert_int_equal(value(METRIC_SERVICE_UP, "mail", ""), 0);
	assert_int_equal(value(METRIC_SERVICE_WAKES, "www", ""), 1);
	assert_int_equal(value(METRIC_SERVICE_WAKES, "mail", ""), 0);
	assert_int_equal(value(METRIC_SERVICE_STARTS_FAILED, "www", ""), 0);
	assert_int_equal(value(METRIC_SERVICE_HELD, "www", ""), 0);
}

/* A control process that went while dns was being asked; the next one's question is answered. */
static void test_control_is_restarted(void **state)
{
	(void)state;
	begin(SERVICE("www", "20", LAZY));
	ask_metrics();
	expect(w.dns, MSG_DNS_COUNTS_ASK);
	meet_control();
	say(w.dns, MSG_DNS_COUNTS, &(struct msg_dns_counts){ .workers = 1, .n = 0 });
	quiet(w.control);
	scrape(5);
	assert_int_equal(value(METRIC_DNS_QUERIES, "udp4", ""), 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tally),
		cmocka_unit_test(test_phases),
		TEST(test_a_wake),
		TEST(test_refused_queries_are_counted),
		TEST(test_dns_is_restarted),
		TEST(test_dns_does_not_answer),
		TEST(test_processes),
		TEST(test_of_each_service),
		TEST(test_control_is_restarted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
