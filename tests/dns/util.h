/* What the tests of dns/ share: queries made by hand, tables to ask, answers read by ldns. */
#ifndef TESTS_DNS_UTIL_H
#define TESTS_DNS_UTIL_H

#include <stdbool.h> /* before ldns, which would make a bool of its own */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ldns/ldns.h>

#include "base/addr.h"
#include "base/clock.h"
#include "dns/answer.h"
#include "dns/wire.h"
#include "dns/zone.h"

#define UNUSED __attribute__((unused))

struct ask {
	const char *name; /* dotted, case kept; "" the root; NULL: no question */
	unsigned type;
	unsigned class; /* 0: IN */
	unsigned id; /* 0: 0x1234 */
	unsigned flags;
	unsigned edns_size; /* 0: no EDNS */
	unsigned edns_version;
	bool dnssec_ok;
};

static inline uint8_t *put_dotted(uint8_t *p, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		*p++ = (uint8_t)n;
		memcpy(p, name, n);
		p += n;
		name += n + (name[n] == '.');
	}
	*p++ = 0;
	return p;
}

/* `b` holds 512 bytes. */
static UNUSED size_t make_query(uint8_t *b, struct ask a)
{
	uint8_t *p = b;

	p = wire_put16(p, a.id ? a.id : 0x1234);
	p = wire_put16(p, a.flags);
	p = wire_put16(p, a.name ? 1 : 0);
	p = wire_put32(p, 0);
	p = wire_put16(p, a.edns_size ? 1 : 0);
	if (a.name) {
		p = put_dotted(p, a.name);
		p = wire_put16(p, a.type);
		p = wire_put16(p, a.class ? a.class : CLASS_IN);
	}
	if (a.edns_size) {
		*p++ = 0;
		p = wire_put16(p, TYPE_OPT);
		p = wire_put16(p, a.edns_size);
		*p++ = 0;
		*p++ = (uint8_t)a.edns_version;
		p = wire_put16(p, a.dnssec_ok ? 0x8000 : 0);
		p = wire_put16(p, 0);
	}
	return (size_t)(p - b);
}

static UNUSED struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

/* ---- tables ---- */

enum { SVC_WWW = 1, SVC_FOUR = 2, SVC_MANY = 3, GEN = 7 };

static UNUSED struct msg_dns_zone zone_msg(const char *name)
{
	struct msg_dns_zone z = { .n_ns = 1, .serial = 5, .refresh_s = 3600, .retry_s = 600, .expire_s = 86400,
				  .minimum_s = 30, .ttl_s = 300 };

	str_copy(z.name, name);
	snprintf(z.ns[0].text, sizeof(z.ns[0].text), "ns1.%.200s", name);
	snprintf(z.hostmaster, sizeof(z.hostmaster), "admin.%.200s", name);
	return z;
}

/* `names` and `addrs`: separated by spaces. */
static UNUSED struct msg_dns_service service_msg(uint32_t svc, const char *name, const char *names, const char *addrs,
						 uint8_t state, uint8_t answer)
{
	struct msg_dns_service m = { .svc = svc, .gen = GEN, .state = state, .answer = answer, .ttl_s = 60, .ttl_down_s = 60,
				     .max_hold_ms = 60000 };
	char text[1024], *save = NULL;

	str_copy(m.name, name);
	str_copy(text, names);
	for (char *t = strtok_r(text, " ", &save); t; t = strtok_r(NULL, " ", &save))
		str_copy(m.names[m.n_names++].text, t);
	str_copy(text, addrs);
	for (char *t = strtok_r(text, " ", &save); t; t = strtok_r(NULL, " ", &save))
		m.addrs[m.n_addrs++] = ip(t);
	return m;
}

#define MANY "more-addresses-than-there-is-room-for.many.jitsu.example" /* with its name */
#define MANY_ADDRS                                                                                 \
	"fd00::1 fd00::2 fd00::3 fd00::4 fd00::5 fd00::6 fd00::7 fd00::8 fd00::9 fd00::a fd00::b " \
	"fd00::c fd00::d fd00::e fd00::f fd00::10"

/* jitsu.example with three services in one state: www (both families, two names), four (IPv4
 * alone) and many (more addresses than fit 512 bytes).  Clients of 10/8 may forward. */
static UNUSED struct tables *example_tables(uint8_t state, uint8_t answer)
{
	struct tables *t = tables_new();
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service www = service_msg(SVC_WWW, "www", "www.jitsu.example shop.deep.jitsu.example",
						 "192.168.1.20 fd00::20", state, answer);
	struct msg_dns_service four = service_msg(SVC_FOUR, "four", "Four.Jitsu.Example", "192.168.1.21", state, answer);
	struct msg_dns_service many = service_msg(SVC_MANY, "many", MANY, MANY_ADDRS, state, answer);
	struct msg_dns_forward f = { .addr = ip("127.0.0.1"), .port = 5353 };
	struct msg_dns_allow a;
	struct msg_dns_conf conf = { .max_waiting = 100, .max_tcp = 10 };

	assert_int_equal(prefix_parse("10.0.0.0/8", &a.prefix), 0);
	assert_int_equal(tables_set_conf(t, &conf), 0);
	assert_int_equal(tables_add_service(t, &www), 0); /* before its zone: any order will do */
	assert_int_equal(tables_add_zone(t, &z), 0);
	assert_int_equal(tables_add_service(t, &four), 0);
	assert_int_equal(tables_add_service(t, &many), 0);
	assert_int_equal(tables_add_forward(t, &f), 0);
	assert_int_equal(tables_add_allow(t, &a), 0);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	return t;
}

static UNUSED void ask_tables(struct tables *t, const struct ip_addr *client, bool tcp, const uint8_t *packet,
			      size_t n, uint8_t *reply, struct answer *out)
{
	struct asker asker = { .addr = *client, .tcp = tcp };

	answer_query(t, &asker, packet, n, reply, out);
}

/* ---- answers ---- */

static UNUSED ldns_pkt *parse_reply(const uint8_t *b, size_t n)
{
	ldns_pkt *p = NULL;

	assert_int_equal(ldns_wire2pkt(&p, b, n), LDNS_STATUS_OK);
	return p;
}

/* The only record of a section, as text, compared. */
static UNUSED void assert_rr(ldns_rr_list *section, size_t i, const char *expected)
{
	char *text;

	assert_true(i < ldns_rr_list_rr_count(section));
	text = ldns_rr2str(ldns_rr_list_rr(section, i));
	text[strcspn(text, "\n")] = '\0';
	assert_string_equal(text, expected);
	free(text);
}

#endif
