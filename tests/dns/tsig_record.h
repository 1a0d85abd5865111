/* The TSIG record of a message, for the tests of those who make and check them. */
#ifndef TESTS_DNS_TSIG_RECORD_H
#define TESTS_DNS_TSIG_RECORD_H

#include "dns/tsig.h"
#include "tests/dns/util.h"

/* Of a query or an answer, of which it must be the last record. */
static UNUSED struct tsig_record tsig_record_of(const uint8_t *b, size_t n)
{
	uint8_t copy[WIRE_TCP_MAX];
	struct tsig_record r;
	struct wire_query q;

	memcpy(copy, b, n);
	copy[2] &= 0x7f;
	assert_int_equal(wire_parse(copy, n, &q), 0);
	assert_int_not_equal(q.tsig_at, 0);
	assert_true(tsig_parse(b, n, q.tsig_at, &r));
	return r;
}

#endif
