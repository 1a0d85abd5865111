#include "dns/count.h"

#include "dns/wire.h"

struct counts *counts_new(void)
{
	struct counts *c = aligned_alloc(_Alignof(struct counts), sizeof(*c));

	if (c)
		memset((void *)c, 0, sizeof(*c));
	return c;
}

static enum dns_count count_of_type(unsigned type)
{
	switch (type) {
	case TYPE_A: return DNS_COUNT_A;
	case TYPE_AAAA: return DNS_COUNT_AAAA;
	case TYPE_NS: return DNS_COUNT_NS;
	case TYPE_SOA: return DNS_COUNT_SOA;
	case TYPE_MX: return DNS_COUNT_MX;
	case TYPE_TXT: return DNS_COUNT_TXT;
	case TYPE_PTR: return DNS_COUNT_PTR;
	case TYPE_SRV: return DNS_COUNT_SRV;
	case TYPE_HTTPS: return DNS_COUNT_HTTPS;
	case TYPE_DS:
	case TYPE_DNSKEY:
	case TYPE_CDS:
	case TYPE_CDNSKEY: return DNS_COUNT_DNSSEC;
	case TYPE_AXFR:
	case TYPE_IXFR: return DNS_COUNT_TRANSFER;
	case TYPE_ANY: return DNS_COUNT_ANY;
	default: return DNS_COUNT_OTHER_TYPE;
	}
}

void count_type(struct counts *c, unsigned type) { count_one(c, count_of_type(type)); }

void count_rcode(struct counts *c, unsigned rcode)
{
	static const uint8_t known[] = {
		[RCODE_NOERROR] = DNS_COUNT_NOERROR,   [RCODE_FORMERR] = DNS_COUNT_FORMERR,
		[RCODE_SERVFAIL] = DNS_COUNT_SERVFAIL, [RCODE_NXDOMAIN] = DNS_COUNT_NXDOMAIN,
		[RCODE_NOTIMP] = DNS_COUNT_NOTIMP,     [RCODE_REFUSED] = DNS_COUNT_REFUSED,
	};

	count_one(c, rcode < ARRAY_SIZE(known) ? known[rcode] : DNS_COUNT_OTHER_RCODE);
}

void counts_add(const struct counts *c, struct msg_dns_counts *m)
{
	m->n = DNS_COUNT_N;
	for (unsigned i = 0; i < DNS_COUNT_N; i++)
		m->counts[i].n += atomic_load_explicit(&c->v[i], memory_order_relaxed);
}
