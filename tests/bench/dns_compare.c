/* Are servers that are measured against each other asked for the same?  Answers are compared as their
 * codes and flags, and sections as sets of records, names in lower case.  Of signatures, which no two
 * servers make alike, only what they cover; serials, which each raises as it likes, not at all; of EDNS
 * that it is there, and how long its options are. */
#include "tests/bench/dns.h"

#include <ldns/ldns.h>

enum { TEXT_MAX = 16384, SHOWN = 5, RECORDS_MAX = 64, SOA_SERIAL = 2 /* its place in the data */ };

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static char *record_text(ldns_rr *rr)
{
	char *text, *data;

	ldns_rr2canonical(rr);
	if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA)
		ldns_rdf_deep_free(ldns_rr_set_rdf(rr, ldns_native2rdf_int32(LDNS_RDF_TYPE_INT32, 0), SOA_SERIAL));
	text = ldns_rr2str(rr);
	if (text && ldns_rr_get_type(rr) == LDNS_RR_TYPE_RRSIG) {
		data = strstr(text, "RRSIG\t");
		if (data && strchr(data + 6, ' '))
			strcpy(strchr(data + 6, ' '), "\n");
	}
	return text;
}

static size_t put_section(char *out, size_t at, const char *title, const ldns_rr_list *list)
{
	char *lines[RECORDS_MAX] = { NULL };
	size_t n = MIN(ldns_rr_list_rr_count(list), (size_t)RECORDS_MAX);

	at += (size_t)snprintf(out + at, TEXT_MAX - at, "%s:\n", title);
	for (size_t i = 0; i < n; i++)
		lines[i] = record_text(ldns_rr_list_rr(list, i));
	qsort(lines, n, sizeof(lines[0]), by_text);
	for (size_t i = 0; i < n; i++) {
		if (at < TEXT_MAX)
			at += (size_t)snprintf(out + at, TEXT_MAX - at, "%s", lines[i]);
		free(lines[i]);
	}
	return MIN(at, (size_t)TEXT_MAX - 1);
}

static void put_answer(char *out, const uint8_t *reply, size_t n)
{
	ldns_pkt *pkt = NULL;
	ldns_rdf *options;
	size_t at;

	if (n == 0 || ldns_wire2pkt(&pkt, reply, n) != LDNS_STATUS_OK) {
		strcpy(out, n ? "not a DNS message\n" : "no answer\n");
		return;
	}
	options = ldns_pkt_edns_data(pkt);
	at = (size_t)snprintf(out, TEXT_MAX, "rcode %u flags %02x%02x edns %u options %zu\n", ldns_pkt_get_rcode(pkt),
			      reply[2], reply[3] & 0xf0, ldns_pkt_edns(pkt), options ? ldns_rdf_size(options) : 0);
	at = put_section(out, at, "answer", ldns_pkt_answer(pkt));
	at = put_section(out, at, "authority", ldns_pkt_authority(pkt));
	put_section(out, at, "additional", ldns_pkt_additional(pkt));
	ldns_pkt_free(pkt);
}

static void show(const struct server *servers, unsigned n, char (*texts)[TEXT_MAX], size_t query)
{
	fprintf(stderr, "query %zu is answered differently:\n", query);
	for (unsigned i = 0; i < n; i++)
		fprintf(stderr, "-- %s: %s", servers[i].name, texts[i]);
}

size_t compare_servers(const struct server *servers, unsigned n, size_t count)
{
	static char texts[SERVERS_MAX][TEXT_MAX];
	uint8_t reply[REPLY_MAX];
	size_t differ = 0;

	for (size_t q = 0; q < MIN(count, servers[0].q.n); q++) {
		bool same = true;

		for (unsigned i = 0; i < n; i++) {
			put_answer(texts[i], reply, server_ask(&servers[i], q, reply));
			same = same && strcmp(texts[i], texts[0]) == 0;
		}
		if (!same && differ++ < SHOWN)
			show(servers, n, texts, q);
	}
	return differ;
}
