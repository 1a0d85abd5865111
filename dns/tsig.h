/* Signed messages (RFC 8945): a secret that two servers share, and a record at the end of each message
 * that only those who know it can make.
 *
 * Algorithms: HMAC with SHA-256, SHA-384 and SHA-512.  SHA-1 and MD5 are not taken: every server that
 * could be a secondary today has the others.  MACs are never cut short.
 */
#ifndef DNS_TSIG_H
#define DNS_TSIG_H

#include "base/msg.h"
#include "dns/name.h"

enum {
	TSIG_MAC_MAX = 64,
	TSIG_FUDGE_S = 300, /* RFC 8945, 10: how far clocks may be apart */
	TSIG_ALGORITHM_MAX = 13, /* bytes of such a name */
	/* bytes of a whole record: head, algorithm, time, fudge, MAC, id, error, other data */
	TSIG_RECORD_MAX = WIRE_NAME_MAX + 10 + WIRE_NAME_MAX + 6 + 2 + 2 + TSIG_MAC_MAX + 2 + 2 + 2 + 6,
};

/* RFC 8945, 3: what its `error` says. */
enum tsig_error { TSIG_OK = 0, TSIG_BADSIG = 16, TSIG_BADKEY = 17, TSIG_BADTIME = 18, TSIG_BADTRUNC = 22 };

struct tsig_key {
	struct name name; /* in lower case */
	uint8_t algorithm; /* enum tsig_algorithm; below TSIG_ALGORITHM_N */
	uint8_t secret_n;
	uint8_t secret[MSG_TSIG_SECRET_MAX];
};

/* One as it lies in a message. */
struct tsig_record {
	struct name name, algorithm; /* in lower case */
	uint64_t time_s; /* since the epoch; 48 bits */
	uint16_t fudge_s, original_id, error, mac_n, other_n;
	const uint8_t *mac, *other; /* in the packet */
	size_t at; /* where it begins */
};

/* What the next signature goes on from: the other's MAC, or our last one.  A plain value. */
struct tsig_chain {
	struct tsig_key key;
	uint8_t mac[TSIG_MAC_MAX];
	uint8_t mac_n; /* 0: nothing went before */
	bool later; /* not the first message of an answer: RFC 8945, 5.3.1 */
};

/* The record at `at`, the message's last.  False: FORMERR. */
bool tsig_parse(const uint8_t *packet, size_t n, size_t at, struct tsig_record *out);

/* Bytes of its MACs. */
size_t tsig_mac_length(unsigned algorithm);
bool tsig_is_key(const struct tsig_key *key, const struct tsig_record *record);

/* Whether the message up to `record`, its own, is signed with the chain's key, now_s being our time; what
 * it goes on from is the chain's MAC.  With TSIG_OK, TSIG_BADTIME and TSIG_BADTRUNC the MAC is good, and the
 * chain goes on from it.  -EBADMSG: FORMERR. */
int tsig_check(struct tsig_chain *chain, const uint8_t *packet, const struct tsig_record *record, uint64_t now_s);

/* Adds a record to the n bytes of message, which have room for TSIG_RECORD_MAX more; the chain goes on
 * from it.  The new length. */
size_t tsig_sign(struct tsig_chain *chain, uint8_t *packet, size_t n, uint64_t now_s);
/* The same in answer to a request with a mistake (TSIG_BADTIME, TSIG_BADTRUNC). */
size_t tsig_sign_error(struct tsig_chain *chain, uint8_t *packet, size_t n, const struct tsig_record *request,
		       unsigned error, uint64_t now_s);
/* Without a MAC: the request's key or MAC is not good (TSIG_BADKEY, TSIG_BADSIG). */
size_t tsig_put_error(uint8_t *packet, size_t n, const struct tsig_record *request, unsigned error, uint64_t now_s);
/* How long its record will be. */
size_t tsig_length(const struct tsig_key *key);

/* The key of this message; false: it makes no sense. */
bool tsig_key_of(const struct msg_dns_tsig_key *m, struct tsig_key *out);

#endif
