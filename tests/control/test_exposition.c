/* The text that Prometheus reads, against its grammar; and the names that the dashboard asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>

#include "base/json.h"
#include "control/exposition.h"

#define DASHBOARD "docs/grafana-dashboard.json"

static struct msg_sample sample(enum metric metric, const char *a, const char *b, uint64_t value)
{
	struct msg_sample s = { .metric = (uint8_t)metric, .value = value };

	str_copy(s.labels[0].text, a);
	str_copy(s.labels[1].text, b);
	return s;
}

static void add(struct exposition *x, enum metric metric, const char *a, const char *b, uint64_t value)
{
	struct msg_sample s = sample(metric, a, b, value);

	exposition_sample(x, &s);
}

static void add_histogram(struct exposition *x, const char *phase)
{
	struct msg_histogram h = { .metric = METRIC_WAKE_PHASE, .sum_ns = 1500000001, .n = METRIC_BOUNDS_N + 1 };

	str_copy(h.label, phase);
	h.buckets[0].n = 2;
	h.buckets[3].n = 5;
	h.buckets[METRIC_BOUNDS_N].n = 1;
	exposition_histogram(x, &h);
}

/* ---- a reader of the format ---- */

/* Past a name; NULL when there is none. */
static const char *skip_name(const char *p)
{
	if (!isalpha((unsigned char)*p) && *p != '_')
		return NULL;
	while (isalnum((unsigned char)*p) || *p == '_')
		p++;
	return p;
}

static const char *skip_value(const char *p)
{
	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if (*p == '\0' || *p == '\n' || (*p == '\\' && !strchr("\\\"n", *++p)))
			return NULL;
	}
	return p + 1;
}

static const char *skip_labels(const char *p)
{
	if (*p != '{')
		return p;
	do {
		p = skip_name(p + 1);
		if (!p || *p++ != '=')
			return NULL;
		p = skip_value(p);
	} while (p && *p == ',');
	return p && *p == '}' ? p + 1 : NULL;
}

static bool sample_is_valid(const char *line)
{
	const char *p = skip_name(line);
	char *end;

	p = p ? skip_labels(p) : NULL;
	if (!p || *p != ' ' || !isdigit((unsigned char)p[1]))
		return false;
	strtod(p + 1, &end);
	return *end == '\0';
}

/* Every line is a comment or a sample of the metric whose comments came last. */
static void check_text(const char *text)
{
	char *copy = strdup(text), *rest = copy, *line, now[64] = "";

	assert_non_null(copy);
	assert_int_equal(text[strlen(text) - 1], '\n');
	while ((line = strsep(&rest, "\n"))) {
		if (sscanf(line, "# TYPE %63s", now) == 1 || strncmp(line, "# HELP ", 7) == 0 || (!*line && !rest))
			continue;
		if (!sample_is_valid(line) || strncmp(line, now, strlen(now)) != 0)
			fail_msg("not valid: %s", line);
	}
	free(copy);
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

/* ---- tests ---- */

static void test_samples(void **state)
{
	struct exposition x = { 0 };

	(void)state;
	add(&x, METRIC_VMS_RUNNING, "", "", 3);
	add(&x, METRIC_WAKES, "dns", "up", UINT64_MAX);
	add(&x, METRIC_WAKES, "syn", "failed", 0);
	add(&x, METRIC_START_TIME, "", "", 1767323045678);
	add(&x, METRIC_PROCESS_CPU, "dns", "", 10000000);
	add(&x, METRIC_PROCESS_CPU, "launcher", "", 3000000000);
	assert_string_equal(x.text.text,
			    "# HELP jitsu_vms_running VMs that count against max_running.\n"
			    "# TYPE jitsu_vms_running gauge\n"
			    "jitsu_vms_running 3\n"
			    "# HELP jitsu_wakes_total Wakes that ended, by what caused them and what came of them.\n"
			    "# TYPE jitsu_wakes_total counter\n"
			    "jitsu_wakes_total{cause=\"dns\",result=\"up\"} 18446744073709551615\n"
			    "jitsu_wakes_total{cause=\"syn\",result=\"failed\"} 0\n"
			    "# HELP jitsu_start_time_seconds When the launcher was started, in seconds since 1970: its "
			    "counters begin there.\n"
			    "# TYPE jitsu_start_time_seconds gauge\n"
			    "jitsu_start_time_seconds 1767323045.678\n"
			    "# HELP jitsu_process_cpu_seconds_total CPU time of that process since it was started.\n"
			    "# TYPE jitsu_process_cpu_seconds_total counter\n"
			    "jitsu_process_cpu_seconds_total{process=\"dns\"} 0.01\n"
			    "jitsu_process_cpu_seconds_total{process=\"launcher\"} 3\n");
	check_text(x.text.text);
	exposition_clear(&x);
}

static void test_labels_are_escaped(void **state)
{
	struct exposition x = { 0 };

	(void)state;
	add(&x, METRIC_HYPERVISOR_UP, "a\"b\\c\nd{e}=,\xc3\xa4", "", 1);
	assert_non_null(strstr(x.text.text, "jitsu_hypervisor_up{hypervisor=\"a\\\"b\\\\c\\nd{e}=,\xc3\xa4\"} 1\n"));
	check_text(x.text.text);
	exposition_clear(&x);
}

static void test_histogram(void **state)
{
	struct exposition x = { 0 };

	(void)state;
	add_histogram(&x, "up");
	add_histogram(&x, "link");
	check_text(x.text.text);
	assert_int_equal(count(x.text.text, "# TYPE jitsu_wake_phase_seconds histogram\n"), 1);
	assert_int_equal(count(x.text.text, "_bucket{phase=\"up\""), METRIC_BOUNDS_N + 1);
	assert_non_null(strstr(x.text.text, "_bucket{phase=\"up\",le=\"0.0005\"} 2\n"));
	assert_non_null(strstr(x.text.text, "_bucket{phase=\"up\",le=\"0.0025\"} 2\n"));
	assert_non_null(strstr(x.text.text, "_bucket{phase=\"up\",le=\"0.005\"} 7\n"));
	assert_non_null(strstr(x.text.text, "_bucket{phase=\"up\",le=\"60\"} 7\n"));
	assert_non_null(strstr(x.text.text, "_bucket{phase=\"up\",le=\"+Inf\"} 8\n"));
	assert_non_null(strstr(x.text.text, "_sum{phase=\"up\"} 1.500000001\n"));
	assert_non_null(strstr(x.text.text, "_count{phase=\"up\"} 8\n"));
	exposition_clear(&x);
}

static void test_buckets(void **state)
{
	(void)state;
	for (unsigned i = 0; i < METRIC_BOUNDS_N; i++) {
		assert_int_equal(metric_bucket(metric_bounds_ns[i]), i);
		assert_int_equal(metric_bucket(metric_bounds_ns[i] + 1), i + 1);
	}
	assert_int_equal(metric_bucket(0), 0);
	assert_int_equal(metric_bucket(UINT64_MAX), METRIC_BOUNDS_N);
}

/* A reader would refuse the whole text for them. */
static void test_what_would_not_be_valid_is_left_out(void **state)
{
	struct msg_histogram h = { .metric = METRIC_VMS_RUNNING, .n = METRIC_BOUNDS_N + 1 };
	struct exposition x = { 0 };
	struct msg_sample s;

	(void)state;
	add(&x, METRIC_VMS_RUNNING, "", "", 1);
	add(&x, METRIC_VMS_STARTING, "", "", 2);
	add(&x, METRIC_VMS_RUNNING, "", "", 3);
	add(&x, METRIC_WAKE_PHASE, "up", "", 4);
	exposition_histogram(&x, &h);
	h.metric = METRIC_WAKE_PHASE;
	h.n = 3;
	exposition_histogram(&x, &h);
	s = sample(METRIC_N, "", "", 5);
	exposition_sample(&x, &s);
	s.metric = 255;
	exposition_sample(&x, &s);
	assert_int_equal(count(x.text.text, "\n"), 6);
	assert_non_null(strstr(x.text.text, "jitsu_vms_starting 2\n"));
	assert_null(strstr(x.text.text, " 3\n"));
	exposition_clear(&x);
}

/* All of them at once, and what the format's documents ask of names. */
static void test_every_metric(void **state)
{
	struct exposition x = { 0 };

	(void)state;
	for (unsigned i = 0; i < METRIC_N; i++) {
		const struct metric_def *def = metric_def(i);
		size_t n = strlen(def->name);

		assert_int_equal(strncmp(def->name, "jitsu_", 6), 0);
		assert_int_equal(n > 6 && strcmp(def->name + n - 6, "_total") == 0, def->kind == METRIC_COUNTER);
		assert_true(def->unit == METRIC_PLAIN || strstr(def->name, "_seconds"));
		assert_null(strpbrk(def->help, "\n\\"));
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(def->name, metric_def(j)->name);
		if (def->kind == METRIC_HISTOGRAM)
			add_histogram(&x, "up");
		else
			add(&x, (enum metric)i, "a", "b", i);
	}
	check_text(x.text.text);
	assert_int_equal(count(x.text.text, "# TYPE "), METRIC_N);
	assert_null(metric_def(METRIC_N));
	exposition_clear(&x);
}

/* ---- the dashboard ---- */

static bool ends_with(const char *name, size_t n, const char *base, const char *suffix)
{
	return n == strlen(base) + strlen(suffix) && strncmp(name, base, strlen(base)) == 0 &&
	       strncmp(name + strlen(base), suffix, strlen(suffix)) == 0;
}

static const struct metric_def *find(const char *name, size_t n)
{
	for (unsigned i = 0; i < METRIC_N; i++) {
		const struct metric_def *def = metric_def(i);

		if (def->kind != METRIC_HISTOGRAM && ends_with(name, n, def->name, ""))
			return def;
		if (def->kind == METRIC_HISTOGRAM &&
		    (ends_with(name, n, def->name, "_bucket") || ends_with(name, n, def->name, "_sum") ||
		     ends_with(name, n, def->name, "_count")))
			return def;
	}
	return NULL;
}

static bool has_label(const struct metric_def *def, const char *label, size_t n)
{
	if (ends_with(label, n, "instance", "") || ends_with(label, n, "le", ""))
		return true;
	for (unsigned i = 0; i < METRIC_LABELS_MAX && def->labels[i]; i++) {
		if (ends_with(label, n, def->labels[i], ""))
			return true;
	}
	return false;
}

/* Those that it selects by, as in {phase="up"}. */
static void check_labels(const struct metric_def *def, const char *p, const char *query)
{
	while (*p == '{' || *p == ',') {
		const char *end = skip_name(++p);

		assert_non_null(end);
		if (!has_label(def, p, (size_t)(end - p)))
			fail_msg("%s has no label %.*s: %s", def->name, (int)(end - p), p, query);
		p = skip_value(end + strspn(end, "=~!"));
		assert_non_null(p);
	}
}

/* Those that it groups by belong to the metric that follows. */
static void check_groups(const struct metric_def *def, const char *query, const char *before)
{
	const char *by = NULL, *p, *end;

	for (p = query; (p = strstr(p, " by (")) && p < before; p++)
		by = p;
	for (p = by ? by + 5 : ")"; *p != ')'; p = end + strspn(end, ", ")) {
		end = skip_name(p);
		assert_non_null(end);
		if (!has_label(def, p, (size_t)(end - p)))
			fail_msg("%s has no label %.*s: %s", def->name, (int)(end - p), p, query);
	}
}

static unsigned check_query(const char *query)
{
	unsigned n = 0;

	for (const char *p = query; (p = strstr(p, "jitsu_")); n++) {
		const char *end = skip_name(p);
		const struct metric_def *def = find(p, (size_t)(end - p));

		if (!def)
			fail_msg("there is no metric %.*s: %s", (int)(end - p), p, query);
		check_labels(def, end, query);
		check_groups(def, query, p);
		p = end;
	}
	return n;
}

static void check_panel(const struct json_node *panel, unsigned *queries)
{
	const struct json_node *targets = json_get(panel, "targets");

	assert_non_null(targets);
	for (const struct json_node *t = json_first(targets); t; t = json_next(t)) {
		assert_true(check_query(json_string(json_get(t, "expr"))) > 0);
		++*queries;
	}
}

static void test_dashboard(void **state)
{
	cleanup_buf struct buf text = { 0 };
	const struct json_node *panels, *p;
	struct json_place at;
	unsigned queries = 0;
	struct json *doc;
	struct err e;

	(void)state;
	if (buf_read_file(&text, DASHBOARD, 1 << 20) < 0)
		fail_msg("%s cannot be read: run this from the top of the tree", DASHBOARD);
	doc = json_parse(text.text, text.n, &at, &e);
	assert_non_null(doc);
	panels = json_get(json_root(doc), "panels");
	for (p = json_first(panels); p; p = json_next(p))
		check_panel(p, &queries);
	assert_true(queries >= 20);
	json_free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_labels_are_escaped),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_what_would_not_be_valid_is_left_out),
		cmocka_unit_test(test_every_metric),
		cmocka_unit_test(test_dashboard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
