#include "dns/tsig.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/log.h"

enum { RR_FIXED = 10, VARIABLES_MAX = 2 * WIRE_NAME_MAX + 24 };

static const struct {
	const char *digest;
	uint8_t mac_n, name_n;
	uint8_t name[TSIG_ALGORITHM_MAX];
} algorithms[] = {
	[TSIG_HMAC_SHA256] = { "SHA256", 32, 13, "\x0bhmac-sha256" },
	[TSIG_HMAC_SHA384] = { "SHA384", 48, 13, "\x0bhmac-sha384" },
	[TSIG_HMAC_SHA512] = { "SHA512", 64, 13, "\x0bhmac-sha512" },
};
static_assert(ARRAY_SIZE(algorithms) == TSIG_ALGORITHM_N, "an algorithm has no name");

size_t tsig_mac_length(unsigned algorithm) { return algorithms[algorithm].mac_n; }

bool tsig_key_of(const struct msg_dns_tsig_key *m, struct tsig_key *out)
{
	if (m->algorithm >= TSIG_ALGORITHM_N || m->secret_n == 0 || m->secret_n > sizeof(out->secret) ||
	    !name_from_text(m->name, &out->name))
		return false;
	out->algorithm = m->algorithm;
	out->secret_n = m->secret_n;
	memcpy(out->secret, m->secret, m->secret_n);
	return true;
}

/* ---- reading ---- */

/* The data behind the algorithm's name: all up to `end`. */
static bool parse_data(const uint8_t *packet, size_t p, size_t end, struct tsig_record *out)
{
	if (end - p < 10)
		return false;
	out->time_s = (uint64_t)wire_get16(packet + p) << 32 | (uint64_t)wire_get16(packet + p + 2) << 16 |
		      wire_get16(packet + p + 4);
	out->fudge_s = wire_get16(packet + p + 6);
	out->mac_n = wire_get16(packet + p + 8);
	out->mac = packet + p + 10;
	p += 10;
	if (end - p < out->mac_n + 6u)
		return false;
	p += out->mac_n;
	out->original_id = wire_get16(packet + p);
	out->error = wire_get16(packet + p + 2);
	out->other_n = wire_get16(packet + p + 4);
	out->other = packet + p + 6;
	return p + 6 + out->other_n == end;
}

bool tsig_parse(const uint8_t *packet, size_t n, size_t at, struct tsig_record *out)
{
	size_t p = name_read(packet, n, at, &out->name), end, name_n;
	unsigned labels;

	if (p == 0 || n - p < RR_FIXED || wire_get16(packet + p + 2) != CLASS_ANY)
		return false;
	end = p + RR_FIXED + wire_get16(packet + p + 8);
	if (wire_get16(packet + p + 4) != 0 || wire_get16(packet + p + 6) != 0 || end != n) /* TTL */
		return false;
	p += RR_FIXED;
	name_n = wire_name_length(packet + p, end - p, &labels);
	if (name_n == 0 || !name_from_wire(packet + p, name_n, &out->algorithm))
		return false;
	wire_lower(out->name.b, out->name.b, out->name.n);
	wire_lower(out->algorithm.b, out->algorithm.b, name_n);
	out->at = at;
	return parse_data(packet, p + name_n, end, out);
}

static bool is_algorithm(unsigned algorithm, const struct name *name)
{
	return algorithms[algorithm].name_n == name->n && memcmp(algorithms[algorithm].name, name->b, name->n) == 0;
}

bool tsig_is_key(const struct tsig_key *key, const struct tsig_record *record)
{
	return key->name.n == record->name.n && memcmp(key->name.b, record->name.b, key->name.n) == 0 &&
	       is_algorithm(key->algorithm, &record->algorithm);
}

/* ---- what is signed ---- */

struct part {
	const uint8_t *b;
	size_t n;
};

/* Aborts without memory: there is no way on that would be safe. */
static void make_mac(const struct tsig_key *key, const struct part *parts, unsigned n, uint8_t mac[TSIG_MAC_MAX])
{
	char *digest = (char *)algorithms[key->algorithm].digest;
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
				OSSL_PARAM_construct_end() };
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *c = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
	size_t mac_n = 0;
	bool ok = c && EVP_MAC_init(c, key->secret, key->secret_n, params);

	for (unsigned i = 0; ok && i < n; i++)
		ok = parts[i].n == 0 || EVP_MAC_update(c, parts[i].b, parts[i].n);
	if (!ok || !EVP_MAC_final(c, mac, &mac_n, TSIG_MAC_MAX) || mac_n != algorithms[key->algorithm].mac_n)
		log_fatal("libcrypto cannot make a MAC");
	EVP_MAC_CTX_free(c);
	EVP_MAC_free(hmac);
}

static uint8_t *put48(uint8_t *p, uint64_t v)
{
	p = wire_put16(p, (unsigned)(v >> 32) & 0xffff);
	return wire_put32(p, (uint32_t)v);
}

static uint8_t *put_bytes(uint8_t *p, const void *b, size_t n)
{
	if (n > 0)
		memcpy(p, b, n);
	return p + n;
}

/* RFC 8945, 4.3.3, or 5.3.1 alone: timers. */
static size_t put_variables(uint8_t *b, const struct tsig_record *r, bool later)
{
	uint8_t *p = b;

	if (!later) {
		p = put_bytes(p, r->name.b, r->name.n);
		p = wire_put16(p, CLASS_ANY);
		p = wire_put32(p, 0);
		p = put_bytes(p, r->algorithm.b, r->algorithm.n);
	}
	p = put48(p, r->time_s);
	p = wire_put16(p, r->fudge_s);
	if (!later) {
		p = wire_put16(p, r->error);
		p = wire_put16(p, r->other_n);
		p = put_bytes(p, r->other, r->other_n);
	}
	return (size_t)(p - b);
}

/* Of the message before r->at; `records` is its ARCOUNT without the TSIG. */
static void digest(const struct tsig_chain *chain, const uint8_t *packet, unsigned records,
		   const struct tsig_record *r, uint8_t mac[TSIG_MAC_MAX])
{
	uint8_t prior_n[2], head[WIRE_HEADER], variables[VARIABLES_MAX];
	struct part parts[] = {
		{ prior_n, chain->mac_n ? 2 : 0 },
		{ chain->mac, chain->mac_n },
		{ head, sizeof(head) },
		{ packet + WIRE_HEADER, r->at - WIRE_HEADER },
		{ variables, put_variables(variables, r, chain->later) },
	};

	wire_put16(prior_n, chain->mac_n);
	memcpy(head, packet, sizeof(head));
	wire_put16(head, r->original_id);
	wire_put16(head + SECTION_ADDITIONAL, records);
	make_mac(&chain->key, parts, ARRAY_SIZE(parts), mac);
}

static void go_on(struct tsig_chain *chain, const uint8_t *mac)
{
	chain->mac_n = algorithms[chain->key.algorithm].mac_n;
	memcpy(chain->mac, mac, chain->mac_n);
}

int tsig_check(struct tsig_chain *chain, const uint8_t *packet, const struct tsig_record *record, uint64_t now_s)
{
	size_t whole = algorithms[chain->key.algorithm].mac_n;
	uint64_t apart = now_s > record->time_s ? now_s - record->time_s : record->time_s - now_s;
	uint8_t mac[TSIG_MAC_MAX];

	if (record->other_n > 6 || record->mac_n > whole || record->mac_n < whole / 2) /* RFC 8945, 5.2.2.1 */
		return -EBADMSG;
	digest(chain, packet, wire_get16(packet + SECTION_ADDITIONAL) - 1u, record, mac);
	if (CRYPTO_memcmp(mac, record->mac, record->mac_n) != 0)
		return TSIG_BADSIG;
	go_on(chain, mac);
	chain->mac_n = (uint8_t)record->mac_n; /* its MAC is what was sent */
	if (apart > record->fudge_s)
		return TSIG_BADTIME;
	return record->mac_n < whole ? TSIG_BADTRUNC : TSIG_OK;
}

/* ---- writing ---- */

static size_t put_record(uint8_t *packet, size_t n, const struct tsig_record *r)
{
	uint8_t *p = packet + n, *length;

	p = put_bytes(p, r->name.b, r->name.n);
	p = wire_put16(p, TYPE_TSIG);
	p = wire_put16(p, CLASS_ANY);
	p = wire_put32(p, 0);
	length = p;
	p = put_bytes(p + 2, r->algorithm.b, r->algorithm.n);
	p = put48(p, r->time_s);
	p = wire_put16(p, r->fudge_s);
	p = wire_put16(p, r->mac_n);
	p = put_bytes(p, r->mac, r->mac_n);
	p = wire_put16(p, r->original_id);
	p = wire_put16(p, r->error);
	p = wire_put16(p, r->other_n);
	p = put_bytes(p, r->other, r->other_n);
	wire_put16(length, (unsigned)(p - length) - 2);
	wire_put16(packet + SECTION_ADDITIONAL, wire_get16(packet + SECTION_ADDITIONAL) + 1u);
	return (size_t)(p - packet);
}

static size_t sign(struct tsig_chain *chain, uint8_t *packet, size_t n, struct tsig_record r)
{
	uint8_t mac[TSIG_MAC_MAX];

	r.name = chain->key.name;
	r.algorithm.n = algorithms[chain->key.algorithm].name_n;
	memcpy(r.algorithm.b, algorithms[chain->key.algorithm].name, r.algorithm.n);
	r.original_id = wire_get16(packet);
	r.at = n;
	digest(chain, packet, wire_get16(packet + SECTION_ADDITIONAL), &r, mac);
	go_on(chain, mac);
	chain->later = true;
	r.mac = mac;
	r.mac_n = chain->mac_n;
	return put_record(packet, n, &r);
}

size_t tsig_sign(struct tsig_chain *chain, uint8_t *packet, size_t n, uint64_t now_s)
{
	struct tsig_record r = { .time_s = now_s, .fudge_s = TSIG_FUDGE_S };

	return sign(chain, packet, n, r);
}

size_t tsig_sign_error(struct tsig_chain *chain, uint8_t *packet, size_t n, const struct tsig_record *request,
		       unsigned error, uint64_t now_s)
{
	struct tsig_record r = { .time_s = now_s, .fudge_s = TSIG_FUDGE_S, .error = (uint16_t)error };
	uint8_t our_time[6];

	if (error == TSIG_BADTIME) { /* RFC 8945, 5.2.3: the client's time, and ours beside it */
		put48(our_time, now_s);
		r.time_s = request->time_s;
		r.fudge_s = request->fudge_s;
		r.other = our_time;
		r.other_n = sizeof(our_time);
	}
	return sign(chain, packet, n, r);
}

size_t tsig_put_error(uint8_t *packet, size_t n, const struct tsig_record *request, unsigned error, uint64_t now_s)
{
	struct tsig_record r = { .name = request->name, .algorithm = request->algorithm, .time_s = now_s,
				 .fudge_s = TSIG_FUDGE_S, .error = (uint16_t)error,
				 .original_id = wire_get16(packet) };

	return put_record(packet, n, &r);
}

size_t tsig_length(const struct tsig_key *key)
{
	return key->name.n + RR_FIXED + algorithms[key->algorithm].name_n + 16u + algorithms[key->algorithm].mac_n;
}
