/* Any text as a zone file.  What is taken must be servable: every name that the file has is asked
 * for, with every type that it has and some more, and each answer must be whole.
 *
 * The first byte: 1, what does not fit is left out, as of a file that was good once.
 */
#include "tests/fuzz/dns_check.h"

enum { OWNERS_MAX = 64 };

/* ldns 1.8 forgets a few bytes when data of some types is wrong: that ends the file.  (That we free what
 * it gives us, the unit tests see.) */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libldns.so"; }

static const struct ip_addr client = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1 } };

struct owners {
	unsigned n;
	struct name names[OWNERS_MAX];
	uint16_t types[OWNERS_MAX];
};

static struct tables *make_tables(void)
{
	struct msg_dns_service s = { .svc = 3, .gen = 1, .name = "w", .state = STATE_UP, .ttl_s = 60, .n_names = 1,
				     .n_addrs = 1, .addrs = { client } };
	struct tables *t = tables_new();

	add_zone(t, "e");
	add_zone(t, "in.e");
	str_copy(s.names[0].text, "w.e");
	tables_add_service(t, &s);
	assert(tables_place(t) == 0);
	return t;
}

/* Whether the tables can be used. */
static bool read_text(struct tables *t, const char *text, size_t n, bool lenient, struct owners *owners)
{
	struct err e = { 0 };
	struct zone_file *f = zone_file_new(text, n, "f", "e", 60, &e);
	struct zone_record record;
	int r;

	assert(f);
	while ((r = zone_file_next(f, &record, &e)) == 1) {
		int added = tables_add_record(t, tables_zone(t, "e"), &record, &e);

		assert(added == 0 || (added == -EINVAL && e.text[0]));
		if (added < 0 && !lenient)
			break;
		if (owners->n < OWNERS_MAX) {
			owners->names[owners->n] = record.name;
			owners->types[owners->n++] = record.type;
		}
	}
	assert(r >= 0 || (strncmp(e.text, "f, line ", 8) == 0 && r == e.code));
	zone_file_free(f);
	return r == 0;
}

static void ask(struct tables *t, const struct name *name, unsigned type, bool tcp)
{
	struct asker asker = { .addr = client, .tcp = tcp };
	uint8_t query[WIRE_HEADER + WIRE_QUESTION_MAX] = { 1, 2, 0, 0, 0, 1 }, *p = query + WIRE_HEADER;
	uint8_t *reply = malloc(tcp ? ANSWER_SIZE_MAX : WIRE_UDP_PLAIN); /* no EDNS: no more than this */
	struct answer a;

	memcpy(p, name->b, name->n);
	p = wire_put16(p + name->n, type);
	p = wire_put16(p, CLASS_IN);
	answer_query(t, &asker, query, (size_t)(p - query), reply, &a);
	assert(a.verdict == VERDICT_REPLY);
	check_reply(&a, query, (size_t)(p - query), reply, tcp);
	assert(!tcp || !(wire_get16(reply + 2) & FLAG_TC) || a.n > WIRE_UDP_PLAIN);
	free(reply);
}

static void ask_all(struct tables *t, const struct owners *owners)
{
	static const uint16_t types[] = { TYPE_A, TYPE_AAAA, TYPE_NS, TYPE_CNAME, TYPE_MX, TYPE_ANY, TYPE_DS, TYPE_SOA };

	for (unsigned i = 0; i < owners->n; i++) {
		struct name below;

		ask(t, &owners->names[i], owners->types[i], i & 1);
		ask(t, &owners->names[i], types[i % ARRAY_SIZE(types)], !(i & 1));
		if (name_join((const uint8_t *)"\1x", 2, owners->names[i].b, owners->names[i].n, &below))
			ask(t, &below, types[i % ARRAY_SIZE(types)], i & 1);
	}
}

static void count_warning(void *arg, const char *sentence)
{
	assert(sentence[0]);
	++*(unsigned *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct owners owners;
	struct tables *t;
	unsigned warnings = 0;

	if (n == 0)
		return 0;
	owners.n = 0;
	t = make_tables();
	if (read_text(t, (const char *)data + 1, n - 1, data[0] & 1, &owners)) {
		assert(tables_finish(t) == 0);
		tables_warnings(t, count_warning, &warnings);
		ask_all(t, &owners);
	}
	tables_free(t);
	return 0;
}
