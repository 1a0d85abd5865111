#include "control/exposition.h"

#include <inttypes.h>

#include "base/clock.h"

void exposition_clear(struct exposition *x)
{
	buf_free(&x->text);
	*x = (struct exposition){ 0 };
}

/* Backslash, quote and line feed are escaped.  All else may be there as it is, if it is UTF-8: names are. */
static void add_escaped(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			buf_adds(out, "\\n");
		else if (*text == '\\' || *text == '"')
			buf_addf(out, "\\%c", *text);
		else
			buf_add(out, text, 1);
	}
}

static void add_label(struct buf *out, const char *key, const char *value, bool first)
{
	buf_addf(out, "%s%s=\"", first ? "{" : ",", key);
	add_escaped(out, value);
	buf_adds(out, "\"");
}

/* Whole, and nothing lost: not through a floating-point number. */
static void add_seconds(struct buf *out, uint64_t n, uint64_t per_second, int digits)
{
	uint64_t part = n % per_second;

	for (; digits > 0 && part % 10 == 0; digits--)
		part /= 10;
	buf_addf(out, "%" PRIu64, n / per_second);
	if (digits > 0)
		buf_addf(out, ".%0*" PRIu64, digits, part);
}

static void add_value(struct buf *out, enum metric_unit unit, uint64_t value)
{
	switch (unit) {
	case METRIC_PLAIN: buf_addf(out, "%" PRIu64, value); break;
	case METRIC_MS: add_seconds(out, value, MS_PER_S, 3); break;
	case METRIC_NS: add_seconds(out, value, NS_PER_S, 9); break;
	}
}

/* NULL when nothing of it may be written now. */
static const struct metric_def *begin(struct exposition *x, unsigned metric, bool histogram)
{
	static const char *const kinds[] = { [METRIC_GAUGE] = "gauge", [METRIC_COUNTER] = "counter",
					     [METRIC_HISTOGRAM] = "histogram" };
	const struct metric_def *def = metric_def(metric);

	if (!def || (def->kind == METRIC_HISTOGRAM) != histogram || (x->begun[metric] && x->now != metric))
		return NULL;
	x->now = metric;
	if (x->begun[metric])
		return def;
	x->begun[metric] = true;
	buf_addf(&x->text, "# HELP %s %s\n# TYPE %s %s\n", def->name, def->help, def->name, kinds[def->kind]);
	return def;
}

void exposition_sample(struct exposition *x, const struct msg_sample *s)
{
	const struct metric_def *def = begin(x, s->metric, false);

	if (!def)
		return;
	buf_adds(&x->text, def->name);
	for (unsigned i = 0; i < METRIC_LABELS_MAX && def->labels[i]; i++)
		add_label(&x->text, def->labels[i], s->labels[i].text, i == 0);
	buf_adds(&x->text, def->labels[0] ? "} " : " ");
	add_value(&x->text, def->unit, s->value);
	buf_adds(&x->text, "\n");
}

static void add_bucket(struct exposition *x, const struct metric_def *def, const struct msg_histogram *h, unsigned i,
		       uint64_t n)
{
	buf_addf(&x->text, "%s_bucket", def->name);
	add_label(&x->text, def->labels[0], h->label, true);
	buf_adds(&x->text, ",le=\"");
	if (i < METRIC_BOUNDS_N)
		add_value(&x->text, METRIC_NS, metric_bounds_ns[i]);
	else
		buf_adds(&x->text, "+Inf");
	buf_addf(&x->text, "\"} %" PRIu64 "\n", n);
}

/* Each bucket has all that the one before it has; the last has all. */
void exposition_histogram(struct exposition *x, const struct msg_histogram *h)
{
	const struct metric_def *def = h->n == METRIC_BOUNDS_N + 1 ? begin(x, h->metric, true) : NULL;
	uint64_t n = 0;

	if (!def)
		return;
	for (unsigned i = 0; i <= METRIC_BOUNDS_N; i++) {
		n += h->buckets[i].n;
		add_bucket(x, def, h, i, n);
	}
	buf_addf(&x->text, "%s_sum", def->name);
	add_label(&x->text, def->labels[0], h->label, true);
	buf_adds(&x->text, "} ");
	add_value(&x->text, def->unit, h->sum_ns);
	buf_addf(&x->text, "\n%s_count", def->name);
	add_label(&x->text, def->labels[0], h->label, true);
	buf_addf(&x->text, "} %" PRIu64 "\n", n);
}
